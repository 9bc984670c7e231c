/**
 * A mail server that is none: a Nodemailer transport for tests, with nothing on the network. It speaks the envelope of
 * SMTP as Nodemailer's own transport would hear it from a real server, and keeps what was taken in its outbox.
 *
 * Nodemailer is met by its shape alone: it hands over a message, and is told what became of it.
 */
import { readMessage } from './mime.js'
import { MailOutbox, type Outbox } from './outbox.js'

/** What Nodemailer hands to a transport. */
interface OutgoingMail {
  readonly message: {
    getEnvelope(): { readonly from: string | false; readonly to: readonly string[] }
    messageId(): string
    createReadStream(): AsyncIterable<Uint8Array | string>
  }
}

/** What a send comes to: the answer of Nodemailer's SMTP transport, without its measurements. */
export interface TestTransportInfo {
  envelope: { from: string | false; to: string[] }
  messageId: string
  accepted: string[]
  rejected: string[]
  /** Where some were refused: an error for each, with `recipient`, `responseCode` and `response`. */
  rejectedErrors?: Error[]
  response: string
  messageSize: number
}

/** A Nodemailer transport, for `emailTask({ transport })` and `nodemailer.createTransport` alike. */
export interface TestTransport {
  readonly name: string
  readonly version: string
  readonly outbox: Outbox
  /** Called by Nodemailer. */
  send(mail: OutgoingMail, done: (error: Error | null, info?: TestTransportInfo) => void): void
  verify(done?: (error: Error | null, success: true) => void): Promise<true>
  close(): void
}

const TAKEN = '250 2.0.0 queued'

/**
 * A transport that sends nothing: what goes out through it is in its `outbox`.
 *
 * @example
 * const transport = testTransport()
 * const email = emailTask({ transport, from: 'App <app@example.com>' })
 * // … submit, run …
 * transport.outbox.assertEmailSent({ to: 'ada@example.com', subject: /welcome/i })
 */
export function testTransport(): TestTransport {
  const outbox = new MailOutbox()
  return {
    name: 'background-runner test transport',
    version: '1',
    outbox,
    send: (mail, done) => {
      deliver(mail, outbox).then(
        (info) => done(null, info),
        (error) => done(error),
      )
    },
    verify: async (done) => {
      done?.(null, true)
      return true
    },
    close: () => {},
  }
}

/** One message through the commands of SMTP. */
async function deliver({ message }: OutgoingMail, outbox: MailOutbox): Promise<TestTransportInfo> {
  const { from, to } = message.getEnvelope()
  if (to.length === 0) throw smtpError('No recipients defined', { code: 'EENVELOPE', command: 'API' })
  const accepted: string[] = []
  const rejectedErrors: SmtpError[] = []
  for (const [i, recipient] of to.entries()) {
    const response = outbox.refusal(recipient)
    if (response === undefined) {
      accepted.push(recipient)
      continue
    }
    rejectedErrors.push(refused('Recipient command failed', response, { recipient }))
    // With a 421 the server hangs up, in the middle of it all unless this was the last that it had to refuse.
    if (response.startsWith('421') && (accepted.length > 0 || i < to.length - 1))
      throw smtpError('Server closed the connection', { code: 'ECONNECTION', command: 'CONN', response })
  }
  const rejected = to.filter((each) => !accepted.includes(each))
  if (accepted.length === 0) {
    // As Nodemailer has it: a recipient who was only put off speaks for all, else the last one.
    const { response = '' } =
      rejectedErrors.find(({ responseCode = 500 }) => responseCode < 500) ?? rejectedErrors.at(-1) ?? {}
    throw refused("Can't send mail - all recipients were rejected", response, { rejected, rejectedErrors })
  }
  const raw = await read(message.createReadStream())
  outbox.take(readMessage(raw), { from: from || '', to: accepted }, rejected, raw)
  return {
    envelope: { from, to: [...to] },
    messageId: message.messageId(),
    accepted: [...accepted],
    rejected,
    ...(rejectedErrors.length > 0 && { rejectedErrors }),
    response: TAKEN,
    messageSize: raw.length,
  }
}

/** The whole message with CRLF for every kind of line break, as SMTP wants it. */
async function read(stream: AsyncIterable<Uint8Array | string>): Promise<Buffer> {
  const chunks: Buffer[] = []
  try {
    for await (const chunk of stream) chunks.push(Buffer.from(chunk as Uint8Array))
  } catch (error) {
    // A body that cannot be read: its code says so, whatever the reason's own is.
    const { code } = error as { code?: unknown }
    throw Object.assign(error as object, { originalCode: code, code: 'ESTREAM', command: 'API' })
  }
  const text = Buffer.concat(chunks)
    .toString('latin1')
    .replace(/\r\n|\r|\n/g, '\r\n')
  return Buffer.from(text.endsWith('\r\n') ? text : `${text}\r\n`, 'latin1')
}

/** The fields of Nodemailer's errors. */
interface SmtpFields {
  readonly code: string
  readonly command: string
  readonly response?: string
  readonly responseCode?: number
  readonly recipient?: string
  readonly rejected?: readonly string[]
  readonly rejectedErrors?: readonly Error[]
}

type SmtpError = Error & SmtpFields

function refused(message: string, response: string, fields: Partial<SmtpFields>): SmtpError {
  return smtpError(message, { code: 'EENVELOPE', command: 'RCPT TO', response, ...fields })
}

function smtpError(message: string, fields: SmtpFields): SmtpError {
  const { response } = fields
  if (response === undefined) return Object.assign(new Error(message), fields)
  const responseCode = Number(response.slice(0, 3))
  const permanent = responseCode >= 500 && responseCode !== 503
  return Object.assign(new Error(`${message}: ${response}`), fields, { responseCode, permanent })
}
