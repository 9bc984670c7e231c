/**
 * What became of a message, recipient by recipient: read from Nodemailer's answer or error, as output or as error.
 *
 * `sendMail` resolves also when only some recipients were refused, and when all are refused its error carries the reply
 * to one of them: the lists of the refused tell the truth.
 */
import { BackgroundRunnerError, NonRetryableError } from '../errors.js'
import { addressKey, type Mailbox } from './address.js'
import type { Scrub } from './scrub.js'
import { maySent, type Verdict, verdictOn } from './verdict.js'

/**
 * `sent`: the server took it. `rejected`: refused for good. `failed`: not sent, another attempt may help. `unknown`: it
 * may have been sent; the connection was lost before the server's reply.
 */
export interface RecipientResult {
  readonly status: 'sent' | 'rejected' | 'failed' | 'unknown'
  /** The server's reply code, `'550'`; without a reply Nodemailer's, `'ECONNECTION'`. */
  readonly code?: string
  /** What the server said. */
  readonly response?: string
}

/** What became of a message. */
export interface EmailResult {
  /** The same in every attempt. */
  readonly messageId: string
  /** Every recipient is `sent`. */
  readonly complete: boolean
  /** By address, as it was submitted. */
  readonly recipients: { readonly [address: string]: RecipientResult }
}

type Recipients = EmailResult['recipients']

/** A send that failed and is tried again; `code` is the server's reply, or Nodemailer's code where there was none. */
export class EmailError extends BackgroundRunnerError {
  override readonly name: string = 'EmailError'
  readonly details: { readonly recipients: Recipients }

  constructor(message: string, code: string, recipients: Recipients) {
    super(code, message)
    this.details = { recipients }
  }
}

/** What is read of Nodemailer's errors, here and in `verdict.ts`. Transports of others give less. */
interface SendError {
  readonly message?: unknown
  readonly stack?: unknown
  readonly code?: unknown
  readonly command?: unknown
  readonly response?: unknown
  readonly responseCode?: unknown
  readonly recipient?: unknown
  readonly rejectedErrors?: unknown
  readonly timeoutType?: unknown
  readonly syscall?: unknown
}

/** What is read of Nodemailer's answer. */
export interface SendInfo {
  readonly rejected?: unknown
  readonly rejectedErrors?: unknown
  readonly response?: unknown
}

const MAX_RESPONSE = 500
/** What Nodemailer says with `maxRequeues: 0` of a connection that was closed in its hands. */
const REQUEUED = /^Reached maximum number of retries after connection was closed/

/** The result of a send that Nodemailer resolved. */
export function resultOf(
  info: SendInfo | null | undefined,
  messageId: string,
  to: readonly Mailbox[],
  scrub: Scrub,
): EmailResult {
  const refused = refusals(info?.rejectedErrors, scrub)
  for (const address of listOf(info?.rejected)) {
    const key = addressKey(String(address))
    if (!refused.has(key)) refused.set(key, { status: 'rejected' })
  }
  const sent = { status: 'sent', ...replyOf(info ?? {}, scrub) } satisfies RecipientResult
  const recipients = recipientsOf(to, (key) => refused.get(key) ?? sent)
  return { messageId, complete: Object.values(recipients).every(({ status }) => status === 'sent'), recipients }
}

/** Some got it and some did not: to be failed at once, for another attempt would mail the former again. */
export function partiallySent({ recipients }: EmailResult): NonRetryableError {
  const all = Object.entries(recipients)
  const refused = all.filter(([, { status }]) => status !== 'sent')
  // The server's words and no address: messages are logged, and what is submitted is not.
  const told = [...new Set(refused.map(([, { response, code }]) => response ?? code ?? 'no reply'))].slice(0, 3)
  return new NonRetryableError(
    `sent to ${all.length - refused.length} of ${all.length} recipients; refused: ${told.join('; ')}`,
    { code: 'PARTIALLY_SENT', details: { recipients } },
  )
}

/**
 * The error of a send that Nodemailer rejected: `EmailError` to try again, `NonRetryableError` to fail at once.
 *
 * It has no `cause`: the original holds the server's words in many places, and with them perhaps the credentials.
 */
export function errorOf(thrown: unknown, to: readonly Mailbox[], scrub: Scrub): EmailError | NonRetryableError {
  const error: SendError = typeof thrown === 'object' && thrown !== null ? thrown : { message: String(thrown) }
  const refused = refusals(error.rejectedErrors, scrub)
  const overall = { status: statusOf(error), ...replyOf(error, scrub) } satisfies RecipientResult
  const recipients = recipientsOf(to, (key) => refused.get(key) ?? overall)
  // Whom the server only put off may still get it; nobody has it yet, so nobody gets it twice.
  const retried = errorsOf(error.rejectedErrors).find((each) => verdict(each) === 'retry')
  const decides = retried ?? error
  const code = replyOf(decides, scrub).code ?? 'SEND_FAILED'
  const message = scrub(messageOf(error))
  const made =
    verdict(decides) === 'retry'
      ? new EmailError(message, code, recipients)
      : new NonRetryableError(message, { code, details: { recipients } })
  if (typeof error.stack === 'string') made.stack = scrub(error.stack)
  return made
}

function messageOf({ message, response }: SendError): string {
  const text = String(message ?? 'the message could not be sent').replace(REQUEUED, 'the server closed the connection')
  return typeof response !== 'string' || text.includes(response) ? text : `${text}: ${response}`
}

function verdict({ code, responseCode, command }: SendError): Verdict {
  return verdictOn({
    code: typeof code === 'string' ? code : undefined,
    reply: typeof responseCode === 'number' ? responseCode : undefined,
    command: typeof command === 'string' ? command : undefined,
  })
}

function statusOf(error: SendError): RecipientResult['status'] {
  if (verdict(error) === 'fail') return 'rejected'
  return maySent(error) ? 'unknown' : 'failed'
}

function refusals(rejectedErrors: unknown, scrub: Scrub): Map<string, RecipientResult> {
  return new Map(
    errorsOf(rejectedErrors).map((each) => [
      addressKey(String(each.recipient)),
      { status: verdict(each) === 'fail' ? 'rejected' : 'failed', ...replyOf(each, scrub) },
    ]),
  )
}

function replyOf(from: SendError | SendInfo, scrub: Scrub): { readonly code?: string; readonly response?: string } {
  const { response, code, responseCode } = from as SendError
  const text = typeof response === 'string' ? scrub(response) : undefined
  const reply = typeof responseCode === 'number' ? String(responseCode) : text?.match(/^[2-5]\d\d(?=[ -]|$)/)?.[0]
  const told = reply ?? (typeof code === 'string' ? code : undefined)
  return {
    ...(told !== undefined && { code: told }),
    ...(text !== undefined && { response: text.slice(0, MAX_RESPONSE) }),
  }
}

function recipientsOf(to: readonly Mailbox[], tell: (key: string) => RecipientResult): Recipients {
  return Object.fromEntries(to.map(({ address, key }) => [address, tell(key)]))
}

function errorsOf(value: unknown): readonly SendError[] {
  return listOf(value).filter((each): each is SendError => typeof each === 'object' && each !== null)
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}
