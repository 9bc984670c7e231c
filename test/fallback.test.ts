/** An output for the case that the retries are used up, and what a handler's error says in spite of a timeout or a cancel. */
import assert from 'node:assert/strict'
import { defineTask, NonRetryableError, RetryLaterError, type RetryPolicy } from 'background-runner'
import { createTestRunner, runTask } from 'background-runner/testing'
import { describe, it } from 'vitest'
import { fallbackOf, withFallback } from '../src/fallback.js'

const PARTIAL = { sent: 2, of: 3 }
const once: RetryPolicy = { attempts: 1 }

function failing(error: () => unknown, retry: RetryPolicy = once) {
  return defineTask({
    retry,
    run: (): unknown => {
      throw error()
    },
  })
}

const partial = (): Error => withFallback(new Error('one mailbox is full'), PARTIAL)

describe('a fallback', () => {
  it('hangs on the error and shows nowhere', () => {
    const error = partial()
    assert.deepEqual(fallbackOf(error), { output: PARTIAL })
    assert.deepEqual(Object.keys(error), [])
    assert.deepEqual(fallbackOf(withFallback(new Error('no'), undefined)), { output: undefined })
  })

  it('is read by any copy of the library', () => {
    assert.deepEqual(fallbackOf({ [Symbol.for('background-runner.fallback')]: 7 }), { output: 7 })
  })

  it('is not there on anything else, and reading never throws', () => {
    const throwing = new Proxy(new Error('no'), {
      getOwnPropertyDescriptor: () => {
        throw new Error('mine')
      },
    })
    const getter = Object.defineProperty(new Error('no'), Symbol.for('background-runner.fallback'), {
      get: () => {
        throw new Error('mine')
      },
    })
    const inherited = Object.create(partial()) as object
    for (const thrown of [undefined, null, 'text', 7, new Error('no'), Object.freeze({}), throwing, getter, inherited])
      assert.equal(fallbackOf(thrown), undefined)
  })
})

describe('a task whose error carries a fallback', () => {
  it('succeeds with it when its attempts are used up; the history keeps the error', async () => {
    const { runner, drain, clock } = createTestRunner({
      tasks: { work: failing(partial, { attempts: 2, backoff: { type: 'fixed', delay: '1s' } }) },
    })
    const { id } = await runner.submit('work')
    await drain()
    assert.equal((await runner.status(id))?.state, 'scheduled')
    await clock.advance('1s')
    const record = await runner.status(id)
    assert.deepEqual([record?.state, record?.output, record?.error], ['succeeded', PARTIAL, undefined])
    assert.deepEqual(
      record?.attempts.map(({ outcome, error }) => [outcome, error?.message]),
      [
        ['retry', 'one mailbox is full'],
        ['succeeded', 'one mailbox is full'],
      ],
    )
    await runner.close()
  })

  it('succeeds with it in its first attempt, if that is the only one', async () => {
    const { runner, drain } = createTestRunner({ tasks: { work: failing(partial) } })
    const { id } = await runner.submit('work')
    await drain()
    const attempts = (await runner.status(id))?.attempts
    assert.deepEqual([attempts?.[0]?.outcome, attempts?.[0]?.error?.message], ['succeeded', 'one mailbox is full'])
    await runner.close()
  })

  it('succeeds with it when `when` refuses another attempt, or `maxAge` has passed', async () => {
    for (const policy of [
      { attempts: 9, when: () => false },
      { attempts: 9, maxAge: 0, backoff: { type: 'fixed', delay: 1 } },
    ] as const) {
      const { outcome } = await runTask(failing(partial, policy))
      assert.equal(outcome.type, 'succeeded')
    }
    const later = failing(() => withFallback(new RetryLaterError({ delay: '1h' }), PARTIAL), { maxAge: '1m' })
    assert.equal((await runTask(later)).outcome.type, 'succeeded')
  })

  it('has its name held all the same, if the error asks for that, and a probe that ends like this lifts nothing', async () => {
    const error = (): Error =>
      withFallback(new RetryLaterError({ delay: '1m', hold: true, cause: new Error('no login') }), PARTIAL)
    const { runner, drain, clock, log } = createTestRunner({ tasks: { mail: failing(error, { maxAge: '10s' }) } })
    const { id } = await runner.submit('mail')
    await drain()
    const record = await runner.status(id)
    assert.deepEqual([record?.state, record?.output], ['succeeded', PARTIAL])
    const [hold] = await runner.holds()
    assert.deepEqual([hold?.until, hold?.error.cause?.message], [clock.now() + 60_000, 'no login'])
    await runner.submit('mail')
    await clock.advance('1m')
    assert.deepEqual(
      log.events.filter(({ name }) => name === 'mail').map(({ event }) => event),
      ['submitted', 'started', 'succeeded', 'held', 'submitted', 'started', 'succeeded', 'held'],
    )
    await runner.close()
  })

  it('fails if the error is fatal in itself', async () => {
    const { outcome } = await runTask(failing(() => withFallback(new NonRetryableError('refused'), PARTIAL)))
    assert.equal(outcome.type, 'failed')
  })

  it('succeeds without an output that cannot be kept', async () => {
    const { outcome, logs } = await runTask(failing(() => withFallback(new Error('no'), Number.NaN)))
    assert.ok(outcome.type === 'succeeded')
    assert.deepEqual([outcome.output, outcome.outputError?.code, logs.length], [undefined, 'INVALID_INPUT', 1])
  })
})

/** Waits to be told to stop, and says what it has done so far. */
const details = { recipients: { 'a@example.com': { status: 'unknown' } } }
function interrupted(carry: (error: Error) => Error, retry: RetryPolicy = once) {
  return defineTask({
    retry,
    timeout: '1s',
    run: (_input: unknown, { signal }): Promise<unknown> =>
      new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () =>
          reject(carry(Object.assign(new Error('cut off'), { code: 'UNKNOWN_OUTCOME', details }))),
        )
      }),
  })
}

describe('an attempt that is asked to stop', () => {
  it('keeps the details of its own error when it timed out', async () => {
    const { outcome } = await runTask(interrupted((error) => error))
    assert.ok(outcome.type === 'failed')
    assert.deepEqual([outcome.error.code, outcome.error.details, outcome.timedOut], ['TASK_TIMEOUT', details, true])
    const bare = await runTask(interrupted(() => new Error('cut off')))
    assert.ok(bare.outcome.type === 'failed')
    assert.equal('details' in bare.outcome.error, false)
    const unkept = await runTask(interrupted((error) => Object.assign(error, { details: new Map() })))
    assert.ok(unkept.outcome.type === 'failed')
    assert.match(String(unkept.outcome.error.details), /^not kept/)
  })

  it('succeeds by its fallback when it timed out for the last time', async () => {
    const { outcome } = await runTask(interrupted((error) => withFallback(error, PARTIAL)))
    assert.ok(outcome.type === 'succeeded')
    assert.deepEqual([outcome.output, outcome.timedOut, outcome.thrown?.code], [PARTIAL, true, 'TASK_TIMEOUT'])
    assert.deepEqual(outcome.thrown?.details, details)
  })

  it('keeps code and details of its own error in the history when it was cancelled', async () => {
    const { outcome } = await runTask(
      interrupted((error) => withFallback(error, PARTIAL)),
      undefined,
      { signal: AbortSignal.abort('enough') },
    )
    assert.equal(outcome.type, 'cancelled')
    const { runner, clock } = createTestRunner({ tasks: { work: interrupted((error) => error) } })
    const task = await runner.submit('work')
    await clock.advance(10)
    await task.cancel()
    await clock.advance(10)
    const record = await task.status()
    assert.equal(record?.error?.code, 'TASK_CANCELLED')
    const [attempt] = record?.attempts ?? []
    assert.deepEqual([attempt?.error?.code, attempt?.error?.details], ['UNKNOWN_OUTCOME', details])
    await runner.close()
  })
})
