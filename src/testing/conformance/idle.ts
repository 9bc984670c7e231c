/** SEMANTICS.md, of line 15: `onIdle`, and the event `idle`. */
import assert from 'node:assert/strict'
import { type BackgroundRunner, defineTask } from '../../index.js'
import { occupy } from '../real-time.js'
import { every, refused, same } from './tools.js'
import { type Topic, topic } from './world.js'

export const idle: Topic = topic('onIdle and idle', {
  'onIdle resolves when nothing is queued, scheduled or running': async (t) => {
    const work = t.handler()
    const runner = await t.runner({ tasks: { work: defineTask({ run: work.run }) }, concurrency: 1 })
    await runner.onIdle()
    await runner.submitMany('work', [1, 2])
    await runner.submit('work', 3, { delay: 5_000 })
    let idle = 0
    const both = [runner.onIdle(), runner.onIdle()].map((each) =>
      each.then(() => {
        idle++
      }),
    )
    ;(await work.call(1)).resolve()
    ;(await work.call(2)).resolve()
    await t.settle()
    assert.equal(idle, 0, 'one is scheduled')
    await t.advance(5_000)
    const last = await work.call(3)
    await t.settle()
    assert.equal(idle, 0, 'one is running')
    last.resolve()
    await Promise.all(both)
    await runner.onIdle()
  },

  'onIdle resolves when the last task is cancelled': async (t) => {
    const runner = await t.runner({ tasks: { work: defineTask({ run: t.handler().run }) } })
    const task = await runner.submit('work', 1, { delay: '1h' })
    const idle = runner.onIdle()
    await t.settle()
    await task.cancel()
    await idle
  },

  'onIdle resolves when the last task fails for good, and after a retry anew': async (t) => {
    const work = t.handler()
    const runner = await t.runner({ tasks: { work: defineTask({ retry: every(1_000, 2), run: work.run }) } })
    const task = await runner.submit('work')
    const idle = runner.onIdle()
    ;(await work.call(1)).reject(new Error('no luck'))
    await t.reaches(runner, task, 'scheduled')
    await t.advance(1_000)
    ;(await work.call(2)).reject(new Error('no luck'))
    await idle
    await task.retry()
    let again = false
    const second = runner.onIdle().then(() => {
      again = true
    })
    await t.settle()
    same(again, false, 'onIdle has resolved')
    ;(await work.call(3)).resolve()
    await second
  },

  'onIdle never misses the moment, whenever it is asked': async (t) => {
    const work = t.handler()
    const runner = await t.runner({ tasks: { work: defineTask({ run: work.run }) } })
    for (let microtasks = 0; microtasks < 20; microtasks++) {
      await runner.submit('work')
      const call = await work.call(microtasks + 1)
      const idle = (async () => {
        for (let i = 0; i < microtasks; i++) await undefined
        await runner.onIdle()
      })()
      call.resolve()
      await idle
    }
  },

  'idle is told once when the work is done': async (t) => {
    const runner = await t.runner({ tasks: { work: defineTask({ run: () => 'done' }) } })
    let told = 0
    runner.on('idle', () => void told++)
    const tasks = await runner.submitMany('work', [1, 2, 3])
    for (const task of tasks) await task.wait()
    await t.until(() => told === 1, 'idle is told')
    await t.advance(60_000)
    same(told, 1, 'times it was told')
    await (await runner.submit('work')).wait()
    await t.until(() => told === 2, 'idle is told again')
  },

  'idle is told only after there was something to do': async (t) => {
    const runner = await t.runner({ tasks: { work: defineTask({ run: () => 'done' }) } })
    let told = 0
    runner.on('idle', () => void told++)
    const nothing = async (): Promise<void> => {
      await runner.submitMany('work', [])
      await runner.pause()
      await runner.resume()
      runner.concurrency = 3
      await runner.onIdle()
      await t.advance(5_000)
    }
    await nothing()
    same(told, 0, 'times it was told')
    await (await runner.submit('work', 1, { key: 'k' })).wait()
    await t.until(() => told === 1, 'idle is told')
    await runner.submit('work', 1, { key: 'k' })
    await nothing()
    same(told, 1, 'times it was told')
  },

  'an onIdle that waits while a listener of idle submits does not resolve before that task has ended': async (t) => {
    for (const delay of [0, 1_000]) {
      const work = t.handler()
      const runner = await t.runner({ tasks: { work: defineTask({ run: work.run }) } })
      runner.once('idle', () => void runner.submit('work', 2, { delay }))
      await runner.submit('work', 1)
      const first = await work.call(1)
      let idle = false
      const waiting = runner.onIdle().then(() => {
        idle = true
      })
      await t.settle()
      first.resolve()
      await t.until(async () => (await runner.counts()).succeeded === 1, 'the first one has ended')
      await t.settle()
      assert.equal(idle, false, 'one is waiting')
      await t.advance(delay)
      const second = await work.call(2)
      await t.settle()
      assert.equal(idle, false, 'one is running')
      second.resolve()
      await waiting
    }
  },

  'a listener of idle may submit: idle is told again, and an onIdle that it asks for resolves': async (t) => {
    // Where the engine stands when it tells of idle: between two looks, within one, or with a look already asked for.
    const wakes: readonly ((runner: BackgroundRunner) => void)[] = [
      () => {},
      (runner) => void runner.resume(),
      (runner) => {
        runner.concurrency = 1
      },
    ]
    for (const wake of wakes)
      for (const event of ['started', 'succeeded', 'in the handler'] as const)
        for (const count of [1, 2]) {
          let [told, runs] = [0, 0]
          const waiting: Promise<void>[] = []
          const runner = await t.runner({
            tasks: {
              work: defineTask({
                run: () => {
                  runs++
                  if (runs === 1 && event === 'in the handler') wake(runner)
                  if (runs === 2) occupy(7) // a turn that is spent: the engine goes on in the next one
                },
              }),
            },
            concurrency: 1,
          })
          if (event !== 'in the handler') runner.once(event, () => wake(runner))
          runner.on('idle', () => {
            if (++told > 1) return
            void runner.submit('work')
            waiting.push(runner.onIdle())
          })
          await runner.submitMany('work', Array.from({ length: count }))
          await t.until(() => told === 2, `idle is told again after ${count}, woken at ${event}`)
          await Promise.all(waiting)
          await runner.onIdle()
          same(runs, count + 1, 'handlers that ran')
          same(told, 2, 'times it was told')
        }
  },

  'onIdle rejects on close': async (t) => {
    const runner = await t.runner({ tasks: { work: defineTask({ run: t.handler().run }) } })
    await runner.submit('work', 1, { delay: '1h' })
    const idle = refused(runner.onIdle(), 'RUNNER_CLOSED')
    await t.settle()
    await runner.close()
    await idle
    await refused(runner.onIdle(), 'RUNNER_CLOSED')
  },
})
