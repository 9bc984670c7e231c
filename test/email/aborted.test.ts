/**
 * An attempt that is ended from this side: by a cancel, its timeout, or the end of the runner. Before the final dot nobody
 * has been mailed, and the record says so; after it only the server's reply can tell.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sqlite } from 'background-runner/sqlite'
import { runTask } from 'background-runner/testing'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { mailTask, smtpServer } from '../support/email.js'
import { fastClock } from '../support/fast-clock.js'
import { afterBytes, once } from '../support/smtp/misbehaviour.js'
import { HANG, type Hook, type SmtpServer, type Stage } from '../support/smtp-server.js'
import { ADA, ATTEMPTS, everybody, expectTruth, LARGE, MESSAGE, statuses, told, trialRunner } from './trial.js'

// A server that freezes, and messages that are too large for any buffer, take their time on a busy machine.
vi.setConfig({ testTimeout: 30_000 })

const BEFORE_THE_DOT: readonly Stage[] = ['greeting', 'ehlo', 'mail', 'rcpt', 'data', 'body']
const TAKEN = { hang: true, store: true }
const NOT_TAKEN = HANG

/** A server that freezes there once, and a promise of that moment. */
async function freezing(stage: Stage, answer = NOT_TAKEN): Promise<{ server: SmtpServer; frozen: Promise<void> }> {
  let reached = (): void => {}
  const frozen = new Promise<void>((resolve) => {
    reached = resolve
  })
  const freeze = once(stage === 'body' ? afterBytes(50_000, answer) : answer)
  const hook: Hook = async (step) => {
    const told = await freeze(step)
    if (told !== undefined) setImmediate(reached)
    return told
  }
  return { server: await smtpServer({ [stage]: hook }), frozen }
}

/** Of the fast clock. */
const timeoutFor = (stage: Stage): '200s' | '25s' => (stage === 'body' ? '200s' : '25s')

const messageFor = (stage: Stage): typeof MESSAGE => (stage === 'body' ? LARGE : MESSAGE)

describe('a cancel', () => {
  it.each(BEFORE_THE_DOT)('at %s: nobody was mailed', async (stage) => {
    const { server, frozen } = await freezing(stage)
    const runner = trialRunner(server.url)
    const handle = await runner.submit('email', messageFor(stage))
    await frozen
    await handle.cancel({ reason: 'unsubscribed' })
    const record = await handle.wait()
    await runner.close()
    expectTruth(server, [record])
    expect(record.state).toBe('cancelled')
    expect(statuses(record)).toBeOneOf([{}, everybody('failed')])
    expect(server.deliveries).toEqual([])
  })

  it.each([
    ['taken', TAKEN],
    ['not taken', NOT_TAKEN],
  ])('after the final dot, the mail %s: nobody knows', async (_, answer) => {
    const { server, frozen } = await freezing('end', answer)
    const runner = trialRunner(server.url)
    const handle = await runner.submit('email', MESSAGE)
    await frozen
    await handle.cancel()
    const record = await handle.wait()
    await runner.close()
    expectTruth(server, [record])
    expect(record.state).toBe('cancelled')
    expect(statuses(record)).toEqual(everybody('unknown'))
  })

  it.each([
    ['250 2.0.0 queued', 'succeeded', 'sent'],
    ['451 4.3.0 not now', 'cancelled', 'failed'],
    ['550 5.7.1 no', 'cancelled', 'rejected'],
  ] as const)('after the final dot waits for the reply: %s', async (reply, state, status) => {
    let answer = (): void => {}
    let reached = (): void => {}
    const asked = new Promise<void>((resolve) => {
      answer = resolve
    })
    const waiting = new Promise<void>((resolve) => {
      reached = resolve
    })
    const end = async (): Promise<string> => {
      reached()
      await asked
      return reply
    }
    const server = await smtpServer({ end })
    const runner = trialRunner(server.url, {}, { cancelGrace: '1h' })
    const handle = await runner.submit('email', MESSAGE)
    await waiting
    await handle.cancel()
    answer()
    const record = await handle.wait()
    await runner.close()
    expectTruth(server, [record])
    expect(record.state).toBe(state)
    expect(statuses(record)).toEqual(everybody(status))
  })
})

describe('a timeout', () => {
  it.each(BEFORE_THE_DOT)('at %s: nobody was mailed, and it is tried again', async (stage) => {
    const { server } = await freezing(stage)
    // Nobody may get it twice: it goes out only if it is sure that nobody has it.
    const runner = trialRunner(server.url, { timeout: timeoutFor(stage), onUnknown: 'fail' })
    const record = await (await runner.submit('email', messageFor(stage))).wait()
    await runner.close()
    expectTruth(server, [record], 'fail')
    expect(told(record)).toEqual({ state: 'succeeded', attempt: 2, uncounted: 0, code: undefined })
    expect(record.attempts[0]).toMatchObject({ timedOut: true })
    expect(server.mailbox(ADA).length).toBe(1)
  })

  it.each([
    ['taken', TAKEN],
    ['not taken', NOT_TAKEN],
  ])(
    'after the final dot, the mail %s: it is unknown, and sent again only where that is allowed',
    async (_, answer) => {
      for (const onUnknown of ['retry', 'fail'] as const) {
        const { server } = await freezing('end', answer)
        const runner = trialRunner(server.url, { timeout: '25s', onUnknown })
        const record = await (await runner.submit('email', MESSAGE)).wait()
        await runner.close()
        expectTruth(server, [record], onUnknown)
        const code = onUnknown === 'fail' ? 'UNKNOWN_OUTCOME' : undefined
        expect(told(record)).toMatchObject({ state: onUnknown === 'fail' ? 'failed' : 'succeeded', code })
        expect(statuses(record)).toEqual(everybody(onUnknown === 'fail' ? 'unknown' : 'sent'))
        expect(record.attempt).toBeLessThan(ATTEMPTS)
      }
    },
  )
})

describe('the end of the runner', () => {
  function folder(): string {
    const path = mkdtempSync(join(tmpdir(), 'background-runner-'))
    onTestFinished(() => rmSync(path, { recursive: true, force: true }))
    return path
  }

  async function closeAt(stage: Stage, answer: typeof HANG, onUnknown: 'retry' | 'fail'): Promise<void> {
    const { server, frozen } = await freezing(stage, answer)
    const path = join(folder(), 'tasks.db')
    // A runner gives its handlers a second at the end: of real time, for it is not much.
    const first = trialRunner(
      server.url,
      { onUnknown },
      { engine: sqlite({ path, lease: 1_000 }), clock: fastClock(1) },
    )
    const { id } = await first.submit('email', messageFor(stage))
    await frozen
    await first.close({ deadline: 0 })
    const second = trialRunner(
      server.url,
      { onUnknown },
      { engine: sqlite({ path, lease: 1_000 }), clock: fastClock(1) },
    )
    const record = await second.wait(id)
    await second.close()
    expectTruth(server, [record], onUnknown)
    const failed = stage === 'end' && onUnknown === 'fail'
    expect(told(record)).toMatchObject(
      failed ? { state: 'failed', code: 'UNKNOWN_OUTCOME' } : { state: 'succeeded', code: undefined },
    )
    expect(statuses(record)).toEqual(everybody(failed ? 'unknown' : 'sent'))
    if (stage !== 'end') expect(server.mailbox(ADA).length).toBe(1)
  }

  it.each(BEFORE_THE_DOT)('at %s: the next one knows that nobody was mailed', async (stage) => {
    await closeAt(stage, NOT_TAKEN, 'fail')
  })

  it.each([
    ['taken', TAKEN],
    ['not taken', NOT_TAKEN],
  ])('after the final dot, the mail %s: the next one knows that it does not know', async (_, answer) => {
    await closeAt('end', answer, 'fail')
    await closeAt('end', answer, 'retry')
  })
})

describe('an attempt that ends before it has looked at what the one before it left', () => {
  const released = { number: 2, startedAt: 0, finishedAt: 1, outcome: 'released' } as const
  const crashed = { ...released, outcome: 'crashed' } as const

  it.each([released, crashed])('($outcome) leaves it to the next one', async (previous) => {
    const { email, outbox } = mailTask({ onUnknown: 'fail' })
    // The first attempt had the word to send.
    const saved = { recipients: {}, retries: 0, sending: 1 }
    const { outcome } = await runTask(email, MESSAGE, { attempt: 3, previous, saved })
    expect(outcome).toMatchObject({ type: 'failed', error: { code: 'UNKNOWN_OUTCOME' } })
    outbox.refuteEmailSent({ to: ADA })
  })
})
