/** SEMANTICS.md, line 8 (true concurrency, force), and the `concurrency` of a runner and of a definition. */
import assert from 'node:assert/strict'
import { type BackgroundRunner, defineTask } from '../../index.js'
import { nextTurn } from '../real-time.js'
import type { Handler } from './handler.js'
import { every, lacks, recordOf, refused, same } from './tools.js'
import { type Topic, topic, type World } from './world.js'

async function slots(t: World, concurrency: number, tasks = 0): Promise<{ runner: BackgroundRunner; work: Handler }> {
  const work = t.handler()
  const runner = await t.runner({ tasks: { work: defineTask({ run: work.run }) }, concurrency, cancelGrace: 1_000 })
  if (tasks > 0)
    await runner.submitMany(
      'work',
      Array.from({ length: tasks }, (_, i) => i),
    )
  return { runner, work }
}

/** Waits until exactly `count` handlers run, and sees that no more start. */
async function runs(t: World, work: Handler, count: number): Promise<void> {
  await t.until(() => work.running >= count, `${count} handlers run; there are ${work.running}`)
  await t.settle()
  assert.equal(work.running, count)
}

export const concurrency: Topic = topic('concurrency', {
  'as many handlers run at once as there are slots, and no more': async (t) => {
    const { runner, work } = await slots(t, 3, 8)
    await runs(t, work, 3)
    assert.deepEqual(await runner.counts().then(({ queued, running }) => [queued, running]), [5, 3])
    for (let ended = 0; ended < 8; ended++) {
      await runs(t, work, Math.min(3, 8 - ended))
      work.calls[ended]?.resolve()
    }
    await t.until(async () => (await runner.counts()).succeeded === 8, 'all have succeeded')
    assert.deepEqual(work.inputs, [0, 1, 2, 3, 4, 5, 6, 7])
  },

  'ten is the default': async (t) => {
    const work = t.handler()
    const runner = await t.runner({ tasks: { work: defineTask({ run: work.run }) } })
    assert.equal(runner.concurrency, 10)
    await runner.submitMany('work', Array.from({ length: 15 }))
    await runs(t, work, 10)
  },

  'a handler that ignores its timeout keeps its slot': async (t) => {
    const work = t.handler()
    const runner = await t.runner({ tasks: { work: defineTask({ timeout: 100, run: work.run }) }, concurrency: 1 })
    await runner.submitMany('work', ['deaf', 'next'])
    const deaf = await work.call(1)
    await t.advance(60_000)
    same(deaf.ctx.signal.aborted, true, 'its signal is aborted')
    work.wasCalled(1)
    assert.deepEqual(await runner.counts().then(({ queued, running }) => [queued, running]), [1, 1])
    deaf.resolve()
    await work.call(2)
  },

  'a handler that ignores its cancel keeps its slot': async (t) => {
    const { runner, work } = await slots(t, 1)
    const task = await runner.submit('work', 'deaf')
    await runner.submit('work', 'next')
    const deaf = await work.call(1)
    await task.cancel()
    await t.advance(60_000)
    work.wasCalled(1)
    assert.equal((await recordOf(task)).state, 'running')
    deaf.reject(new Error('at last'))
    await work.call(2)
    await t.reaches(runner, task, 'cancelled')
  },

  'cancel with force gives up on an unresponsive handler: cancelled, ABANDONED, its slot is free': async (t) => {
    const { runner, work } = await slots(t, 1)
    const told = t.listen(runner)
    const task = await runner.submit('work', 'deaf')
    await runner.submit('work', 'next')
    const deaf = await work.call(1)
    await task.cancel()
    await t.advance(1_000)
    await t.until(() => told.some(({ event }) => event === 'unresponsive'), 'unresponsive is told')
    const answer = await task.cancel({ force: true })
    assert.equal(answer.id, task.id)
    const record = await t.reaches(runner, task, 'cancelled')
    assert.equal(record.error?.code, 'ABANDONED')
    assert.equal(record.attempts.at(-1)?.outcome, 'cancelled')
    const next = await work.call(2)
    assert.equal(next.input, 'next')
    deaf.resolve('too late')
    await t.settle()
    const after = await recordOf(task)
    assert.equal(after.state, 'cancelled', 'its late result is ignored')
    lacks(after, 'output')
    work.wasCalled(2, 'its late end frees no second slot')
    same(
      told.filter(({ record, event }) => record.id === task.id && event === 'succeeded').length,
      0,
      'such events that were told',
    )
  },

  'cancel with force waits for the grace first': async (t) => {
    const { runner, work } = await slots(t, 1)
    const task = await runner.submit('work', 'deaf')
    await work.call(1)
    await task.cancel({ force: true, reason: 'now' })
    await t.advance(999)
    assert.equal((await recordOf(task)).state, 'running')
    await t.advance(1)
    const record = await t.reaches(runner, task, 'cancelled')
    assert.equal(record.error?.code, 'ABANDONED')
    assert.match(record.error?.message ?? '', /now/)
  },

  'cancel with force of a handler that stops in time is a plain cancel': async (t) => {
    const { runner, work } = await slots(t, 1)
    const task = await runner.submit('work', 1)
    const call = await work.call(1)
    await task.cancel({ force: true })
    call.reject(call.ctx.signal.reason)
    assert.equal((await t.reaches(runner, task, 'cancelled')).error?.code, 'TASK_CANCELLED')
  },

  'force gives up on a handler that ignored its timeout, too': async (t) => {
    const work = t.handler()
    const runner = await t.runner({
      tasks: { work: defineTask({ timeout: 500, run: work.run }) },
      cancelGrace: 1_000,
    })
    const task = await runner.submit('work', 1)
    await work.call(1)
    await t.advance(1_500)
    await task.cancel({ force: true })
    const record = await t.reaches(runner, task, 'cancelled')
    assert.equal(record.error?.code, 'ABANDONED')
    assert.equal(record.attempts.at(-1)?.timedOut, true)
  },

  'an abandoned task can be retried while its old handler still runs, and is not disturbed by it': async (t) => {
    const { runner, work } = await slots(t, 2)
    const task = await runner.submit('work', 1)
    const old = await work.call(1)
    await task.cancel({ force: true })
    await t.advance(1_000)
    await t.reaches(runner, task, 'cancelled')
    await task.retry()
    const call = await work.call(2)
    old.ctx.progress('old')
    await refused(old.ctx.save('old'), 'INVALID_STATE')
    old.resolve('old')
    await t.settle()
    const running = await recordOf(task)
    assert.equal(running.state, 'running')
    lacks(running, 'progress')
    call.resolve('new')
    assert.equal(await task.result(), 'new')
  },

  'concurrency may be raised while handlers run': async (t) => {
    const { runner, work } = await slots(t, 1, 6)
    await runs(t, work, 1)
    runner.concurrency = 4
    assert.equal(runner.concurrency, 4)
    await runs(t, work, 4)
  },

  'concurrency may be lowered while handlers run: nothing starts until there is room': async (t) => {
    const { runner, work } = await slots(t, 4, 9)
    await runs(t, work, 4)
    runner.concurrency = 2
    work.calls[0]?.resolve()
    await runs(t, work, 3)
    work.calls[1]?.resolve()
    await runs(t, work, 2)
    work.wasCalled(4, 'nothing has started yet')
    work.calls[2]?.resolve()
    await runs(t, work, 2)
    work.wasCalled(5)
    runner.concurrency = 3
    await runs(t, work, 3)
  },

  'a lowered concurrency is used to the full when many end at one moment': async (t) => {
    const { runner, work } = await slots(t, 10, 30)
    await runs(t, work, 10)
    runner.concurrency = 5
    await t.settle()
    for (let i = 0; i < 6; i++) work.calls[i]?.resolve()
    await runs(t, work, 5)
    for (const call of work.calls) call.resolve()
    await t.settle()
    await runs(t, work, 5)
  },

  'all ending at one moment after concurrency was lowered stops nothing': async (t) => {
    const { runner, work } = await slots(t, 10, 20)
    await runs(t, work, 10)
    runner.concurrency = 1
    for (const call of work.calls) call.resolve()
    await runs(t, work, 1)
    work.wasCalled(11)
  },

  'concurrency refuses what is no number of slots': async (t) => {
    const { runner } = await slots(t, 2)
    for (const bad of [0, -1, 1.5, Number.NaN, '3' as never]) {
      assert.throws(
        () => {
          runner.concurrency = bad
        },
        { code: 'INVALID_INPUT' },
      )
    }
    assert.equal(runner.concurrency, 2)
  },

  'a definition has a limit of its own, and keeps no other name waiting': async (t) => {
    const narrow = t.handler()
    const wide = t.handler()
    const runner = await t.runner({
      tasks: {
        narrow: defineTask({ concurrency: 2, priority: 9, run: narrow.run }),
        wide: defineTask({ run: wide.run }),
      },
      concurrency: 5,
    })
    await runner.submitMany('narrow', [0, 1, 2, 3])
    await runner.submitMany('wide', [0, 1, 2, 3])
    await runs(t, narrow, 2)
    await runs(t, wide, 3)
    narrow.calls[0]?.resolve()
    await runs(t, narrow, 2)
    assert.deepEqual(narrow.inputs, [0, 1, 2])
    await runs(t, wide, 3)
    wide.calls[0]?.resolve()
    await runs(t, wide, 3)
    wide.wasCalled(4)
    wide.calls[1]?.resolve()
    wide.calls[2]?.resolve()
    await runs(t, narrow, 2)
  },

  'the place of a name is free again after a failure, a retry, a cancel and a forced cancel': async (t) => {
    const work = t.handler()
    const runner = await t.runner({
      tasks: { work: defineTask({ concurrency: 1, retry: every(1_000, 2), run: work.run }) },
      cancelGrace: 100,
    })
    const handles = await runner.submitMany('work', [0, 1, 2, 3])
    ;(await work.call(1)).reject(new Error('once'))
    const second = await work.call(2)
    await runs(t, work, 1)
    await runner.cancel(handles[1]?.id ?? '')
    second.reject(second.ctx.signal.reason)
    await work.call(3)
    await runs(t, work, 1)
    await runner.cancel(handles[2]?.id ?? '', { force: true })
    await t.advance(100)
    ;(await work.call(4)).resolve()
    await t.advance(1_000)
    assert.equal((await work.call(5)).input, 0)
  },

  'concurrency 1 makes each of many handlers run alone': async (t) => {
    let running = 0
    let most = 0
    const runner = await t.runner({
      tasks: {
        work: defineTask({
          run: async () => {
            most = Math.max(most, ++running)
            await nextTurn()
            running--
          },
        }),
      },
      concurrency: 1,
    })
    await runner.submitMany('work', Array.from({ length: 100 }))
    await t.until(async () => (await runner.counts()).succeeded === 100, 'all have run')
    same(most, 1, 'handlers that ran at once')
  },

  'a long backlog of trivial work is worked off, each task once': async (t) => {
    const ran = new Map<unknown, number>()
    const runner = await t.runner({
      tasks: { work: defineTask({ run: (input: unknown) => void ran.set(input, (ran.get(input) ?? 0) + 1) }) },
    })
    const inputs = Array.from({ length: 1_000 }, (_, i) => i)
    await runner.submitMany('work', inputs)
    await t.until(async () => (await runner.counts()).succeeded === 1_000, 'all have run')
    same(ran.size, 1_000, 'tasks that ran')
    assert.deepEqual(
      [...ran].filter(([, count]) => count !== 1),
      [],
      'tasks that ran more than once',
    )
  },
})
