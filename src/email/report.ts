/**
 * What is told of a message: recipient by recipient, as output where it is done, as an error where it is not.
 */
import { BackgroundRunnerError, NonRetryableError, RetryLaterError } from '../errors.js'
import type { Mailbox } from './address.js'
import { enhancedCodeIn, replyIn } from './failure.js'
import type { Scrub } from './scrub.js'
import { type EmailFailure, mayHaveBeenTaken } from './verdict.js'

/**
 * `sent`: the server took it. `rejected`: refused for good. `failed`: not sent, another attempt may help. `unknown`: it
 * may have been sent, since all of it was on its way and no reply was seen. `dropped`: the app's `intercept` said so.
 */
export interface RecipientResult {
  readonly status: 'sent' | 'rejected' | 'failed' | 'unknown' | 'dropped'
  /** The server's reply code, `'550'`; without a reply Nodemailer's or Node's, `'ECONNECTION'`. */
  readonly code?: string
  /** The enhanced status code of the reply (RFC 3463), `'5.1.1'`. */
  readonly enhancedCode?: string
  /** What the server said, or why the message was dropped. At most 500 characters. */
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

  constructor(message: string, code: string, recipients: Recipients, options?: { readonly cause?: unknown }) {
    super(code, message, options)
    this.details = { recipients }
  }
}

/**
 * The message waits, and uses no attempt: for a place in the rate limit; or, with `hold`, for a transport that is sick,
 * and with it all mail of the task.
 */
export class EmailWaitsError extends RetryLaterError {
  override readonly name: string = 'EmailWaitsError'
  readonly details: { readonly recipients: Recipients }

  constructor(message: string, code: string, recipients: Recipients, wait: { delay: number; hold: boolean }) {
    super(wait)
    this.message = message
    Object.defineProperty(this, 'code', { value: code, enumerable: true })
    this.details = { recipients }
  }
}

const MAX_RESPONSE = 500
/** What Nodemailer says with `maxRequeues: 0` of a connection that was closed in its hands. */
const REQUEUED = /^Reached maximum number of retries after connection was closed/

/** What is told of a recipient who has it. */
export function sentResult(response: string | undefined): RecipientResult {
  const reply = replyIn(response)
  // LMTP has a reply for each recipient, of which a transporter tells the last: another's refusal is none to this one.
  if (reply !== undefined && reply >= 400) return { status: 'sent' }
  return { status: 'sent', ...repliedWith(reply, enhancedCodeIn(response), undefined, response) }
}

/** What is told of one to whom the app did not send it, and why. */
export function droppedResult(reason: string): RecipientResult {
  return { status: 'dropped', response: reason.slice(0, MAX_RESPONSE) }
}

/** What is told of one who does not, or may not. */
export function failedResult(failure: EmailFailure, forGood: boolean): RecipientResult {
  const { reply, enhancedCode, code, response } = failure
  const status = mayHaveBeenTaken(failure) ? 'unknown' : forGood ? 'rejected' : 'failed'
  return { status, ...repliedWith(reply, enhancedCode, code, response) }
}

function repliedWith(
  reply: number | undefined,
  enhancedCode: string | undefined,
  otherwise: string | undefined,
  response: string | undefined,
): Omit<RecipientResult, 'status'> {
  const code = reply === undefined ? otherwise : String(reply)
  return {
    ...(code !== undefined && { code }),
    ...(enhancedCode !== undefined && { enhancedCode }),
    ...(response !== undefined && { response: response.slice(0, MAX_RESPONSE) }),
  }
}

/** The results of `to`, by address. */
export function recipientsOf(
  to: readonly Mailbox[],
  result: (mailbox: Mailbox) => RecipientResult | undefined,
): Recipients {
  return Object.fromEntries(to.map((each) => [each.address, result(each) ?? { status: 'failed' }]))
}

export function resultOf(messageId: string, recipients: Recipients): EmailResult {
  return { messageId, complete: Object.values(recipients).every(({ status }) => status === 'sent'), recipients }
}

/** Some got it, the others will not: for good, or none of the retries helped. */
export function partiallySentMessage(recipients: Recipients): string {
  const all = Object.values(recipients)
  const others = all.filter(({ status }) => status !== 'sent')
  // The server's words and no address: messages are logged, and what is submitted is not.
  const told = [...new Set(others.map(({ response, code }) => response ?? code ?? 'no reply'))].slice(0, 3)
  return `sent to ${all.length - others.length} of ${all.length} recipients; not to the others: ${told.join('; ')}`
}

/** What went wrong, in Nodemailer's words and the server's. */
export function messageOf(thrown: unknown, failure: EmailFailure, scrub: Scrub): string {
  const { message } = (typeof thrown === 'object' && thrown !== null ? thrown : { message: thrown }) as {
    readonly message?: unknown
  }
  const text = scrub(
    String(message ?? 'the message could not be sent').replace(REQUEUED, 'the server closed the connection'),
  )
  const { response } = failure
  return response === undefined || text.includes(response) ? text : `${text}: ${response}`
}

/** The code of an error about this failure. */
export function codeOf({ reply, code }: EmailFailure): string {
  return reply === undefined ? (code ?? 'SEND_FAILED') : String(reply)
}

/** Nodemailer's stack tells where it came to its error; it holds the server's words, too. */
export function withStackOf<E extends Error>(error: E, thrown: unknown, scrub: Scrub): E {
  const stack = typeof thrown === 'object' && thrown !== null && (thrown as { readonly stack?: unknown }).stack
  if (typeof stack === 'string') error.stack = scrub(stack)
  return error
}

/** Nothing more is tried. */
export function givenUp(message: string, code: string, recipients: Recipients, cause?: unknown): NonRetryableError {
  return new NonRetryableError(message, { code, details: { recipients }, cause })
}
