/**
 * Cases that say something else of a handler that can be ended: each has a twin with what is true of it in a thread or a
 * process, and the reason. All other cases hold there as they are.
 */
import assert from 'node:assert/strict'
import { type BackgroundRunner, defineTask } from 'background-runner'
import type { Handler } from '../../../src/testing/conformance/handler.js'
import { codeOf, every, lacks, recordOf, same } from '../../../src/testing/conformance/tools.js'
import { numbers, working } from '../../../src/testing/conformance/workplace.js'
import type { Body, World } from '../../../src/testing/conformance/world.js'
import type { PuppetContext } from './context.js'

/** What is true instead. */
export interface Twin {
  /** The case that it stands for. */
  readonly of: string
  readonly sentence: string
  readonly body: Body
}

/** Twins of one reason. */
interface Reason {
  readonly reason: string
  readonly twins: readonly Twin[]
}

const GRACE = 2_000
/** ms from the deadline of a close until a worker is ended. */
const SHUTDOWN_GRACE = 500

const ended: readonly Twin[] = [
  {
    of: 'never settles, and cancel was asked: running, and unresponsive after cancelGrace',
    sentence: 'never settles, and cancel was asked: ended after cancelGrace, and cancelled',
    body: async (t) => {
      const { runner, work } = await deaf(t)
      const told = t.listen(runner)
      const task = await runner.submit('work')
      await work.call()
      await task.cancel({ reason: 'it is Sunday' })
      await t.advance(GRACE - 1)
      assert.equal((await recordOf(task)).state, 'running', 'not before its grace is over')
      await t.advance(1)
      const record = await t.reaches(runner, task, 'cancelled')
      assert.equal(record.error?.code, 'TASK_CANCELLED')
      assert.equal(record.attempts[0]?.error?.message, 'the task was cancelled: it is Sunday', 'it counts as rejected')
      assert.equal(record.finishedAt, t.clock.now())
      await t.advance(10 * GRACE)
      assert.deepEqual(
        told.map(({ event }) => event),
        ['submitted', 'started', 'cancelled'],
        'unresponsive is not told',
      )
    },
  },
  {
    of: 'never settles, and its timeout fired: running, and unresponsive after cancelGrace',
    sentence: 'never settles, and its timeout fired: ended after cancelGrace, and tried again',
    body: async (t) => {
      const { runner, work } = await deaf(t, { timeout: 500 })
      const told = t.listen(runner)
      const task = await runner.submit('work')
      await work.call()
      await t.advance(500 + GRACE - 1)
      assert.equal((await recordOf(task)).state, 'running', 'not before its grace is over')
      await t.advance(1)
      const { error, attempts, runAt } = await t.reaches(runner, task, 'scheduled')
      assert.equal(error?.code, 'TASK_TIMEOUT')
      assert.deepEqual([attempts[0]?.outcome, attempts[0]?.timedOut], ['retry', true])
      assert.equal(runAt, t.clock.now() + 60_000)
      await t.advance(60_000)
      ;(await work.call(2)).resolve('in another worker')
      assert.equal(await task.result(), 'in another worker')
      assert.ok(!told.some(({ event }) => event === 'unresponsive'), 'unresponsive is not told')
    },
  },
  {
    of: 'never settles, and the shutdown deadline passed: abandoned',
    sentence: 'never settles, and the shutdown deadline passed: ended, and handed back',
    body: async (t) => {
      const { runner, work } = await deaf(t)
      await runner.submit('work')
      const call = await work.call()
      const closing = runner.close({ deadline: 1_000, drain: false })
      await t.advance(1_000)
      assert.equal(codeOf(call.ctx.signal.reason), 'RUNNER_CLOSED')
      await t.advance(SHUTDOWN_GRACE)
      assert.deepEqual(await closing, { completed: 0, returned: 1, abandoned: 0, pending: 0 })
    },
  },
  {
    of: 'a handler that ignores its timeout keeps its slot',
    sentence: 'a handler that ignores its timeout keeps its slot until it is ended',
    body: async (t) => {
      const { runner, work } = await deaf(t, { timeout: 100, concurrency: 1 })
      await runner.submitMany('work', ['deaf', 'next'])
      const { ctx } = await work.call(1)
      await t.advance(100)
      same(ctx.signal.aborted, true, 'its signal is aborted')
      await t.advance(GRACE - 1)
      work.wasCalled(1)
      assert.deepEqual(await runner.counts().then(({ queued, running }) => [queued, running]), [1, 1])
      await t.advance(1)
      assert.equal((await work.call(2)).input, 'next')
    },
  },
  {
    of: 'a handler that ignores its cancel keeps its slot',
    sentence: 'a handler that ignores its cancel keeps its slot until it is ended',
    body: async (t) => {
      const { runner, work } = await deaf(t, { concurrency: 1 })
      const task = await runner.submit('work', 'deaf')
      await runner.submit('work', 'next')
      await work.call(1)
      await task.cancel()
      await t.advance(GRACE - 1)
      work.wasCalled(1)
      await t.advance(1)
      assert.equal((await work.call(2)).input, 'next')
      assert.equal((await recordOf(task)).state, 'cancelled')
    },
  },
  {
    of: 'cancel with force gives up on an unresponsive handler: cancelled, ABANDONED, its slot is free',
    sentence: 'cancel with force has nobody to give up on: a handler that does not listen is ended',
    body: async (t) => {
      const { runner, work } = await deaf(t, { concurrency: 1 })
      const told = t.listen(runner)
      const task = await runner.submit('work', 'deaf')
      await runner.submit('work', 'next')
      const call = await work.call(1)
      await task.cancel()
      await t.advance(GRACE - 1)
      assert.equal((await task.cancel({ force: true })).state, 'running', 'the grace is its own')
      await t.advance(1)
      const record = await t.reaches(runner, task, 'cancelled')
      assert.equal(record.error?.code, 'TASK_CANCELLED')
      assert.equal((await work.call(2)).input, 'next')
      call.resolve('too late')
      await t.settle()
      const after = await recordOf(task)
      assert.equal(after.state, 'cancelled')
      lacks(after, 'output')
      work.wasCalled(2)
      assert.ok(!told.some(({ event }) => event === 'unresponsive'), 'unresponsive is not told')
    },
  },
  {
    of: 'cancel with force waits for the grace first',
    sentence: 'cancel with force waits for the grace first, and then the handler is ended',
    body: async (t) => {
      const { runner, work } = await deaf(t)
      const task = await runner.submit('work')
      await work.call()
      await task.cancel({ force: true, reason: 'now' })
      await t.advance(GRACE - 1)
      assert.equal((await recordOf(task)).state, 'running')
      await t.advance(1)
      const { error } = await t.reaches(runner, task, 'cancelled')
      assert.deepEqual([error?.code, error?.message], ['TASK_CANCELLED', 'the task was cancelled: now'])
    },
  },
  {
    of: 'force gives up on a handler that ignored its timeout, too',
    sentence: 'a cancel during the grace after a timeout: the handler is ended, and cancelled',
    body: async (t) => {
      const { runner, work } = await deaf(t, { timeout: 500 })
      const task = await runner.submit('work')
      await work.call()
      await t.advance(500 + GRACE - 1)
      await task.cancel({ force: true })
      await t.advance(1)
      const record = await t.reaches(runner, task, 'cancelled')
      assert.equal(record.error?.code, 'TASK_CANCELLED')
      assert.equal(record.attempts.at(-1)?.timedOut, true)
      assert.equal(record.finishedAt, t.clock.now(), 'the grace is not longer for it')
    },
  },
  {
    of: 'an abandoned task can be retried while its old handler still runs, and is not disturbed by it',
    sentence: 'a task whose handler was ended can be retried, and nothing is left to disturb it',
    body: async (t) => {
      const { runner, work } = await deaf(t)
      const task = await runner.submit('work', 1)
      const old = await work.call(1)
      await task.cancel()
      await t.advance(GRACE)
      await t.reaches(runner, task, 'cancelled')
      await task.retry()
      const call = await work.call(2)
      old.ctx.progress('old')
      await assert.rejects(old.ctx.save('old'))
      old.resolve('old')
      await t.settle()
      const running = await recordOf(task)
      assert.equal(running.state, 'running')
      lacks(running, 'progress')
      call.resolve('new')
      assert.equal(await task.result(), 'new')
    },
  },
]

const handedBack: readonly Twin[] = [
  {
    of: 'one second of grace after the deadline, then a handler is abandoned',
    sentence: 'half a second after the deadline a handler is ended, and handed back',
    body: async (t) => {
      const { runner, work } = await working(t)
      await runner.submitMany('work', ['deaf', 'late'])
      await work.call(1)
      const late = await work.call(2)
      let closed = false
      const closing = runner.close({ deadline: 1_000, drain: false }).finally(() => {
        closed = true
      })
      await t.advance(1_000 + SHUTDOWN_GRACE - 1)
      late.resolve('in time')
      await t.settle()
      same(closed, false, 'close has resolved')
      await t.advance(1)
      assert.deepEqual(await numbers(closing), [1, 1, 0, 0])
    },
  },
  {
    of: 'at the deadline a drain stops: what runs is asked, what waits is pending',
    sentence: 'at the deadline a drain stops: what runs is asked, and then ended, what waits is pending',
    body: async (t) => {
      const { runner, work } = await working(t, { concurrency: 2 })
      await runner.submitMany('work', [1, 2, 3, 4, 5, 6])
      ;(await work.call(1)).resolve()
      await work.call(3)
      const closing = runner.close({ deadline: 1_000, drain: true })
      work.calls[1]?.resolve()
      const [third, fourth] = [await work.call(3), await work.call(4)]
      await t.advance(1_000)
      same(fourth.ctx.signal.aborted, true, 'its signal is aborted')
      third.reject(third.ctx.signal.reason)
      await t.advance(SHUTDOWN_GRACE)
      assert.deepEqual(await numbers(closing), [1, 2, 0, 2])
      work.wasCalled(4)
    },
  },
  {
    of: 'completed, returned, abandoned and pending together',
    sentence: 'completed, returned and pending together, and nobody abandoned',
    body: async (t) => {
      const { runner, work } = await working(t, { concurrency: 4 })
      await runner.submitMany('work', [1, 2, 3, 4, 5, 6])
      await runner.submit('work', 7, { delay: '1h' })
      const calls = [await work.call(1), await work.call(2), await work.call(3), await work.call(4)]
      const closing = runner.close({ deadline: 1_000, drain: false })
      await t.settle()
      calls[0]?.resolve()
      await t.advance(1_000)
      calls[1]?.reject(new Error('stopped'))
      calls[2]?.resolve('sent all the same')
      await t.settle()
      await t.advance(SHUTDOWN_GRACE)
      assert.deepEqual(await numbers(closing), [2, 2, 0, 3])
    },
  },
  {
    of: 'what was handed back and then cancelled is not pending, and no number is below zero',
    sentence: 'what was handed back and then cancelled is not pending, and what was ended is handed back',
    body: async (t) => {
      const { runner, work } = await working(t)
      await runner.submitMany('work', ['given back', 'deaf'])
      const [back] = [await work.call(1), await work.call(2)]
      const closing = runner.close({ deadline: 0, drain: false })
      await t.advance(0)
      same(back.ctx.signal.aborted, true, 'its signal is aborted')
      back.reject(back.ctx.signal.reason)
      await t.until(async () => (await runner.status(back.ctx.id))?.state === 'queued', 'it is handed back')
      await runner.cancel(back.ctx.id)
      await t.advance(SHUTDOWN_GRACE)
      const [, returned, abandoned, pending] = await numbers(closing)
      assert.deepEqual([returned, abandoned, pending], [1, 0, 0])
    },
  },
  {
    of: 'what an abandoned handler does after close reaches nobody',
    sentence: 'after close no handler is left that could do anything',
    body: async (t) => {
      const { runner, work } = await deaf(t, { timeout: '5s' })
      await runner.submit('work')
      const call = await work.call()
      const closing = runner.close({ deadline: 0, drain: false })
      await t.advance(SHUTDOWN_GRACE)
      assert.deepEqual(await numbers(closing), [0, 1, 0, 0])
      const told = t.listen(runner)
      call.ctx.progress('late')
      await assert.rejects(call.ctx.save('late'))
      call.ctx.log('late')
      call.resolve('late')
      await t.advance(20_000)
      assert.deepEqual(told, [])
    },
  },
]

const carried: readonly Twin[] = [
  {
    of: 'when decides by the error whether another attempt is worth it',
    sentence: 'when decides by the error, as it arrives, whether another attempt is worth it',
    body: async (t) => {
      const seen: unknown[] = []
      const when = (error: unknown): boolean => {
        seen.push(error)
        return (error as Error).message === 'try again'
      }
      const work = t.handler()
      const runner = await t.runner({
        tasks: { work: defineTask({ retry: { ...every(1_000, 9), when }, run: work.run }) },
      })
      const task = await runner.submit('work')
      ;(await work.call(1)).reject(Object.assign(new RangeError('try again'), { code: 'BUSY', status: 503 }))
      await t.reaches(runner, task, 'scheduled')
      await t.advance(1_000)
      ;(await work.call(2)).reject(new Error('hopeless'))
      assert.equal((await t.reaches(runner, task, 'failed')).error?.message, 'hopeless')
      const first = seen[0] as Error & { code?: unknown; status?: unknown }
      assert.ok(seen[0] instanceof RangeError, 'it is an error of its kind')
      assert.deepEqual([first.code, first.status], ['BUSY', 503], 'with what a policy may look at')
      same(seen.length, 2, 'what was seen')
    },
  },
  {
    of: 'what was captured at submit surrounds the handler, in every attempt',
    sentence: 'what was captured at submit surrounds the handler where it runs, in every attempt',
    body: async (t) => {
      let current: string | undefined
      const seen: unknown[] = []
      const runner = await t.runner({
        tasks: {
          work: defineTask({
            retry: every(0, 2),
            run: (_input: unknown, ctx) => {
              seen.push([(ctx as PuppetContext).surroundings, ctx.context])
              if (ctx.attempt === 1) throw new Error('once more')
            },
          }),
        },
        context: { capture: () => current },
      })
      current = 'r-1'
      await (await runner.submit('work')).wait()
      current = undefined
      await (await runner.submit('work')).wait()
      assert.deepEqual(seen, [
        ['r-1', 'r-1'],
        ['r-1', 'r-1'],
        [undefined, undefined],
        [undefined, undefined],
      ])
    },
  },
]

export const REASONS: readonly Reason[] = [
  { reason: 'A worker is ended once the grace is over: no handler is unresponsive, or given up on.', twins: ended },
  {
    reason:
      'A worker is ended in time for the runner to see it: its close abandons nobody, and its task is queued again.',
    twins: handedBack,
  },
  { reason: 'What crosses the boundary is copied, and what surrounds a call ends there.', twins: carried },
]

/** A runner that ends its handlers after `GRACE`, and one of them that does not listen. */
async function deaf(
  t: World,
  settings: { readonly timeout?: number | '5s'; readonly concurrency?: number } = {},
): Promise<{ runner: BackgroundRunner; work: Handler }> {
  const work = t.handler()
  const { timeout, concurrency = 10 } = settings
  const runner = await t.runner({
    tasks: { work: defineTask({ ...(timeout !== undefined && { timeout }), retry: every(60_000), run: work.run }) },
    cancelGrace: GRACE,
    concurrency,
  })
  return { runner, work }
}
