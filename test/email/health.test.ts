import { describe, expect, it } from 'vitest'
import { TransportHealth } from '../../src/email/health.js'
import type { EmailFailure, SmtpStage } from '../../src/email/verdict.js'

function at(stage: SmtpStage | undefined): EmailFailure {
  return {
    stage,
    reply: undefined,
    enhancedCode: undefined,
    response: undefined,
    code: undefined,
    recipient: undefined,
  }
}

function health() {
  let now = 0
  const clock = { now: () => now, monotonic: () => now, setTimeout: () => undefined, clearTimeout: () => {} }
  return {
    health: new TransportHealth(clock),
    pass: (ms: number) => {
      now += ms
    },
  }
}

describe('the health of a transport', () => {
  it('is lost with the third attempt in a row that got no greeting', () => {
    const { health: it } = health()
    expect(it.note(at('connect'), false)).toBeUndefined()
    expect(it.note(at('greeting'), false)).toBeUndefined()
    expect(it.note(at('connect'), false)).toBe(5_000)
  })

  it.each([
    ['a success', undefined],
    ['a session that is cut later', at('mail')],
    ['one that nobody watched', at(undefined)],
  ])('is not lost where there was %s between', (_, between) => {
    const { health: it } = health()
    it.note(at('connect'), false)
    it.note(at('connect'), false)
    expect(it.note(between, false)).toBeUndefined()
    expect(it.note(at('connect'), false)).toBeUndefined()
  })

  it('is lost at once by a login that fails', () => {
    expect(health().health.note(at('auth'), true)).toBe(5_000)
  })

  it('holds twice as long each time, up to 5 minutes', () => {
    const { health: it, pass } = health()
    const delays = Array.from({ length: 9 }, () => {
      const delay = it.note(at('auth'), true) ?? 0
      pass(delay)
      return delay
    })
    expect(delays).toEqual([5_000, 10_000, 20_000, 40_000, 80_000, 160_000, 300_000, 300_000, 300_000])
  })

  it('of attempts that were under way at once is one hold', () => {
    const { health: it, pass } = health()
    expect(it.note(at('auth'), true)).toBe(5_000)
    pass(100)
    expect(it.note(at('auth'), true)).toBe(4_900)
    pass(4_900)
    expect(it.note(at('auth'), true)).toBe(10_000)
  })

  it('is well again with the first message that is taken', () => {
    const { health: it, pass } = health()
    pass(it.note(at('auth'), true) ?? 0)
    pass(it.note(at('auth'), true) ?? 0)
    expect(it.note(undefined, false)).toBeUndefined()
    expect(it.note(at('auth'), true)).toBe(5_000)
  })
})
