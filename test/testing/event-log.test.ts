import assert from 'node:assert/strict'
import { defineTask } from 'background-runner'
import { createTestRunner } from 'background-runner/testing'
import { describe, it } from 'vitest'

const tasks = {
  flaky: defineTask({
    retry: { attempts: 3, backoff: { type: 'fixed', delay: '1m' } },
    run: (_: undefined, { attempt, progress }) => {
      progress({ percent: attempt * 50 })
      if (attempt === 1) throw Object.assign(new Error('connection refused'), { code: 'ECONNREFUSED' })
      return 'done'
    },
  }),
  task: defineTask({ run: (_: number) => {} }),
}

describe('the log', () => {
  it('is one line an event, tasks numbered by their submission', async () => {
    const t = createTestRunner({ tasks })
    await t.runner.submit('flaky')
    const cancelled = await t.runner.submit('task', 1, { delay: '90m' })
    await t.clock.advance(500)
    await cancelled.cancel({ reason: 'not needed' })
    await t.clock.advance('1h')
    assert.equal(
      String(t.log),
      `\
+0ms       submitted   flaky 1
+0ms       submitted   task 2, in 1h30m
+0ms       started     flaky 1, attempt 1
+0ms       progress    flaky 1, attempt 1: {"percent":50}
+0ms       retrying    flaky 1, attempt 1, in 1m: ECONNREFUSED connection refused
+500ms     cancelled   task 2: TASK_CANCELLED the task was cancelled: not needed
+1m        started     flaky 1, attempt 2
+1m        progress    flaky 1, attempt 2: {"percent":100}
+1m        succeeded   flaky 1, attempt 2
+1m        idle`,
    )
  })

  it('has its events as data', async () => {
    const t = createTestRunner({ tasks })
    const { id } = await t.runner.submit('flaky')
    await t.drain()
    assert.deepEqual(t.log.events.slice(-1), [
      {
        at: 0,
        event: 'retrying',
        id,
        name: 'flaky',
        task: 1,
        attempt: 1,
        dueIn: 60_000,
        error: { code: 'ECONNREFUSED', message: 'connection refused' },
      },
    ])
  })

  it('keeps its columns apart where a name is long', async () => {
    const t = createTestRunner({
      tasks: { deaf: defineTask({ timeout: '1s', run: () => new Promise(() => {}) }) },
      cancelGrace: '1s',
    })
    await t.runner.submit('deaf')
    await t.clock.advance('2s')
    assert.match(String(t.log), /^\+2s {8}unresponsive deaf 1, attempt 1$/m)
    await t.runner.close({ deadline: 0 })
  })

  it('narrows to one task', async () => {
    const t = createTestRunner({ tasks })
    await t.runner.submit('flaky')
    const task = await t.runner.submit('task', 1)
    await t.drain()
    const expected =
      '+0ms       submitted   task 2\n+0ms       started     task 2, attempt 1\n+0ms       succeeded   task 2, attempt 1'
    assert.equal(String(t.log.of(task)), expected)
    assert.equal(String(t.log.of(task.id)), expected)
    assert.equal(String(t.log.of('unknown')), '')
  })

  it('tells faults', async () => {
    const t = createTestRunner({ tasks })
    t.runner.on('error', () => {})
    t.runner.on('submitted', () => {
      throw new Error('a listener failed')
    })
    await t.runner.submit('task', 1)
    assert.equal(String(t.log), '+0ms       submitted   task 1\n+0ms       error       task 1: a listener failed')
  })

  it('repeats with the seed: jitter, ids and all', async () => {
    const run = async (seed: number): Promise<string> => {
      const t = createTestRunner({
        seed,
        tasks: {
          jittered: defineTask({
            retry: { attempts: 8, backoff: { type: 'exponential', delay: '1s' } },
            run: async () => {
              await new Promise((resolve) => setTimeout(resolve, 1))
              throw new Error('no')
            },
          }),
        },
      })
      for (let i = 0; i < 5; i++) await t.runner.submit('jittered', undefined, { delay: i * 100 })
      await t.clock.advance('1h')
      return JSON.stringify(t.log.events)
    }
    const [first, second, other] = [await run(42), await run(42), await run(43)]
    assert.equal(first, second)
    assert.notEqual(first, other)
  })
})
