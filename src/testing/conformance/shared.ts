/**
 * The promise `shared`: several processes work on the same tasks. Each runner of a test is one of them, with an engine of
 * its own over one storage. What one of them did, another may hear of a little later (`news`). (A process that dies or
 * loses its lease is left to the engines' own tests.)
 */
import assert from 'node:assert/strict'
import { defineTask } from '../../index.js'
import { called, joined, pair, run, settled } from './processes.js'
import { codeOf, ids, nth, refused, same } from './tools.js'
import { type Topic, topic } from './world.js'

export const shared: Topic = topic(
  'a shared engine',
  {
    'a task that one process submits runs in another, and both tell the same of it': async (t) => {
      const { web, worker, work } = await pair(t)
      const task = await web.submit('work', { to: 'ada' }, { metadata: { tenant: 7 }, key: 'k', tags: ['a'] })
      const call = await called(t, work)
      assert.deepEqual([call.input, call.ctx.metadata], [{ to: 'ada' }, { tenant: 7 }])
      call.ctx.progress('half')
      await t.news(async () => (await task.status())?.progress === 'half', 'the progress is seen by who submitted it')
      call.resolve('done')
      const record = await settled(t, task.wait(), 'wait settles')
      assert.deepEqual([record.state, record.output, record.attempt], ['succeeded', 'done', 1])
      assert.deepEqual(await worker.status(task.id), record)
      assert.deepEqual(await web.counts(), await worker.counts())
      assert.deepEqual(await web.list(), await worker.list())
    },

    'wait and result settle on every end in another process, whenever they begin': async (t) => {
      const { web, worker, work } = await pair(t)
      const early = await web.submitMany('work', ['good', 'bad', 'gone'], { retry: { attempts: 1 } })
      const results = early.map((task) => task.result().then((output) => `resolved: ${output}`, codeOf))
      for (const n of [1, 2, 3]) {
        const call = await called(t, work, n)
        if (call.input === 'gone') await worker.cancel(call.ctx.id)
        if (call.input === 'good') call.resolve('done')
        else call.reject(new Error('no luck'))
      }
      const all = await settled(t, Promise.all(results), 'the three settle')
      assert.deepEqual(all, ['resolved: done', 'TASK_FAILED', 'TASK_CANCELLED'])
      assert.equal(await settled(t, web.result(nth(early, 0).id), 'one that begins late settles'), 'done')
      for (let microtasks = 0; microtasks < 10; microtasks++) {
        const task = await web.submit('work', microtasks)
        const call = await called(t, work, microtasks + 4)
        const waiting = (async () => {
          for (let i = 0; i < microtasks; i++) await undefined
          return task.result()
        })()
        call.resolve(microtasks)
        assert.equal(
          await settled(t, waiting, `the wait settles that began ${microtasks} microtasks later`),
          microtasks,
        )
      }
    },

    'many tasks, and several processes that work: each task runs once': async (t) => {
      const ran = new Map<unknown, number>()
      const once = (input: unknown): void => void ran.set(input, (ran.get(input) ?? 0) + 1)
      const first = await joined(t, once)
      const workers = [first, await joined(t, once), await joined(t, once)]
      const inputs = Array.from({ length: 300 }, (_, i) => i)
      for (const runner of workers) await runner.submitMany('work', inputs.splice(0, 100))
      await t.news(
        async () => (await first.counts()).succeeded === 300,
        () => `all have run; it were ${ran.size}`,
      )
      same(ran.size, 300, 'tasks that ran')
      assert.deepEqual(
        [...ran].filter(([, times]) => times !== 1),
        [],
        'tasks that ran more than once',
      )
    },

    'each process has slots of its own': async (t) => {
      const works = [t.handler(), t.handler()]
      for (const [n, work] of works.entries()) await joined(t, work.run, { concurrency: n + 1 })
      const web = await joined(t, t.handler().run, { work: false })
      await web.submitMany('work', [1, 2, 3, 4, 5])
      await run(t, works, 3)
      assert.deepEqual(
        works.map(({ running }) => running),
        [1, 2],
      )
    },

    'cancel reaches a handler in another process': async (t) => {
      const { web, worker, work } = await pair(t)
      const task = await web.submit('work')
      const { ctx, reject } = await called(t, work)
      const at = t.clock.now()
      const asked = await task.cancel({ reason: 'the order was withdrawn' })
      assert.deepEqual([asked.state, asked.cancelRequestedAt], ['running', at])
      await t.news(() => ctx.signal.aborted, 'its signal is aborted')
      assert.equal(codeOf(ctx.signal.reason), 'TASK_CANCELLED')
      assert.match((ctx.signal.reason as Error).message, /withdrawn/)
      reject(ctx.signal.reason)
      const record = await settled(t, task.wait(), 'wait settles')
      assert.deepEqual([record.state, record.cancelRequestedAt], ['cancelled', at])
      assert.deepEqual(await worker.status(task.id), record)
    },

    'cancel with force gives up on a handler in another process': async (t) => {
      const { web, work } = await pair(t, { concurrency: 1 })
      const task = await web.submit('work', 'deaf')
      await web.submit('work', 'next')
      await called(t, work)
      await task.cancel({ force: true })
      const record = await settled(t, task.wait(), 'it is given up on after its grace')
      assert.deepEqual([record.state, record.error?.code], ['cancelled', 'ABANDONED'])
      assert.equal((await called(t, work, 2)).input, 'next', 'its slot is free')
    },

    'cancel, setPriority and remove of what waits count for every process': async (t) => {
      const { web, worker, work } = await pair(t, { concurrency: 1 })
      const tasks = await web.submitMany('work', ['first', 'a', 'b', 'c'])
      const [first, a, b, c] = [nth(tasks, 0), nth(tasks, 1), nth(tasks, 2), nth(tasks, 3)]
      const call = await called(t, work)
      assert.equal((await a.cancel()).state, 'cancelled')
      assert.equal((await web.setPriority(c.id, 5)).priority, 5)
      call.resolve()
      ;(await called(t, work, 2)).resolve()
      ;(await called(t, work, 3)).resolve()
      assert.deepEqual(work.inputs, ['first', 'c', 'b'])
      await settled(t, b.wait(), 'the last one ends')
      same(await web.remove(first.id), true, 'what remove answers')
      assert.equal(await worker.status(first.id), undefined)
      assert.equal((await worker.status(a.id))?.state, 'cancelled')
    },

    'pause holds every process, and resume lets all go on': async (t) => {
      const { web, worker, work } = await pair(t)
      await web.pause()
      await worker.submit('work', 1)
      await web.submit('work', 2)
      await t.advance(10_000)
      work.wasCalled(0, 'nothing starts while the engine is paused')
      await web.resume()
      await called(t, work, 2)
    },

    'a retry in one process runs in another': async (t) => {
      const { web, work } = await pair(t)
      const task = await web.submit('work', 1, { retry: { attempts: 1 } })
      ;(await called(t, work)).reject(new Error('no luck'))
      await settled(t, task.wait(), 'it fails')
      assert.equal((await task.retry()).state, 'queued')
      const { ctx } = await called(t, work, 2)
      assert.deepEqual([ctx.attempt, ctx.retries], [2, 1])
    },

    'a delay that one process gave is kept by another, and is never early': async (t) => {
      const { web, work } = await pair(t)
      const runAt = t.clock.now() + 30_000
      await web.submit('work', 1, { runAt })
      await t.advance(29_999)
      work.wasCalled(0, 'it is not early')
      await t.advance(1)
      await called(t, work)
    },

    'one key or id from several processes at one moment makes one task': async (t) => {
      const { web, worker } = await pair(t)
      for (const options of [{ key: 'k' }, { id: 'mine' }]) {
        const submits = Array.from({ length: 20 }, (_, i) => (i % 2 ? web : worker).submit('work', i, options))
        const handles = await Promise.all(submits)
        assert.equal(new Set(ids(handles)).size, 1, 'all have the same id')
        assert.equal(handles.filter(({ deduplicated }) => !deduplicated).length, 1, 'one of them is new')
      }
      const { queued, running } = await web.counts()
      assert.equal(queued + running, 2)
    },

    'maxPending counts what all processes have submitted': async (t) => {
      const run = t.handler().run
      const web = await joined(t, run, { work: false, maxPending: 2 })
      const other = await joined(t, run, { work: false, maxPending: 2 })
      await web.submit('work', 1)
      await other.submit('work', 2, { delay: '1h' })
      for (const runner of [web, other]) await refused(runner.submit('work', 3), 'QUEUE_FULL', runner)
    },

    'events tell what their own process did': async (t) => {
      const { web, worker, work } = await pair(t)
      const [told, ofWorker] = [t.listen(web), t.listen(worker)]
      const task = await web.submit('work', 1, { retry: { attempts: 1 } })
      ;(await called(t, work)).reject(new Error('no luck'))
      await settled(t, task.wait(), 'it fails')
      await task.retry({ delay: '1h' })
      await task.cancel()
      await t.advance(1_000)
      assert.deepEqual(
        [told, ofWorker].map((each) => each.map(({ event }) => event)),
        [
          ['submitted', 'retrying', 'cancelled'],
          ['started', 'failed'],
        ],
      )
    },

    'onIdle of a process that only submits resolves when another has done the work': async (t) => {
      const { web, work } = await pair(t)
      await web.submitMany('work', [1, 2])
      let idle = false
      const waiting = web.onIdle().then(() => {
        idle = true
      })
      ;(await called(t, work, 1)).resolve()
      await called(t, work, 2)
      await t.advance(1_000)
      assert.equal(idle, false, 'one is still running')
      nth(work.calls, 1).resolve()
      await settled(t, waiting, 'onIdle resolves')
    },

    'a process takes only the names that it knows, and leaves the others to one that does': async (t) => {
      const { web, work } = await pair(t)
      const other = t.handler()
      const tasks = { other: defineTask({ run: other.run }) }
      const stranger = await joined(t, other.run, { tasks })
      const task = await stranger.submit('other', 1, { priority: 9 })
      await web.submit('work', 2)
      assert.equal((await called(t, work)).input, 2)
      assert.equal((await called(t, other)).input, 1)
      work.wasCalled(1)
      assert.equal((await web.status(task.id))?.state, 'running')
    },

    'what a process hands back as it closes runs in another, which goes on': async (t) => {
      const [work, next] = [t.handler(), t.handler()]
      const leaving = await joined(t, work.run)
      const task = await leaving.submit('work', 1)
      const call = await called(t, work)
      const staying = await joined(t, next.run)
      const closing = leaving.close({ deadline: 0, drain: false })
      await t.advance(0)
      call.reject(call.ctx.signal.reason)
      await t.advance(1_000)
      const { completed, returned, abandoned } = await closing
      assert.deepEqual([completed, returned, abandoned], [0, 1, 0])
      const { ctx, resolve } = await called(t, next)
      assert.deepEqual([ctx.attempt, ctx.previous?.outcome], [2, 'released'])
      resolve('done')
      const { maxAttempts, output } = await settled(t, staying.wait(task.id), 'it ends')
      assert.deepEqual([maxAttempts, output], [3, 'done'])
      await refused(leaving.status(task.id), 'RUNNER_CLOSED')
    },
  },
  { shared: true },
)
