/**
 * The promise `durable`: what `submit` has acknowledged outlives its runner, with all that belongs to it. Each test closes
 * a runner and opens another one over the same storage, as a deploy does. (A process that dies is left to the engines' own
 * tests.)
 */
import assert from 'node:assert/strict'
import { type BackgroundRunner, defineTask, type TaskDefinition } from '../../index.js'
import type { Handler } from './handler.js'
import { every, ids, nth, refused, same } from './tools.js'
import { JSON_VALUES } from './values.js'
import { type Setup, type Topic, topic, type World } from './world.js'

/** Another runner over the storage of the test. */
function opened(t: World, run: TaskDefinition['run'], setup: Partial<Setup> = {}): Promise<BackgroundRunner> {
  return t.runner({ tasks: { work: defineTask({ retry: every(1_000), run }) }, ...setup, storage: 'kept' })
}

/** The same, which only submits. */
function submitting(t: World): Promise<BackgroundRunner> {
  return opened(t, t.handler().run, { work: false })
}

/** What all tasks of `runner` look like. */
async function everything(runner: BackgroundRunner): Promise<unknown> {
  return [await runner.counts(), await runner.list({ limit: 1_000 })]
}

/** Ends the call in three ways, as its input says. */
async function end(work: Handler, n: number): Promise<void> {
  const call = await work.call(n)
  call.ctx.progress({ done: call.input })
  await call.ctx.save({ saved: call.input })
  if (call.input === 'good') call.resolve({ output: [1, null, 'a'] })
  else call.reject(Object.assign(new Error('no luck'), { code: 'ECONN', details: { host: 'mx' } }))
}

export const durable: Topic = topic(
  'a durable engine',
  {
    'what was submitted is there after a restart, as it was, and runs': async (t) => {
      const first = await submitting(t)
      const options = { key: 'k', tags: ['a', 'b'], metadata: { tenant: 7 }, priority: 3 }
      const tasks = [
        await first.submit('work', { to: 'ada' }, options),
        await first.submit('work', 'later', { delay: '1h', id: 'mine' }),
        await first.submit('work'),
      ]
      const before = await everything(first)
      await t.closed(first)
      const work = t.handler()
      const second = await opened(t, work.run, { work: false })
      assert.deepEqual(await everything(second), before)
      await t.closed(second)
      const third = await opened(t, work.run)
      for (const n of [1, 2]) (await work.call(n)).resolve(n)
      assert.deepEqual(work.inputs, [{ to: 'ada' }, undefined])
      assert.deepEqual(work.calls[0]?.ctx.metadata, { tenant: 7 })
      for (const n of [0, 2]) await t.reaches(third, nth(tasks, n), 'succeeded')
      same((await third.counts()).scheduled, 1, 'scheduled tasks')
    },

    'every kind of value is unchanged after a restart': async (t) => {
      const values = Object.values(JSON_VALUES)
      const work = t.handler()
      const first = await opened(t, work.run, { concurrency: values.length })
      const tasks = await first.submitMany('work', values, (value) => ({ metadata: { value } }))
      for (const n of values.keys()) {
        const call = await work.call(n + 1)
        call.ctx.progress(call.input)
        await call.ctx.save(call.input)
        call.resolve(call.input)
      }
      for (const task of tasks) await task.wait()
      await t.closed(first)
      const second = await submitting(t)
      for (const [n, value] of values.entries()) {
        const record = await second.wait(nth(tasks, n).id)
        const { input, output, metadata, progress } = record
        assert.deepStrictEqual([input, output, metadata, progress], [value, value, { value }, value])
        assert.equal(JSON.stringify(input), JSON.stringify(value), 'the order of its keys, too')
      }
    },

    'what has ended keeps its record after a restart: output, error, history, times': async (t) => {
      const work = t.handler()
      const first = await opened(t, work.run)
      const tasks = await first.submitMany('work', ['good', 'bad'], { retry: { attempts: 1 } })
      const gone = await first.submit('work', 'gone', { delay: '1h' })
      await gone.cancel({ reason: 'the order was withdrawn' })
      await t.advance(50)
      for (const n of [1, 2]) await end(work, n)
      for (const task of tasks) await task.wait()
      const before = await everything(first)
      await t.closed(first)
      await t.advance(1_000)
      const second = await opened(t, work.run)
      assert.deepEqual(await everything(second), before)
      const [good, bad] = [nth(tasks, 0), nth(tasks, 1)]
      assert.deepEqual(await second.result(good.id), { output: [1, null, 'a'] })
      assert.match((await refused(second.result(bad.id), 'TASK_FAILED')).message, /no luck/)
      assert.match((await refused(second.result(gone.id), 'TASK_CANCELLED')).message, /withdrawn/)
      const again = await second.retry(bad.id)
      assert.deepEqual([again.attempt, again.maxAttempts], [1, 2])
      const { ctx } = await work.call(3)
      assert.deepEqual(
        [ctx.attempt, ctx.retries, ctx.saved, ctx.previous?.error?.code],
        [2, 1, { saved: 'bad' }, 'ECONN'],
      )
    },

    'the next attempt may come after a restart: with its time, saved state, progress and history': async (t) => {
      const work = t.handler()
      const first = await opened(t, work.run)
      const task = await first.submit('work', 'bad')
      await end(work, 1)
      const waiting = await t.reaches(first, task, 'scheduled')
      await t.closed(first) // and the clock is past its time
      const second = await opened(t, work.run)
      const { ctx, resolve } = await work.call(2)
      assert.deepEqual(
        [ctx.attempt, ctx.saved, ctx.previous, ctx.createdAt],
        [2, { saved: 'bad' }, waiting.attempts[0], waiting.createdAt],
      )
      assert.deepEqual((await second.status(task.id))?.progress, { done: 'bad' })
      resolve('done')
      const { maxAttempts, attempts } = await t.reaches(second, task, 'succeeded')
      assert.deepEqual([maxAttempts, attempts.length], [3, 2])
    },

    'what is scheduled keeps its time over a restart, and what became due in between runs in its order': async (t) => {
      const first = await submitting(t)
      const runAt = t.clock.now()
      for (const minutes of [50, 20, 40, 90])
        await first.submit('work', minutes, { runAt: runAt + minutes * 60_000, priority: minutes === 40 ? 1 : 0 })
      await t.closed(first)
      await t.clock.leap(60 * 60_000)
      const work = t.handler()
      await opened(t, work.run, { concurrency: 1 })
      for (const n of [1, 2, 3]) (await work.call(n)).resolve()
      assert.deepEqual(work.inputs, [40, 20, 50])
      await t.advance(runAt + 90 * 60_000 - 1 - t.clock.now())
      work.wasCalled(3, 'it is not early')
      await t.advance(1)
      assert.equal((await work.call(4)).input, 90)
    },

    'priorities and the order of submission outlive a restart': async (t) => {
      const first = await submitting(t)
      const tasks = await first.submitMany('work', ['a', 'b', 'c', 'd'], (_input, i) => ({ priority: i === 2 ? 5 : 0 }))
      await first.setPriority(nth(tasks, 3).id, 9)
      await t.closed(first)
      const second = await submitting(t)
      await second.submit('work', 'e')
      await second.submit('work', 'f', { priority: 5 })
      await t.closed(second)
      const work = t.handler()
      await opened(t, work.run, { concurrency: 1 })
      for (const n of [1, 2, 3, 4, 5, 6]) (await work.call(n)).resolve()
      assert.deepEqual(work.inputs, ['d', 'c', 'f', 'a', 'b', 'e'])
    },

    'a key and an id find their task after a restart, a finished one too': async (t) => {
      const work = t.handler()
      const first = await opened(t, work.run)
      const byKey = await first.submit('work', 1, { key: 'k' })
      const byId = await first.submit('work', 2, { id: 'mine', delay: '1h' })
      ;(await work.call(1)).resolve()
      await byKey.wait()
      await t.closed(first)
      const second = await submitting(t)
      const again = [await second.submit('work', 3, { key: 'k' }), await second.submit('work', 4, { id: 'mine' })]
      assert.deepEqual(ids(again), [byKey.id, byId.id])
      assert.ok(
        again.every(({ deduplicated }) => deduplicated),
        'both are deduplicated',
      )
    },

    'a pause outlives a restart, and so does its end': async (t) => {
      const first = await submitting(t)
      await first.pause()
      await first.submit('work', 1)
      await t.closed(first)
      const work = t.handler()
      const second = await opened(t, work.run)
      await t.advance(10_000)
      work.wasCalled(0, 'nothing starts: it is still paused')
      await second.resume()
      ;(await work.call(1)).resolve()
      await t.closed(second)
      const third = await opened(t, work.run)
      await third.submit('work', 2)
      await work.call(2)
    },

    'a timeout, a retry policy and a context given at submit outlive a restart; all else is the definition of then':
      async (t) => {
        const first = await t.runner({
          tasks: { work: defineTask({ run: t.handler().run }) },
          context: { capture: () => ({ trace: 'r-1' }) },
          work: false,
          storage: 'kept',
        })
        const task = await first.submit('work', 1, { timeout: '2s', retry: { attempts: 2 } })
        await t.closed(first)
        const work = t.handler()
        const tasks = { work: defineTask({ timeout: '1h', retry: every(9_000, 7), run: work.run }) }
        const second = await opened(t, work.run, { tasks })
        const { ctx, reject } = await work.call()
        assert.deepEqual(ctx.context, { trace: 'r-1' })
        await t.advance(2_000)
        assert.equal(ctx.signal.aborted, true, 'the timeout of the submit has fired')
        reject(new Error('stopped'))
        const { maxAttempts, runAt } = await t.reaches(second, task, 'scheduled')
        assert.deepEqual([maxAttempts, runAt - t.clock.now()], [2, 9_000])
      },

    'a task whose name the next process does not know waits for one that does': async (t) => {
      const first = await submitting(t)
      const task = await first.submit('work', 1)
      await t.closed(first)
      const other = t.handler()
      const second = await opened(t, other.run, { tasks: { other: defineTask({ run: other.run }) } })
      await second.submit('other')
      await other.call()
      await t.advance(10_000)
      assert.equal((await second.status(task.id))?.state, 'queued')
      await t.closed(second)
      const work = t.handler()
      await opened(t, work.run)
      await work.call()
    },

    'what close handed back runs after the restart, and no attempt was used': async (t) => {
      const work = t.handler()
      const first = await opened(t, work.run)
      await first.submit('work', 1)
      const call = await work.call(1)
      const closing = first.close({ deadline: 0, drain: false })
      await t.advance(0)
      call.reject(call.ctx.signal.reason)
      await t.settle()
      await t.advance(1_000)
      assert.deepEqual(await closing, { completed: 0, returned: 1, abandoned: 0, pending: 0 })
      const second = await opened(t, work.run)
      const { ctx } = await t.news(() => work.calls[1], 'it runs again')
      assert.deepEqual([ctx.attempt, ctx.previous?.outcome], [2, 'released'])
      assert.equal((await second.status(ctx.id))?.maxAttempts, 4)
    },

    'what close gave up on runs after the restart, as often as that may happen; a late result changes nothing': async (
      t,
    ) => {
      const work = t.handler()
      let id = ''
      for (let n = 1; n <= 4; n++) {
        const runner = await opened(t, work.run)
        if (n === 1) id = (await runner.submit('work', 1, { retry: { attempts: 1 } })).id
        const { ctx } = await t.news(() => work.calls[n - 1], `it runs for the ${n}. time`)
        assert.equal(ctx.attempt, n)
        await ctx.save({ at: n })
        assert.deepEqual(await t.closed(runner), { completed: 0, returned: 0, abandoned: 1, pending: 0 })
        await assert.rejects(ctx.save('late'), 'what was given up on can save no more')
      }
      const last = await opened(t, work.run)
      const { ctx, resolve } = await t.news(() => work.calls[4], 'it runs for the last time')
      assert.deepEqual(ctx.saved, { at: 4 })
      for (const call of work.calls.slice(0, 4)) call.resolve('late')
      await t.settle()
      assert.equal((await last.status(id))?.state, 'running')
      resolve('in time')
      const record = await t.reaches(last, { id }, 'succeeded', 'failed')
      assert.deepEqual([record.output, record.attempt, record.maxAttempts], ['in time', 5, 5])
    },

    'a cancel that the handler did not follow before close is not forgotten': async (t) => {
      const work = t.handler()
      const first = await opened(t, work.run)
      const task = await first.submit('work', 1)
      await work.call(1)
      await task.cancel({ reason: 'the order was withdrawn' })
      await t.closed(first)
      const second = await opened(t, work.run)
      const record = await t.news(async () => {
        const seen = await second.status(task.id)
        return seen?.state === 'cancelled' ? seen : undefined
      }, 'it is cancelled')
      assert.match(record.error?.message ?? '', /withdrawn/)
      work.wasCalled(1, 'it does not run again')
    },

    'drain is not the default of close, where tasks outlive the process': async (t) => {
      const work = t.handler()
      const runner = await opened(t, work.run, { concurrency: 1 })
      await runner.submitMany('work', [1, 2])
      const call = await work.call(1)
      const closing = runner.close()
      call.resolve()
      assert.deepEqual(await closing, { completed: 1, returned: 0, abandoned: 0, pending: 1 })
    },

    'what got over its retention while nobody was there goes after the restart': async (t) => {
      const run = (input: unknown): void => {
        if (input === 'bad') throw new Error('no luck')
      }
      const retention = { succeeded: '1h', failed: '2h' } as const
      const first = await opened(t, run, { retention })
      const good = await first.submit('work', 'good', { key: 'k' })
      const bad = await first.submit('work', 'bad', { retry: { attempts: 1 } })
      for (const task of [good, bad]) await task.wait()
      await t.closed(first)
      await t.clock.leap(3_600_000)
      const second = await opened(t, run, { retention })
      await (await second.submit('work')).wait()
      await t.advance(2_000)
      await t.until(async () => (await second.status(good.id)) === undefined, 'what is over goes')
      assert.equal((await second.status(bad.id))?.state, 'failed', 'what is not over stays')
      assert.equal((await second.submit('work', 3, { key: 'k' })).deduplicated, false, 'its key is free')
    },
  },
  { durable: true },
)
