import type { AttemptRecord } from 'background-runner'
import { runTask } from 'background-runner/testing'
import { simpleParser } from 'mailparser'
import nodemailer from 'nodemailer'
import { describe, expect, it } from 'vitest'
import { HELLO, mailRunner, mailTask, QUICK, smtpServer, told } from '../support/email.js'
import { DROP, DROP_AFTER_STORING, HANG } from '../support/smtp-server.js'

const ADA = 'ada@example.com'
const UNKNOWN = { recipients: { [ADA]: { status: 'unknown', code: 'ECONNECTION' } } }

function ended(outcome: NonNullable<AttemptRecord['outcome']>): AttemptRecord {
  return { number: 1, startedAt: 0, finishedAt: 1, outcome }
}

describe('when the reply to a message is lost', () => {
  it('it is sent again under the same Message-ID', async () => {
    let lost = 1
    const server = await smtpServer({ end: () => (lost-- > 0 ? DROP_AFTER_STORING : undefined) })
    const runner = mailRunner({ transport: server.url })
    const record = await (await runner.submit('email', HELLO)).wait()
    expect(told(record)).toEqual({ state: 'succeeded', attempt: 2, code: undefined })
    expect(record.attempts[0]?.error).toMatchObject({ code: 'ECONNECTION', details: UNKNOWN })
    const ids = await Promise.all(server.deliveries.map(async ({ raw }) => (await simpleParser(raw)).messageId))
    expect(ids).toHaveLength(2)
    expect(new Set(ids).size).toBe(1)
  })

  it("it fails with onUnknown: 'fail', until somebody retries it", async () => {
    let lost = 1
    const server = await smtpServer({ end: () => (lost-- > 0 ? DROP_AFTER_STORING : undefined) })
    const runner = mailRunner({ transport: server.url, onUnknown: 'fail' })
    const handle = await runner.submit('email', HELLO)
    const record = await handle.wait()
    expect(told(record)).toEqual({ state: 'failed', attempt: 1, code: 'UNKNOWN_OUTCOME' })
    expect(record.error?.details).toEqual(UNKNOWN)
    expect(server.deliveries).toHaveLength(1)
    await handle.retry()
    expect((await handle.wait()).state).toBe('succeeded')
    expect(server.deliveries).toHaveLength(2)
  })

  it('whoever the server had refused before keeps that refusal', async () => {
    const server = await smtpServer({
      rcpt: ({ address }) => (address.startsWith('bob') ? '550 5.1.1 no' : undefined),
      end: () => DROP_AFTER_STORING,
    })
    const runner = mailRunner({ transport: server.url, onUnknown: 'fail' })
    const record = await (await runner.submit('email', { ...HELLO, cc: 'bob@example.com' })).wait()
    expect(record.error).toMatchObject({
      code: 'UNKNOWN_OUTCOME',
      details: { recipients: { [ADA]: { status: 'unknown' }, 'bob@example.com': { status: 'rejected', code: '550' } } },
    })
  })

  it('who was put off before is tried on: only the unknown are done with', async () => {
    let calls = 0
    const server = await smtpServer({
      rcpt: ({ address }) => (address.startsWith('bob') && calls === 0 ? '450 4.2.1 later' : undefined),
      end: () => (calls++ === 0 ? DROP_AFTER_STORING : undefined),
    })
    const runner = mailRunner({ transport: server.url, onUnknown: 'fail' })
    const record = await (await runner.submit('email', { ...HELLO, cc: 'bob@example.com' })).wait()
    expect(told(record)).toEqual({ state: 'failed', attempt: 2, code: 'UNKNOWN_OUTCOME' })
    expect(record.error?.details).toMatchObject({
      recipients: { [ADA]: { status: 'unknown' }, 'bob@example.com': { status: 'sent' } },
    })
    expect(server.deliveries.map(({ to }) => to)).toEqual([[ADA], ['bob@example.com']])
  })

  it('a later refusal does not make it known', async () => {
    let lost = 1
    const server = await smtpServer({ end: () => (lost-- > 0 ? DROP_AFTER_STORING : '550 5.7.1 spam') })
    const runner = mailRunner({ transport: server.url })
    const record = await (await runner.submit('email', HELLO)).wait()
    expect(told(record)).toEqual({ state: 'failed', attempt: 2, code: 'UNKNOWN_OUTCOME' })
    expect(record.error?.details).toMatchObject({ recipients: { [ADA]: { status: 'unknown', code: '550' } } })
  })

  it.each(['mail', 'rcpt', 'data'] as const)('a session cut at %s leaves nothing unknown', async (stage) => {
    const server = await smtpServer({ [stage]: () => DROP })
    const runner = mailRunner({ transport: server.url, onUnknown: 'fail', retry: { ...QUICK, attempts: 2 } })
    const record = await (await runner.submit('email', HELLO)).wait()
    expect(told(record)).toEqual({ state: 'failed', attempt: 2, code: 'ECONNECTION' })
    expect(record.error?.details).toEqual({ recipients: { [ADA]: { status: 'failed', code: 'ECONNECTION' } } })
  })

  it.each(['2 fine', 'ok', '354 go on', '2500 queued'])('a reply of %j is none', async (reply) => {
    const server = await smtpServer({ end: () => reply })
    const runner = mailRunner({ transport: server.url, retry: { attempts: 1 } })
    const record = await (await runner.submit('email', HELLO)).wait()
    expect(record.error?.details).toMatchObject({ recipients: { [ADA]: { status: 'unknown', response: reply } } })
  })

  it('by the timeout of the task, it is told under the error of the timeout', async () => {
    const server = await smtpServer({ end: () => HANG })
    const runner = mailRunner({ transport: server.url, timeout: 200, retry: { attempts: 1 } }, { cancelGrace: 100 })
    const record = await (await runner.submit('email', HELLO)).wait()
    expect(told(record)).toEqual({ state: 'failed', attempt: 1, code: 'TASK_TIMEOUT' })
    expect(record.error?.details).toMatchObject({ recipients: { [ADA]: { status: 'unknown' } } })
  })

  it('over a transporter of the app, any lost session leaves it unknown', async () => {
    const server = await smtpServer({ mail: () => DROP })
    const transport = nodemailer.createTransport(server.url)
    const runner = mailRunner({ transport, onUnknown: 'fail' })
    const record = await (await runner.submit('email', HELLO)).wait()
    expect(told(record)).toEqual({ state: 'failed', attempt: 1, code: 'UNKNOWN_OUTCOME' })
  })
})

describe('over a transporter that is no SMTP', () => {
  const lost = (code: string) => Object.assign(new Error('lost'), { code })
  it.each([
    ['a connection that was reset', lost('ECONNRESET')],
    ['a fetch that failed', new TypeError('fetch failed', { cause: lost('UND_ERR_SOCKET') })],
    ['a request whose time was up', new DOMException('too slow', 'TimeoutError')],
  ])('%s may have sent it', async (_, thrown) => {
    const { email } = mailTask({ transport: { sendMail: () => Promise.reject(thrown) }, onUnknown: 'fail' })
    expect((await runTask(email, HELLO)).outcome).toMatchObject({ type: 'failed', error: { code: 'UNKNOWN_OUTCOME' } })
  })

  it('what never connected has not', async () => {
    const refused = Object.assign(lost('ECONNREFUSED'), { syscall: 'connect' })
    const thrown = new TypeError('fetch failed', { cause: refused })
    const { email } = mailTask({ transport: { sendMail: () => Promise.reject(thrown) }, onUnknown: 'fail' })
    const details = { recipients: { [ADA]: { status: 'failed', code: 'ECONNREFUSED' } } }
    expect((await runTask(email, HELLO)).outcome).toMatchObject({ type: 'retry', error: { details } })
  })
})

describe('when the process of an attempt died', () => {
  it.each(['crashed', 'released', 'cancelled'] as const)('(%s) its recipients may have it', async (outcome) => {
    const { email, outbox } = mailTask()
    outbox.refuse(ADA, '451 later')
    const { outcome: told } = await runTask(email, HELLO, { attempt: 2, previous: ended(outcome) })
    // That it is refused now does not say that it was not taken then.
    const result = { status: 'unknown', code: '451' }
    expect(told).toMatchObject({ type: 'retry', error: { details: { recipients: { [ADA]: result } } } })
    outbox.clear()
    const again = await runTask(email, HELLO, { attempt: 2, previous: ended(outcome) })
    expect(again.outcome.type).toBe('succeeded')
  })

  it("with onUnknown: 'fail' it fails if the server wanted the message by then, and is sent if not", async () => {
    const { email, outbox } = mailTask({ onUnknown: 'fail' })
    const previous = ended('crashed')
    const saved = { recipients: {}, retries: 0, sending: 1 }
    const { outcome } = await runTask(email, HELLO, { attempt: 2, previous, saved })
    expect(outcome).toMatchObject({
      type: 'failed',
      error: { code: 'UNKNOWN_OUTCOME', details: { recipients: { [ADA]: { status: 'unknown' } } } },
    })
    outbox.refuteEmailSent({ to: ADA })
    expect((await runTask(email, HELLO, { attempt: 2, previous })).outcome.type).toBe('succeeded')
  })

  it('nobody who has it is sent it again', async () => {
    const { email, outbox } = mailTask()
    const sent = { status: 'sent', code: '250', response: '250 ok' }
    const saved = { recipients: { [ADA]: sent }, retries: 0, ended: 1 }
    const { outcome } = await runTask(email, HELLO, { attempt: 2, previous: ended('crashed'), saved })
    expect(outcome).toMatchObject({ type: 'succeeded', output: { complete: true, recipients: { [ADA]: sent } } })
    outbox.refuteEmailSent({ to: ADA })
  })

  it('the word to send is kept before the first byte of the message', async () => {
    const kept: string[] = []
    const server = await smtpServer({ end: ({ raw }) => void kept.push(raw === '' ? 'empty' : 'message') })
    const runner = mailRunner({ transport: server.url, onUnknown: 'fail' })
    const handle = await runner.submit('email', HELLO)
    expect((await handle.result()).complete).toBe(true)
    expect(kept).toEqual(['message'])
    const { saved } = await runTask((await import('../support/email.js')).mailTask({ onUnknown: 'fail' }).email, HELLO)
    expect(saved).toEqual({ recipients: {}, retries: 0, sending: 1 })
  })
})
