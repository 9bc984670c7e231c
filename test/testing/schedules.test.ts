/** Schedules under virtual time: the clock brings each occurrence about. */
import assert from 'node:assert/strict'
import { defineTask } from 'background-runner'
import { createTestRunner } from 'background-runner/testing'
import { describe, it } from 'vitest'
import { DAWN } from '../../src/testing/virtual-clock.js'

describe('a test runner with schedules', () => {
  it('fires each occurrence at its instant as the clock moves on, over a change of the clocks', async () => {
    const times: string[] = []
    await using t = createTestRunner({
      now: '2030-03-30T00:00:00Z',
      tasks: { report: defineTask({ run: (_: string) => void times.push(new Date(t.clock.now()).toISOString()) }) },
    })
    const { runner, clock, assertSubmitted } = t
    await runner.schedule('nightly', {
      task: 'report',
      input: 'sales',
      cron: '0 4 * * *',
      timezone: 'Europe/Berlin',
    })
    assert.deepEqual(await t.drain(), [], 'a schedule is no task')
    await runner.onIdle()
    await clock.advance('3d')
    assert.deepEqual(times, ['2030-03-30T03:00:00.000Z', '2030-03-31T02:00:00.000Z', '2030-04-01T02:00:00.000Z'])
    assertSubmitted('report', 'sales', { count: 3 })
  })

  it('lets an occurrence wait, where only the clock has moved, until it is driven', async () => {
    const order: number[] = []
    await using t = createTestRunner({
      tasks: { tick: defineTask({ run: (n: number) => void order.push(n) }) },
      mode: 'inline',
    })
    await t.runner.schedule('slow', { task: 'tick', input: 60, every: '60s' })
    await t.runner.schedule('quick', { task: 'tick', input: 20, every: '20s' })
    await t.runner.submit('tick', 1, { delay: '45s' })
    assert.deepEqual(order, [20, 20, 1])
    await t.clock.advance('15s')
    assert.deepEqual(order.slice(3).sort(), [20, 60])
    assert.equal(await t.runner.unschedule('quick'), true)
    await t.clock.advance('1m')
    assert.deepEqual(order.slice(5), [60])
  })

  it('inline, gives up on what waits for ever, though a schedule goes on for ever', async () => {
    const never = (): Promise<void> => new Promise(() => undefined)
    const t = createTestRunner({
      tasks: {
        never: defineTask({ run: never }),
        keyed: defineTask({ concurrency: { max: 1, by: () => 'a' }, run: never }),
        late: defineTask({ retry: { attempts: 2, backoff: { type: 'fixed', delay: '1h' } }, run: late }),
        tick: defineTask({ run: () => {} }),
      },
      mode: 'inline',
      realTimeout: '100ms',
      concurrency: 3,
    })
    async function late(_: undefined, { attempt }: { attempt: number }): Promise<void> {
      if (attempt === 1) throw new Error('not yet')
    }
    await t.runner.schedule('tick', { task: 'tick', every: '1m' })
    const hopeless = /has no timeout: nothing will end it/
    await assert.rejects(t.runner.submit('never', undefined, { id: 'parent' }), hopeless)
    await assert.rejects(t.runner.submit('tick', undefined, { after: ['parent'] }), hopeless)
    await assert.rejects(t.runner.submit('keyed'), hopeless)
    await assert.rejects(t.runner.submit('keyed'), hopeless)
    assert.equal(t.clock.now(), DAWN)
    assert.equal(await (await t.runner.submit('late')).status().then((task) => task?.state), 'succeeded')
    assert.equal(t.clock.now(), DAWN + 60 * 60_000)
    await assert.rejects(t.runner.submit('never'), hopeless) // the last slot
    await assert.rejects(t.runner.submit('tick'), hopeless)
    await t.runner.close({ deadline: 0, drain: false })
  })

  it('inline, does not wait for what a schedule submits', async () => {
    await using t = createTestRunner({
      tasks: {
        flop: defineTask({
          retry: { backoff: { type: 'fixed', delay: '5m' } },
          run: () => Promise.reject(new Error()),
        }),
        work: defineTask({ run: () => {} }),
      },
      mode: 'inline',
    })
    await t.runner.schedule('tick', { task: 'flop', every: '1m', overlap: 'queue' })
    await t.runner.submit('work', undefined, { delay: '3m' })
    assert.equal(t.clock.now(), DAWN + 3 * 60_000)
    await t.runner.unschedule('tick')
  })

  it('tells when a handler is at work for so long that occurrences are passed over', async () => {
    await using t = createTestRunner({
      tasks: {
        slow: defineTask({
          timeout: '150s',
          run: (_: undefined, { signal }) =>
            new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
        }),
      },
      defaults: { retry: { attempts: 1 } },
    })
    await t.runner.schedule('tick', { task: 'slow', every: '1m' })
    await t.clock.advance('4m')
    assert.deepEqual(await t.runner.counts().then(({ failed, running }) => [failed, running]), [1, 1])
    const [tick] = await t.runner.schedules()
    assert.equal(tick?.last, Date.UTC(2030, 0, 1, 0, 4))
  })
})
