import { emailTask } from 'background-runner/email'
import { createTestRunner, testTransport } from 'background-runner/testing'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { SendWindow } from '../../src/email/rate-limit.js'
import { FROM, HELLO, QUICK } from '../support/email.js'

/** Messages that come, wait when told to, and take their time; `start` and `end` of each that was sent. */
function simulate(
  { max, interval }: { max: number; interval: number },
  arrivals: readonly { at: number; takes: number }[],
): { id: string; start: number; end: number; puts: number }[] {
  const window = new SendWindow({ max, interval })
  const events: { at: number; order: number; run: () => void }[] = []
  let order = 0
  const plan = (at: number, run: () => void): void => void events.push({ at, order: order++, run })
  const sent: { id: string; start: number; end: number; puts: number }[] = []
  for (const [i, { at, takes }] of arrivals.entries()) {
    const id = `mail-${i}`
    let puts = 0
    const come = (now: number) => () => {
      const wait = window.take(id, now)
      if (wait > 0) {
        puts++
        return plan(now + wait, come(now + wait))
      }
      sent.push({ id, start: now, end: now + takes, puts })
      plan(now + takes, () => window.give(now + takes, true))
    }
    plan(at, come(at))
  }
  for (let steps = 0; events.length > 0; steps++) {
    if (steps > 100_000) throw new Error('it never ends')
    events.sort((a, b) => a.at - b.at || a.order - b.order)
    events.shift()?.run()
  }
  return sent
}

describe('the send window', () => {
  const arrivals = fc.array(
    fc.record({ at: fc.integer({ min: 0, max: 200 }), takes: fc.integer({ min: 0, max: 60 }) }),
    {
      maxLength: 60,
    },
  )
  const limits = fc.record({ max: fc.integer({ min: 1, max: 8 }), interval: fc.integer({ min: 1, max: 100 }) })

  it('never lets more than max be with the server in any interval, and lets everyone through', () => {
    fc.assert(
      fc.property(limits, arrivals, (limit, coming) => {
        const sent = simulate(limit, coming)
        expect(sent).toHaveLength(coming.length)
        // The server may count a message at any moment from its start to its end: the worst of them.
        for (const { end } of sent) {
          const within = sent.filter((each) => each.start <= end && each.end > end - limit.interval)
          const together = sent.filter((each) => each.start < end + limit.interval && each.end >= end)
          expect(within.length).toBeLessThanOrEqual(limit.max)
          expect(together.length).toBeLessThanOrEqual(limit.max)
        }
      }),
    )
  })

  it('puts a message back about once, however many wait', () => {
    const coming = Array.from({ length: 500 }, () => ({ at: 0, takes: 0 }))
    const sent = simulate({ max: 10, interval: 1_000 }, coming)
    expect(Math.max(...sent.map(({ puts }) => puts))).toBe(1)
    expect(Math.max(...sent.map(({ start }) => start))).toBe(49_000)
  })

  it('lets nobody who comes later go first', () => {
    const coming = [0, 1, 2, 3, 4].map((at) => ({ at, takes: 0 }))
    const late = [11, 12, 13].map((at) => ({ at, takes: 0 }))
    const sent = simulate({ max: 1, interval: 10 }, [...coming, ...late])
    expect(sent.map(({ id }) => id)).toEqual([0, 1, 2, 3, 4, 5, 6, 7].map((i) => `mail-${i}`))
  })

  it('holds no place for who never comes back', () => {
    const window = new SendWindow({ max: 1, interval: 10 })
    expect(window.take('a', 0)).toBe(0)
    window.give(0, true)
    expect(window.take('cancelled', 1)).toBe(9)
    expect(window.take('b', 2)).toBe(18)
    expect(window.take('b', 20)).toBe(0)
  })

  it('does not count what never reached the server', () => {
    const window = new SendWindow({ max: 1, interval: 10 })
    expect(window.take('a', 0)).toBe(0)
    window.give(5, false)
    expect(window.take('b', 5)).toBe(0)
  })
})

describe('the rateLimit of an email task', () => {
  it('spends no attempt on a mail that must wait', async () => {
    const transport = testTransport()
    const email = emailTask({ transport, from: FROM, rateLimit: { max: 2, interval: '1m' } })
    const test = createTestRunner({ tasks: { email } })
    const handles = await test.runner.submitMany(
      'email',
      Array.from({ length: 7 }, () => HELLO),
    )
    const sent: number[] = []
    for (let minute = 0; minute < 5; minute++) {
      await test.clock.advance(minute === 0 ? 0 : '1m')
      sent.push(transport.outbox.messages.length)
    }
    expect(sent).toEqual([2, 4, 6, 7, 7])
    for (const handle of handles) {
      const { state, attempt, maxAttempts, attempts } = (await handle.status()) ?? {}
      expect(state).toBe('succeeded')
      expect((maxAttempts ?? 0) - (attempt ?? 0)).toBe(99)
      expect(attempts?.length).toBeLessThanOrEqual(2)
    }
    await test.runner.close()
  })

  it('tells who has it and who has not of a mail that waited too long', async () => {
    const transport = testTransport()
    transport.outbox.refuse('bob@example.com', 451)
    const rateLimit = { max: 1, interval: '10m' } as const
    const email = emailTask({ transport, from: FROM, rateLimit, retry: { maxAge: '5m', backoff: QUICK.backoff } })
    const { runner, clock } = createTestRunner({ tasks: { email } })
    await runner.submit('email', { ...HELLO, cc: 'bob@example.com' })
    await runner.submit('email', HELLO)
    await clock.advance('6m')
    const { tasks } = await runner.list()
    expect(tasks).toMatchObject([
      { state: 'failed', error: { code: 'RATE_LIMITED', details: { recipients: { 'ada@example.com': {} } } } },
      {
        state: 'failed',
        error: {
          code: 'PARTIALLY_SENT',
          details: { recipients: { 'ada@example.com': { status: 'sent' }, 'bob@example.com': { status: 'failed' } } },
        },
      },
    ])
    await runner.close()
  })
})
