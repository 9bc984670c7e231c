/** Policies: merged field by field, and how long a backoff is. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { BUILT_IN_RETRY, backoffDelay, mergeRetry, retryPolicy } from '../src/retry-policy.js'
import { read } from '../src/rules.js'

describe('a backoff', () => {
  const exponential = { type: 'exponential', delay: 1_000, factor: 2, max: 60_000, jitter: false } as const

  it('grows by its factor up to its maximum', () => {
    expect([1, 2, 3, 7, 1_000].map((used) => backoffDelay(exponential, used, Math.random))).toEqual([
      1_000, 2_000, 4_000, 60_000, 60_000,
    ])
  })

  it('stays what it is when fixed', () => {
    expect(backoffDelay({ ...exponential, type: 'fixed' }, 9, Math.random)).toBe(1_000)
  })

  it('with full jitter lies between nothing and the computed delay', () => {
    const jittered = { ...exponential, jitter: true }
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 40 }),
        fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
        (used, chance) => {
          const delay = backoffDelay(jittered, used, () => chance)
          expect(delay).toBeGreaterThanOrEqual(0)
          expect(delay).toBeLessThanOrEqual(backoffDelay(exponential, used, () => chance))
        },
      ),
    )
    expect(backoffDelay(jittered, 2, () => 0.5)).toBe(1_000)
  })
})

describe('a policy', () => {
  it('is three attempts, exponential from one second with full jitter, unless told otherwise', () => {
    expect(BUILT_IN_RETRY).toMatchObject({
      attempts: 3,
      backoff: { type: 'exponential', delay: 1_000, factor: 2, jitter: true },
    })
  })

  it('is merged field by field, the backoff as a whole', () => {
    const fixed = read('bad', { backoff: { type: 'fixed', delay: '5s' } }, retryPolicy)
    expect(mergeRetry(mergeRetry(BUILT_IN_RETRY, { attempts: 7 }), fixed)).toMatchObject({
      attempts: 7,
      backoff: { type: 'fixed', delay: 5_000, jitter: false },
    })
  })

  it('names each field that is wrong', () => {
    const backoff = { type: 'linear', delay: -1, jitter: 1 }
    const wrong = { attempts: 0, maxAge: 'x', backoff, when: 1, atempts: 2 }
    expect(() => read('bad', wrong, retryPolicy)).toThrow(
      expect.objectContaining({
        issues: ['atempts', 'attempts', 'maxAge', 'backoff.type', 'backoff.delay', 'backoff.jitter', 'when'].map(
          (path) => expect.objectContaining({ path: path.split('.') }),
        ),
      }),
    )
  })
})
