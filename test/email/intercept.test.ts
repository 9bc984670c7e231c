import type { EmailMessage } from 'background-runner/email'
import { runTask } from 'background-runner/testing'
import { describe, expect, it } from 'vitest'
import { HELLO, mailRunner, mailTask, smtpServer } from '../support/email.js'

describe('intercept', () => {
  it('may send all mail to one address', async () => {
    const { email, outbox } = mailTask({
      intercept: (message) => ({ ...message, to: 'staging@example.com', cc: [], bcc: [] }),
    })
    const { outcome } = await runTask(email, { ...HELLO, cc: 'bob@example.com', bcc: 'eve@example.com' })
    expect(outcome).toMatchObject({
      output: { complete: true, recipients: { 'staging@example.com': { status: 'sent' } } },
    })
    outbox.assertEmailSent({ envelope: { to: ['staging@example.com'] } }, { count: 1 })
  })

  it('may change the message that it is given', async () => {
    const { email, outbox } = mailTask({
      intercept: (message) => {
        ;(message as { subject: string }).subject = `[staging] ${message.subject}`
      },
    })
    await runTask(email, HELLO)
    outbox.assertEmailSent({ subject: '[staging] Hi' })
  })

  it('may be asynchronous, and drop the message with a reason', async () => {
    const { email, outbox } = mailTask({ intercept: async () => ({ drop: 'on the suppression list' }) })
    const { outcome } = await runTask(email, { ...HELLO, cc: 'bob@example.com' })
    const dropped = { status: 'dropped', response: 'on the suppression list' }
    expect(outcome).toEqual({
      type: 'succeeded',
      output: {
        messageId: expect.any(String),
        complete: false,
        recipients: { 'ada@example.com': dropped, 'bob@example.com': dropped },
      },
    })
    outbox.refuteEmailSent({ to: 'ada@example.com' })
  })

  it('is called before each attempt with the message as it was submitted', async () => {
    const server = await smtpServer({ end: () => '451 later' })
    const seen: EmailMessage[] = []
    const runner = mailRunner({
      transport: server.url,
      intercept: (message) => {
        seen.push(structuredClone(message))
        ;(message as { subject: string }).subject += '!'
      },
    })
    await (await runner.submit('email', HELLO)).wait()
    expect(seen).toEqual([HELLO, HELLO, HELLO])
  })

  it('drops a message only for those who have it not', async () => {
    const server = await smtpServer({ rcpt: ({ address }) => (address.startsWith('bob') ? '450 later' : undefined) })
    let attempts = 0
    const runner = mailRunner({
      transport: server.url,
      intercept: () => (++attempts > 1 ? { drop: 'bounced' } : undefined),
    })
    const { recipients, complete } = await (await runner.submit('email', { ...HELLO, cc: 'bob@example.com' })).result()
    expect(complete).toBe(false)
    expect(recipients).toMatchObject({
      'ada@example.com': { status: 'sent' },
      'bob@example.com': { status: 'dropped', response: 'bounced' },
    })
  })

  it('cannot send what could not be submitted', async () => {
    const { email, outbox } = mailTask({
      intercept: (message) => ({ ...message, to: 'ada@example.com\r\nBcc: eve@example.com' }),
    })
    const { outcome } = await runTask(email, HELLO)
    expect(outcome).toMatchObject({ type: 'failed', error: { code: 'INVALID_INPUT' } })
    outbox.refuteEmailSent({ to: 'ada@example.com' })
  })

  it('that throws is a failed attempt, and nothing is sent', async () => {
    const { email, outbox } = mailTask({ intercept: () => Promise.reject(new Error('no list')) })
    expect((await runTask(email, HELLO)).outcome).toMatchObject({ type: 'retry', error: { message: 'no list' } })
    outbox.refuteEmailSent({ to: 'ada@example.com' })
  })

  it('that throws forgets nobody who may have it since a process died', async () => {
    let calls = 0
    const intercept = () => {
      if (calls++ === 0) throw new Error('no list')
    }
    const { email, outbox } = mailTask({ intercept })
    outbox.refuse('ada@example.com', '550 5.1.1 no')
    const thrown = await runTask(email, HELLO, { attempt: 2, previous: { outcome: 'crashed' } })
    expect(thrown.outcome).toMatchObject({ type: 'retry', error: { message: 'no list' } })
    const again = { attempt: 3, previous: { outcome: 'retry' }, saved: thrown.saved ?? null } as const
    const { outcome } = await runTask(email, HELLO, again)
    expect(outcome).toMatchObject({
      type: 'failed',
      error: { code: 'UNKNOWN_OUTCOME', details: { recipients: { 'ada@example.com': { status: 'unknown' } } } },
    })
  })

  it('may name others in a later attempt: who has it by then is told of, and not sent it again', async () => {
    let attempts = 0
    const to = (): string[] => (attempts++ === 0 ? ['ada@example.com', 'bob@example.com'] : ['eve@example.com'])
    const { email, outbox } = mailTask({ intercept: (message) => ({ ...message, to: to() }) })
    outbox.refuse('bob@example.com', '450 4.2.1 later')
    outbox.refuse('eve@example.com', '550 5.1.1 no')
    const { saved = null } = await runTask(email, HELLO)
    const { outcome } = await runTask(email, HELLO, { attempt: 2, saved })
    expect(outcome).toMatchObject({ type: 'failed', error: { code: 'PARTIALLY_SENT' } })
    expect((outcome as { error: { details: unknown } }).error.details).toEqual({
      recipients: {
        'ada@example.com': { status: 'sent', code: '250', enhancedCode: '2.0.0', response: '250 2.0.0 queued' },
        'eve@example.com': { status: 'rejected', code: '550', enhancedCode: '5.1.1', response: '550 5.1.1 no' },
      },
    })
  })

  it('that takes somebody out who may have it lets the others have it, and says so', async () => {
    const { email } = mailTask({ intercept: (message) => ({ ...message, to: 'bob@example.com' }) })
    const saved = {
      recipients: { 'ada@example.com': { status: 'unknown', code: 'ECONNECTION' } },
      retries: 0,
      ended: 1,
    }
    const { outcome } = await runTask(email, HELLO, { attempt: 2, saved })
    expect(outcome).toMatchObject({
      type: 'succeeded',
      output: {
        complete: false,
        recipients: { 'ada@example.com': { status: 'unknown' }, 'bob@example.com': { status: 'sent' } },
      },
    })
  })

  it('may give a long reason: as much of it is told as of a response', async () => {
    const { email } = mailTask({ intercept: () => ({ drop: 'x'.repeat(5_000) }) })
    const { outcome } = await runTask(email, HELLO)
    const dropped = { status: 'dropped', response: 'x'.repeat(500) }
    expect(outcome).toMatchObject({ output: { recipients: { 'ada@example.com': dropped } } })
  })
})
