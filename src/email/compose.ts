/** From a message that was checked to what Nodemailer is handed: everything but the envelope. */
import type { SendMailOptions } from 'nodemailer'
import type { Mailbox } from './address.js'
import type { CheckedMessage, MessageRules } from './message.js'

export async function compose(
  message: CheckedMessage & { readonly from: Mailbox },
  { messageId }: { readonly messageId: string; readonly rules: MessageRules; readonly signal: AbortSignal },
): Promise<SendMailOptions> {
  const { from, to, cc, replyTo, subject, text, html, headers } = message
  return {
    messageId,
    from: toHeader(from),
    ...(to.length > 0 && { to: to.map(toHeader) }),
    ...(cc.length > 0 && { cc: cc.map(toHeader) }),
    ...(replyTo.length > 0 && { replyTo: replyTo.map(toHeader) }),
    subject,
    ...(text !== undefined && { text }),
    ...(html !== undefined && { html }),
    headers: { ...headers },
    disableFileAccess: true,
    disableUrlAccess: true,
  }
}

function toHeader({ name, key }: Mailbox): { name: string; address: string } {
  return { name, address: key }
}
