/** An SMTP server inside this process that keeps what it gets instead of delivering it: the example needs no mail account. */
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { simpleParser } from 'mailparser'
import { SMTPServer } from 'smtp-server'

/** Bounded, so that a long load test does not fill the memory. */
const KEPT = 1_000

export interface CaughtMail {
  readonly from: string
  readonly to: readonly string[]
  readonly subject: string
  readonly content: string
  readonly message_id: string
  readonly received_at: string
}

export interface SmtpCatcher {
  readonly url: string
  /** The last ones, newest first. */
  readonly mails: readonly CaughtMail[]
  close(): Promise<void>
}

/** @param kept so many of the last mails */
export async function startSmtpCatcher(kept: number = KEPT): Promise<SmtpCatcher> {
  const mails: CaughtMail[] = []
  const server = new SMTPServer({
    // No login and no encryption: it listens on this machine only.
    disabledCommands: ['AUTH', 'STARTTLS'],
    // A mail client that never ends its session must not hold up the end of the process.
    closeTimeout: 1_000,
    async onData(stream, { envelope }, done) {
      try {
        const { subject, text, messageId } = await simpleParser(stream)
        mails.unshift({
          // The envelope says who really gets a mail; its headers only say what was claimed.
          from: envelope.mailFrom ? envelope.mailFrom.address : '',
          to: envelope.rcptTo.map(({ address }) => address),
          subject: subject ?? '',
          content: text?.trimEnd() ?? '',
          message_id: messageId ?? '',
          received_at: new Date().toISOString(),
        })
        if (mails.length > kept) mails.pop()
        done()
      } catch (error) {
        done(error as Error)
      }
    },
  })
  // A client that hangs up in the middle is no reason to end the process.
  server.on('error', (error) => console.error(`SMTP catcher: ${error.message}`))
  const listener = server.listen(0, '127.0.0.1')
  await once(listener, 'listening')
  return {
    url: `smtp://127.0.0.1:${(listener.address() as AddressInfo).port}`,
    mails,
    close: () => new Promise((resolve) => server.close(resolve)),
  }
}
