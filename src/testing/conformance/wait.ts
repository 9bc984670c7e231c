/** SEMANTICS.md, line 15: nobody waits for ever. */
import assert from 'node:assert/strict'
import { defineTask } from '../../index.js'
import { every, recordOf, refused, refusedWith, same } from './tools.js'
import { type Topic, topic } from './world.js'

export const wait: Topic = topic('wait and result', {
  'wait and result settle at once for a finished task': async (t) => {
    const runner = await t.runner({
      tasks: {
        good: defineTask({ run: () => ({ a: 1 }) }),
        bad: defineTask({
          retry: { attempts: 1 },
          run: () => {
            throw new Error('no luck')
          },
        }),
      },
    })
    const good = await runner.submit('good')
    const bad = await runner.submit('bad')
    await t.reaches(runner, good, 'succeeded')
    await t.reaches(runner, bad, 'failed')
    assert.deepEqual(await good.wait(), await recordOf(good))
    assert.deepEqual(await good.result(), { a: 1 })
    assert.equal((await bad.wait()).state, 'failed', 'wait gives the record of a failure, too')
    const error = await refused(bad.result(), 'TASK_FAILED')
    assert.equal(error.name, 'TaskFailedError')
    assert.match(error.message, /no luck/)
    assert.equal((error.cause as { message?: unknown }).message, 'no luck', 'its cause is the error in the record')
  },

  'wait before the start, during the run and after the end gives the same record': async (t) => {
    const work = t.handler()
    const runner = await t.runner({ tasks: { work: defineTask({ retry: every(1_000), run: work.run }) } })
    const task = await runner.submit('work')
    const before = task.wait()
    const first = await work.call(1)
    const during = task.wait()
    first.reject(new Error('no luck'))
    await t.reaches(runner, task, 'scheduled')
    const between = task.wait()
    await t.advance(1_000)
    ;(await work.call(2)).resolve('done')
    const records = [await before, await during, await between, await task.wait()]
    for (const record of records) assert.deepEqual(record, records[0])
    assert.equal(records[0]?.output, 'done')
  },

  'many who wait for many are all told': async (t) => {
    const work = t.handler()
    const runner = await t.runner({ tasks: { work: defineTask({ run: work.run }) }, concurrency: 50 })
    const tasks = await runner.submitMany(
      'work',
      Array.from({ length: 50 }, (_, i) => i),
    )
    const waiting = tasks.flatMap((task) => [task.result(), task.result()])
    for (let n = 1; n <= 50; n++) {
      const call = await work.call(n)
      call.resolve(call.input)
    }
    assert.deepEqual(
      await Promise.all(waiting),
      Array.from({ length: 100 }, (_, i) => Math.floor(i / 2)),
    )
  },

  'no wake-up is lost, whenever the wait begins': async (t) => {
    const work = t.handler()
    const runner = await t.runner({ tasks: { work: defineTask({ run: work.run }) } })
    for (let microtasks = 0; microtasks < 20; microtasks++) {
      const task = await runner.submit('work')
      const call = await work.call(microtasks + 1)
      const waiting = (async () => {
        for (let i = 0; i < microtasks; i++) await undefined
        return task.wait()
      })()
      call.resolve(microtasks)
      assert.equal((await waiting).output, microtasks)
    }
  },

  'a wait ends on a cancel': async (t) => {
    const runner = await t.runner({ tasks: { work: defineTask({ run: t.handler().run }) }, work: false })
    const task = await runner.submit('work')
    const waiting = task.wait()
    await t.settle()
    await task.cancel()
    assert.equal((await waiting).state, 'cancelled')
  },

  'a wait ends on its timeout with WaitTimeoutError, and the task goes on': async (t) => {
    const work = t.handler()
    const runner = await t.runner({ tasks: { work: defineTask({ run: work.run }) } })
    const task = await runner.submit('work')
    const call = await work.call()
    const long = task.wait({ timeout: '10s' })
    const waiting = refused(task.wait({ timeout: '5s' }), 'WAIT_TIMEOUT')
    const result = refused(runner.result(task.id, { timeout: 5_000 }), 'WAIT_TIMEOUT')
    await t.advance(5_000)
    const error = await waiting
    assert.match(error.message, /5000/)
    await result
    same(call.ctx.signal.aborted, false, 'its signal is aborted')
    call.resolve('done')
    assert.equal((await long).output, 'done')
  },

  'a wait ends on an abort with the reason of its signal, and the task goes on': async (t) => {
    const work = t.handler()
    const runner = await t.runner({ tasks: { work: defineTask({ run: work.run }) } })
    const task = await runner.submit('work')
    const call = await work.call()
    const reason = new Error('the client has gone')
    const controller = new AbortController()
    const waiting = task.wait({ signal: controller.signal })
    const result = task.result({ signal: controller.signal })
    await t.settle()
    controller.abort(reason)
    await refusedWith(waiting, reason)
    await refusedWith(result, reason)
    await refusedWith(task.wait({ signal: AbortSignal.abort(reason) }), reason)
    call.resolve('done')
    assert.equal(await task.result({ signal: new AbortController().signal }), 'done')
  },

  'a wait leaves nothing behind: no timer and no listener on its signal': async (t) => {
    const work = t.handler()
    const runner = await t.runner({ tasks: { work: defineTask({ run: work.run }) } })
    const task = await runner.submit('work')
    const call = await work.call()
    const added: unknown[] = []
    const removed: unknown[] = []
    const { signal } = new AbortController()
    const { addEventListener, removeEventListener } = signal
    signal.addEventListener = (...args: Parameters<typeof addEventListener>) => {
      added.push(args[1])
      addEventListener.apply(signal, args)
    }
    signal.removeEventListener = (...args: Parameters<typeof removeEventListener>) => {
      removed.push(args[1])
      removeEventListener.apply(signal, args)
    }
    const before = t.clock.timers
    const waiting = task.wait({ signal, timeout: '1h' })
    await t.settle()
    same(t.clock.timers, before + 1, 'timers')
    call.resolve()
    await waiting
    assert.deepEqual(removed, added)
    await t.advance(2_000)
    assert.ok(t.clock.timers <= before, `${t.clock.timers} timers, and there were ${before} before the wait`)
  },

  'a wait for a task that was removed ends with TaskNotFoundError': async (t) => {
    const runner = await t.runner({ tasks: { work: defineTask({ run: () => 'done' }) } })
    const task = await runner.submit('work')
    await task.wait()
    await runner.remove(task.id)
    await refused(task.wait(), 'TASK_NOT_FOUND')
    await refused(task.result(), 'TASK_NOT_FOUND')
  },

  'a wait that begins as its task is removed settles': async (t) => {
    const runner = await t.runner({ tasks: { work: defineTask({ run: () => 'done' }) } })
    for (let microtasks = 0; microtasks < 8; microtasks++) {
      const task = await runner.submit('work')
      await task.wait()
      const removing = runner.remove(task.id)
      for (let i = 0; i < microtasks; i++) await undefined
      const settled = await task.wait().then(
        ({ state }) => state,
        (error: { code?: unknown }) => error.code,
      )
      assert.ok(settled === 'succeeded' || settled === 'TASK_NOT_FOUND', String(settled))
      assert.equal(await removing, true)
    }
  },

  'a wait for a task that was pruned ends with TaskNotFoundError': async (t) => {
    const runner = await t.runner({
      tasks: { work: defineTask({ run: () => 'done' }) },
      retention: { succeeded: 500 },
    })
    const task = await runner.submit('work')
    await task.wait()
    await t.advance(2_000)
    await refused(task.wait(), 'TASK_NOT_FOUND')
  },

  'a wait ends on close with RunnerClosedError': async (t) => {
    const work = t.handler()
    const runner = await t.runner({ tasks: { work: defineTask({ run: work.run }) } })
    const running = await runner.submit('work')
    await work.call()
    const scheduled = await runner.submit('work', 1, { delay: '1h' })
    const waits = [running, scheduled].flatMap((task) => [
      refused(task.wait(), 'RUNNER_CLOSED'),
      refused(task.result({ timeout: '2h' }), 'RUNNER_CLOSED'),
    ])
    await t.settle()
    const closing = runner.close({ deadline: 0, drain: false })
    await t.advance(1_000)
    await closing
    await Promise.all(waits)
    await refused(running.wait(), 'RUNNER_CLOSED')
  },

  'a wait that ends while the runner closes gives the record': async (t) => {
    const work = t.handler()
    const runner = await t.runner({ tasks: { work: defineTask({ run: work.run }) } })
    const task = await runner.submit('work')
    const call = await work.call()
    const waiting = task.wait()
    const closing = runner.close()
    const late = task.wait()
    await t.settle()
    call.resolve('done')
    assert.equal((await waiting).output, 'done')
    assert.equal((await late).output, 'done')
    await closing
  },
})
