/** Limits and `after` under virtual time: what they keep is not due, and the clock brings it about. */
import assert from 'node:assert/strict'
import { defineTask } from 'background-runner'
import { createTestRunner } from 'background-runner/testing'
import { describe, it } from 'vitest'

describe('a test runner whose tasks are under limits', () => {
  it('drains what has room, and the rest as time goes on', async () => {
    const calls: number[] = []
    const t = createTestRunner({
      tasks: { work: defineTask({ rateLimit: { max: 2, interval: '1s' }, run: (n: number) => void calls.push(n) }) },
    })
    await t.runner.submitMany('work', [1, 2, 3, 4, 5])
    assert.equal((await t.drain()).length, 2)
    await t.clock.advance('999ms')
    assert.deepEqual(calls, [1, 2])
    await t.clock.advance('1ms')
    assert.deepEqual(calls, [1, 2, 3, 4])
    await t.clock.advance('1s')
    assert.deepEqual(calls, [1, 2, 3, 4, 5])
    await t.runner.close()
  })

  it('drains keys one after the other, big needs and small ones, and what comes after others', async () => {
    const order: string[] = []
    const t = createTestRunner({
      tasks: {
        work: defineTask({
          concurrency: { max: 1, by: (input: string) => input[0] as string },
          run: (input: string) => void order.push(input),
        }),
      },
      resources: { cpu: 2 },
    })
    const a = await t.runner.submit('work', 'a1', { requires: { cpu: 2 } })
    await t.runner.submit('work', 'c1', { after: [a.id] })
    await t.runner.submit('work', 'a2', { requires: { cpu: 1 } })
    await t.runner.submit('work', 'b1')
    assert.equal((await t.drain()).length, 4)
    assert.deepEqual(order.toSorted(), ['a1', 'a2', 'b1', 'c1'])
    assert.ok(order.indexOf('a1') < order.indexOf('c1'))
    await t.runner.close()
  })

  it('sees thousands begin at the instant at which the one that they come after has ended', async () => {
    let ran = 0
    const at = new Set<number>()
    const t = createTestRunner({
      tasks: {
        work: defineTask({
          run: () => {
            ran++
            at.add(t.clock.now() - begun)
          },
        }),
      },
    })
    const begun = t.clock.now()
    const first = await t.runner.submit('work', undefined, { delay: '1s' })
    await t.runner.submitMany(
      'work',
      Array.from({ length: 3_000 }, () => undefined),
      { after: [first.id] },
    )
    await t.clock.advance('5s')
    assert.equal(ran, 3_001)
    assert.deepEqual([...at], [1_000])
    await t.runner.close()
  })
})
