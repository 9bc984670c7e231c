/** How a runner begins: `ready`, what is asked before the engine is open, `setup` and its teardown. */
import assert from 'node:assert/strict'
import { defineTask } from '../../index.js'
import { codeOf, every, refused, same } from './tools.js'
import { type Topic, topic } from './world.js'

export const opening: Topic = topic('opening, setup and teardown', {
  'ready resolves when the engine is open': async (t) => {
    const runner = await t.runner({ tasks: {} })
    assert.equal(await runner.ready(), undefined)
  },

  'what is asked before the engine is open is answered when it is': async (t) => {
    const work = t.handler()
    const runner = await t.opening({ tasks: { work: defineTask({ run: work.run }) } })
    const ready = runner.ready()
    const seen: string[] = []
    runner.watch((changed) => void seen.push(...changed))
    runner.concurrency = 2
    const asked = Promise.all([
      runner.submit('work', 1, { id: 'mine' }),
      runner.submitMany('work', [2, 3]),
      runner.status('unknown'),
      runner.onIdle(),
    ])
    const waiting = refused(runner.wait('unknown'), 'TASK_NOT_FOUND')
    await ready
    await waiting
    await work.call(2)
    await t.settle()
    assert.equal(work.running, 2)
    work.calls[0]?.resolve()
    ;(await work.call(3)).resolve()
    work.calls[1]?.resolve()
    const [handle, many, status] = await asked
    assert.deepEqual([handle.id, many.length, status], ['mine', 2, undefined])
    assert.ok(seen.includes('mine'), 'watch has told of the first task')
  },

  'a runner that is closed before its engine is open closes': async (t) => {
    const runner = await t.opening({ tasks: { work: defineTask({ run: t.handler().run }) } })
    const ready = runner.ready().catch((error: unknown) => assert.equal(codeOf(error), 'RUNNER_CLOSED'))
    assert.deepEqual(await runner.close(), { completed: 0, returned: 0, abandoned: 0, pending: 0 })
    await ready
  },

  'setup is called once, before the first attempt, and its teardown at the end of close': async (t) => {
    const log: string[] = []
    let finish: (() => void) | undefined
    const runner = await t.runner({
      tasks: {
        work: defineTask({
          setup: async () => {
            log.push('setup')
            await new Promise<void>((resolve) => {
              finish = resolve
            })
            log.push('ready')
            return async () => {
              log.push('teardown')
            }
          },
          run: () => void log.push('run'),
        }),
        unused: defineTask({ setup: () => void log.push('unused'), run: () => undefined }),
      },
    })
    const tasks = await runner.submitMany('work', [1, 2, 3])
    await t.until(() => finish, 'setup is called')
    await t.settle()
    assert.deepEqual(log, ['setup'])
    finish?.()
    for (const task of tasks) await task.wait()
    assert.deepEqual(log, ['setup', 'ready', 'run', 'run', 'run'])
    await runner.close()
    assert.deepEqual(log, ['setup', 'ready', 'run', 'run', 'run', 'teardown'])
    await runner.close()
    same(log.length, 6, 'what was called')
  },

  'a setup that throws fails its attempts, and is called again by the next': async (t) => {
    let setups = 0
    const runner = await t.runner({
      tasks: {
        work: defineTask({
          retry: every(1_000, 2),
          setup: () => {
            if (++setups === 1) throw new Error('no connection')
          },
          run: () => 'done',
        }),
      },
    })
    const task = await runner.submit('work')
    assert.equal((await t.reaches(runner, task, 'scheduled')).error?.message, 'no connection')
    await t.advance(1_000)
    assert.equal(await task.result(), 'done')
    same(setups, 2, 'times setup was called')
  },

  'a task that is cancelled during setup never runs': async (t) => {
    let finish: (() => void) | undefined
    const work = t.handler()
    const runner = await t.runner({
      tasks: {
        work: defineTask({
          setup: () =>
            new Promise<void>((resolve) => {
              finish = resolve
            }),
          run: work.run,
        }),
      },
    })
    const task = await runner.submit('work')
    await t.until(() => finish, 'setup is called')
    await task.cancel()
    finish?.()
    await t.reaches(runner, task, 'cancelled')
    work.wasCalled(0)
  },

  'a setup that fails later fails its attempts, and is called again by the next': async (t) => {
    let setups = 0
    const runner = await t.runner({
      tasks: {
        work: defineTask({
          retry: every(1_000, 2),
          setup: async () => {
            await undefined
            if (++setups === 1) throw new Error('no connection')
          },
          run: () => 'done',
        }),
      },
    })
    const task = await runner.submit('work')
    await t.reaches(runner, task, 'scheduled')
    await t.advance(1_000)
    assert.equal(await task.result(), 'done')
    same(setups, 2, 'times setup was called')
  },

  'a teardown that fails is told, and close reports all the same': async (t) => {
    const runner = await t.runner({
      tasks: {
        work: defineTask({
          setup: () => () => {
            throw new Error('teardown bug')
          },
          run: () => 'done',
        }),
      },
      faults: 'expected',
    })
    await (await runner.submit('work')).wait()
    assert.deepEqual(await runner.close(), { completed: 0, returned: 0, abandoned: 0, pending: 0 })
    assert.match(String(t.faults[0]?.error), /teardown bug/)
  },

  'a teardown that hangs is told, and close reports all the same': async (t) => {
    const runner = await t.runner({
      tasks: { work: defineTask({ setup: () => () => new Promise(() => {}), run: () => 'done' }) },
      faults: 'expected',
    })
    await (await runner.submit('work')).wait()
    const closing = runner.close()
    await t.advance(30_000)
    assert.deepEqual(await closing, { completed: 0, returned: 0, abandoned: 0, pending: 0 })
    same(t.faults.length, 1, 'faults that were told')
  },
})
