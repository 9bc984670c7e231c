import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { defineTask } from 'background-runner'
import { createTestRunner } from 'background-runner/testing'
import { describe, it } from 'vitest'

const DAWN = Date.UTC(2030, 0, 1)
const turns = async (): Promise<void> => {
  for (let i = 0; i < 10; i++) await new Promise((resolve) => setImmediate(resolve))
}

describe('manual mode', () => {
  it('runs nothing by itself', async () => {
    let calls = 0
    const t = createTestRunner({ tasks: { task: defineTask({ run: () => void calls++ }) } })
    await t.runner.submit('task')
    await turns()
    assert.equal(calls, 0)
    assert.equal((await t.runner.counts()).queued, 1)
    await t.drain()
    assert.equal(calls, 1)
    await t.runner.submit('task')
    await turns()
    assert.equal(calls, 1, 'not after a drain either')
  })

  it('drains what is due and what that makes due, and gives the record after each attempt', async () => {
    const t = createTestRunner({
      tasks: {
        parent: defineTask({
          run: async (children: number) => {
            for (let i = 0; i < children; i++) await t.runner.submit('child', i)
            await t.runner.submit('child', 99, { delay: '1s' })
          },
        }),
        child: defineTask({
          retry: { attempts: 2, backoff: { type: 'fixed', delay: 0 } },
          run: (n: number, { attempt }) => {
            if (n === 1 && attempt === 1) throw new Error('not yet')
          },
        }),
      },
    })
    await t.runner.submit('parent', 2)
    const records = await t.drain()
    assert.deepEqual(
      records.map(({ name, input, state }) => [name, input, state]),
      [
        ['parent', 2, 'succeeded'],
        ['child', 0, 'succeeded'],
        ['child', 1, 'queued'],
        ['child', 1, 'succeeded'],
      ].map((each) => (each[2] === 'queued' ? ['child', 1, 'scheduled'] : each)),
    )
    assert.deepEqual(await t.drain(), [])
    assert.equal((await t.runner.counts()).scheduled, 1)
    assert.equal(t.clock.now(), DAWN)
  })

  it('runs one attempt at a time with runNext, the best first', async () => {
    const ran: string[] = []
    const t = createTestRunner({
      tasks: {
        task: defineTask({
          run: async (name: string) => {
            await sleep(2)
            ran.push(name)
          },
        }),
      },
    })
    await t.runner.submitMany('task', ['a', 'b'])
    await t.runner.submit('task', 'urgent', { priority: 1 })
    await t.runner.submit('task', 'later', { delay: 1 })
    const first = await t.runNext()
    assert.deepEqual([first?.input, first?.state, ran], ['urgent', 'succeeded', ['urgent']])
    assert.equal((await t.runner.counts()).queued, 2)
    assert.equal((await t.runNext())?.input, 'a')
    assert.equal((await t.runNext())?.input, 'b')
    assert.equal(await t.runNext(), undefined)
    assert.deepEqual(ran, ['urgent', 'a', 'b'])
  })

  it('gives with runNext how the attempt ended, whatever that was', async () => {
    const t = createTestRunner({
      tasks: {
        fails: defineTask({
          retry: { attempts: 2, backoff: { type: 'fixed', delay: '3s' } },
          run: () => {
            throw new Error('no')
          },
        }),
      },
    })
    await t.runner.submit('fails')
    const record = await t.runNext()
    assert.deepEqual([record?.state, record?.attempt, record?.runAt], ['scheduled', 1, DAWN + 3_000])
    assert.equal(await t.runNext(), undefined)
    await t.clock.advance('3s')
    t.assertFailed('fails')
  })

  it('keeps to a pause of the runner', async () => {
    const t = createTestRunner({ tasks: { task: defineTask({ run: () => 1 }) } })
    await t.runner.pause()
    await t.runner.submit('task')
    assert.deepEqual(await t.drain(), [])
    assert.equal(await t.runNext(), undefined)
    await t.clock.advance('1h')
    assert.equal((await t.runner.counts()).queued, 1)
    await t.runner.resume()
    await turns()
    assert.equal((await t.runner.counts()).queued, 1, 'and resume starts nothing by itself')
    await t.drain()
    t.assertSucceeded('task')
  })

  it('does one drive after the other', async () => {
    const t = createTestRunner({ tasks: { task: defineTask({ run: () => sleep(5) }) } })
    await t.runner.submit('task')
    await t.runner.submit('task', undefined, { delay: '1h' })
    const [drained, , next] = await Promise.all([t.drain(), t.clock.advance('1h'), t.runNext()])
    assert.equal(drained.length, 1)
    assert.equal(next, undefined)
    assert.equal(t.assertSucceeded('task').length, 2)
  })

  it('refuses to be driven by a handler or a listener, which it would wait for', async () => {
    const refusals: string[] = []
    const told = (error: Error): void => void refusals.push(error.message)
    const t = createTestRunner({
      tasks: {
        task: defineTask({
          run: async () => {
            await t.drain().catch(told)
            await sleep(1)
            await t.clock.advance('1h').catch(told)
          },
        }),
      },
    })
    t.runner.on('succeeded', async () => {
      await t.runNext().catch(told)
    })
    const { id } = await t.runner.submit('task', undefined, { id: 'x' })
    await t.drain()
    t.assertSucceeded('task')
    assert.equal(id, 'x')
    assert.deepEqual(refusals, [
      "drain() was called by the handler of task (task 'x', attempt 1): only the test itself can drive its runner",
      "clock.advance() was called by the handler of task (task 'x', attempt 1): only the test itself can drive its runner",
      'runNext() was called by a listener: only the test itself can drive its runner',
    ])
  })

  it('leaves a handler running that waits for a later time, and drains around it', async () => {
    const t = createTestRunner({
      tasks: {
        long: defineTask({
          timeout: '1h',
          run: (_: undefined, { signal }) =>
            new Promise((resolve) => signal.addEventListener('abort', () => resolve('late'))),
        }),
        short: defineTask({ run: () => 1 }),
      },
    })
    const long = await t.runner.submit('long')
    await t.clock.advance('1m')
    assert.equal((await long.status())?.state, 'running')
    await t.runner.submit('short')
    assert.equal((await t.drain()).length, 1)
    await t.clock.advance('59m')
    assert.equal((await long.status())?.attempts[0]?.timedOut, true)
  })
})

describe('inline mode', () => {
  it('answers a submit when the task has ended, over its delay and its backoffs', async () => {
    const t = createTestRunner({
      mode: 'inline',
      tasks: {
        flaky: defineTask({
          retry: { attempts: 3, backoff: { type: 'fixed', delay: '10s' } },
          run: (_: undefined, { attempt }) => {
            if (attempt < 3) throw new Error('not yet')
            return attempt
          },
        }),
      },
    })
    const task = await t.runner.submit('flaky', undefined, { delay: '1d' })
    assert.equal((await task.status())?.state, 'succeeded')
    assert.equal(await task.result(), 3)
    assert.equal(t.clock.now(), DAWN + 86_420_000)
  })

  it('answers a submit of many when all have ended', async () => {
    const t = createTestRunner({ mode: 'inline', tasks: { task: defineTask({ run: (ms: number) => sleep(ms) }) } })
    await t.runner.submitMany('task', [5, 1, 3])
    assert.equal(t.assertSucceeded('task').length, 3)
  })

  it('answers also where the task fails', async () => {
    const t = createTestRunner({
      mode: 'inline',
      tasks: {
        fails: defineTask({
          run: () => {
            throw new Error('no')
          },
        }),
      },
    })
    const task = await t.runner.submit('fails')
    await assert.rejects(task.result(), { code: 'TASK_FAILED' })
    assert.equal(t.assertFailed('fails')[0]?.attempt, 3)
  })

  it('answers a submit of a handler or a listener at once, and ends that task too', async () => {
    const states: unknown[] = []
    const t = createTestRunner({
      mode: 'inline',
      tasks: {
        parent: defineTask({
          run: async () => {
            const child = await t.runner.submit('child', 'of the handler', { delay: '1h' })
            states.push((await child.status())?.state)
          },
        }),
        child: defineTask({ run: (_: string) => sleep(1) }),
      },
    })
    t.runner.once('succeeded', async () => {
      const child = await t.runner.submit('child', 'of the listener')
      states.push((await child.status())?.state)
    })
    await t.runner.submit('parent')
    assert.equal(states[0], 'scheduled')
    assert.ok(states[1] === 'queued' || states[1] === 'running', String(states[1]))
    assert.equal(t.assertSucceeded('child').length, 2)
    assert.equal(t.clock.now(), DAWN + 3_600_000)
  })

  it('does not run other tasks on for the sake of one, but lets them run on the way', async () => {
    const t = createTestRunner({ mode: 'inline', tasks: { task: defineTask({ run: (_: string) => {} }) } })
    const both = Promise.all([
      t.runner.submit('task', 'late', { delay: '2h' }),
      t.runner.submit('task', 'soon', { delay: '1h' }),
    ])
    await both
    assert.equal(t.clock.now(), DAWN + 7_200_000)
  })

  it('answers a duplicate of a task that has ended at once', async () => {
    const t = createTestRunner({ mode: 'inline', tasks: { task: defineTask({ run: () => 1 }) } })
    await t.runner.submit('task', undefined, { key: 'k' })
    const again = await t.runner.submit('task', undefined, { key: 'k', delay: '1h' })
    assert.ok(again.deduplicated)
    assert.equal(t.clock.now(), DAWN)
  })

  it('fails where the runner is paused', async () => {
    const t = createTestRunner({ mode: 'inline', tasks: { task: defineTask({ run: () => 1 }) } })
    await t.runner.pause()
    await assert.rejects(t.runner.submit('task'), {
      code: 'ERR_ASSERTION',
      message: 'what was submitted cannot run to its end: the runner is paused, or was made with work: false',
    })
  })

  it('drains when it closes', async () => {
    const t = createTestRunner({ mode: 'inline', tasks: { task: defineTask({ run: () => 1 }) } })
    await t.runner.pause()
    await t.runner.submit('task').catch(() => {})
    await t.runner.resume()
    assert.equal((await t.runner.close()).completed, 1)
  })
})
