/** Mails as their receivers have them: submitted to the email task, sent to a real server, read by a MIME parser of others. */
import type { EmailMessage, EmailTaskOptions } from 'background-runner/email'
import { type ParsedMail, simpleParser } from 'mailparser'
import { expect } from 'vitest'
import { HELLO, mailRunner, smtpServer } from './email.js'
import type { Delivery } from './smtp-server.js'

export interface Received extends Delivery {
  readonly mail: ParsedMail
}

type Options = Omit<Partial<EmailTaskOptions>, 'transport'>

/** Sends messages by one task. */
export async function receiver(options: Options = {}): Promise<(message: EmailMessage) => Promise<Received>> {
  const server = await smtpServer()
  const runner = mailRunner({ ...options, transport: server.url })
  return async (message) => {
    const handle = await runner.submit('email', message)
    expect(await handle.result()).toMatchObject({ complete: true })
    const delivery = server.deliveries.at(-1) as Delivery
    return { ...delivery, mail: await simpleParser(Buffer.from(delivery.raw, 'latin1')) }
  }
}

export async function receive(message: Partial<EmailMessage>, options?: Options): Promise<Received> {
  const send = await receiver(options)
  return send({ ...HELLO, ...message })
}
