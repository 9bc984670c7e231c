/** What a manual retry knows: who has the message by then, whichever attempt gave it to them. */
import { runTask } from 'background-runner/testing'
import { describe, expect, it } from 'vitest'
import { HELLO, mailRunner, mailTask, smtpServer, told } from '../support/email.js'
import { DROP_AFTER_STORING } from '../support/smtp-server.js'

const ADA = 'ada@example.com'
const BOB = 'bob@example.com'

describe('a manual retry', () => {
  it('sends nothing to somebody who got it in the last attempt, when another had been refused before', async () => {
    let later = 1
    const server = await smtpServer({
      rcpt: ({ address }) => (address === BOB ? '550 5.1.1 no' : later-- > 0 ? '450 4.2.1 later' : undefined),
    })
    const runner = mailRunner({ transport: server.url })
    const handle = await runner.submit('email', { ...HELLO, cc: BOB })
    expect(told(await handle.wait())).toEqual({ state: 'failed', attempt: 2, code: 'PARTIALLY_SENT' })
    delete server.hooks.rcpt
    await handle.retry()
    expect((await handle.wait()).output).toMatchObject({ complete: true })
    expect(server.deliveries.map(({ to }) => to)).toEqual([[ADA], [BOB]])
  })

  it('sends to who may have it, and not to somebody who got it after that', async () => {
    let sends = 0
    const server = await smtpServer({
      rcpt: ({ address }) => (address === BOB && sends === 0 ? '450 4.2.1 later' : undefined),
      end: () => (sends++ === 0 ? DROP_AFTER_STORING : undefined),
    })
    const runner = mailRunner({ transport: server.url, onUnknown: 'fail' })
    const handle = await runner.submit('email', { ...HELLO, cc: BOB })
    expect(told(await handle.wait())).toEqual({ state: 'failed', attempt: 2, code: 'UNKNOWN_OUTCOME' })
    await handle.retry()
    expect((await handle.wait()).output).toMatchObject({ complete: true })
    expect(server.deliveries.map(({ to }) => to)).toEqual([[ADA], [BOB], [ADA]])
  })

  it("is a human's word also where the process died while it was sent, and onUnknown is 'fail'", async () => {
    const { email, outbox } = mailTask({ onUnknown: 'fail' })
    const saved = { recipients: {}, retries: 0, sending: 1 }
    const died = { attempt: 2, previous: { outcome: 'crashed' }, saved } as const
    expect((await runTask(email, HELLO, { ...died, retries: 1 })).outcome.type).toBe('succeeded')
    outbox.assertEmailSent({ to: ADA })
  })
})
