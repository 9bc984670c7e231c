/**
 * The verdict on a failed send, as one table: try again, fail, hold all mail, or nobody knows. The first rule that
 * matches decides.
 *
 * Pure: it reads what is known of a failure, and knows no task and no time. What the server said about the message or a
 * mailbox counts for them; what it said about the session, the login or the way to it says nothing about the message.
 */
import type { RetryPolicy } from '../retry-policy.js'

/**
 * What a failure asks for. `retry`: another attempt may help. `fail`: none will. `hold`: none of anybody's will, until
 * the transport is mended: no mail of this task starts for a while. `unknown`: the message may have been taken.
 */
export type EmailVerdict = 'retry' | 'fail' | 'hold' | 'unknown'

/**
 * How far the dialogue had come: what was being waited for. `body`: the server wanted the message and has not had all of
 * it; `end`: it may have had all of it.
 */
export type SmtpStage = 'connect' | 'greeting' | 'hello' | 'tls' | 'auth' | 'mail' | 'rcpt' | 'data' | 'body' | 'end'

/** What is known of a failure. */
export interface EmailFailure {
  /** Undefined where the transport is not ours to watch, or the message never came to one. */
  readonly stage: SmtpStage | undefined
  /** The server's reply: 450, 550, …; undefined where there was none, or nothing that SMTP knows. */
  readonly reply: number | undefined
  /** The enhanced status code in the reply's text (RFC 3463): `'5.1.1'`. */
  readonly enhancedCode: string | undefined
  /** The reply as it came, without credentials. */
  readonly response: string | undefined
  /** Nodemailer's or Node's code where there was no reply: `'ECONNECTION'`, `'CERT_HAS_EXPIRED'`, … */
  readonly code: string | undefined
  /** Whose refusal it is; undefined: everybody's. */
  readonly recipient: string | undefined
}

interface Rule {
  readonly stages?: readonly (SmtpStage | undefined)[]
  readonly replies?: (reply: number) => boolean
  /** There was no reply that SMTP knows. */
  readonly silent?: true
  /** There was no reply at all. */
  readonly unsaid?: true
  readonly codes?: (code: string) => boolean
  readonly enhancedCodes?: readonly string[]
  readonly verdict: EmailVerdict
  readonly source: string
}

const among =
  <T>(...all: readonly T[]) =>
  (each: T): boolean =>
    all.includes(each)
const any = (): boolean => true
const transient = (reply: number): boolean => reply >= 400 && reply <= 499
const permanent = (reply: number): boolean => reply >= 500 && reply <= 599

/** Node's own for certificates that it does not trust, and for handshakes that came to nothing. */
const isOfTls = (code: string): boolean => /^(?:ETLS$|CERT_|ERR_TLS_|ERR_SSL_|EPROTO$)|CERT|_SIGNATURE$/.test(code)
/** Nodemailer's for a session that was lost, and Node's and fetch's for a request that was: transports speak HTTP, too. */
const isLost = (code: string): boolean =>
  /^(?:ECONNECTION|ESOCKET|ETIMEDOUT|EPROTOCOL|EABORT|ECONNRESET|ECONNABORTED|EPIPE|ERR_STREAM_PREMATURE_CLOSE)$/.test(
    code,
  ) || /^UND_ERR_(?:SOCKET|ABORTED|HEADERS_TIMEOUT|BODY_TIMEOUT)$/.test(code)

export const VERDICTS: readonly Rule[] = [
  {
    stages: ['end'],
    silent: true,
    verdict: 'unknown',
    source: 'RFC 5321 4.1.1.4, 6.1; RFC 1047: between the final dot and its reply the message may have been taken',
  },
  {
    stages: [undefined],
    silent: true,
    codes: isLost,
    verdict: 'unknown',
    source: 'a transport that is not watched lost the session: the final dot may have been sent',
  },
  {
    replies: among(421),
    verdict: 'retry',
    source: 'RFC 5321 3.8, 4.2.2: the service closes the channel; the client tries again, whatever it was asked',
  },
  {
    replies: among(530, 534, 535, 538),
    verdict: 'hold',
    source: 'RFC 4954 6, RFC 3207 4: the server wants a (better) login, or encryption, first',
  },
  {
    stages: ['auth'],
    replies: any,
    verdict: 'hold',
    source: 'RFC 4954 4, 6 (454, 500, 504, …): the login is the operator’s or the server’s to mend',
  },
  {
    replies: permanent,
    enhancedCodes: ['5.7.8', '5.7.9', '5.7.11', '5.7.13', '5.7.14'],
    verdict: 'hold',
    source: 'RFC 4954 6, RFC 5248: credentials invalid, mechanism too weak, account disabled',
  },
  {
    codes: among('EAUTH', 'ENOAUTH', 'EOAUTH2', 'ECONFIG', 'EPROXY'),
    verdict: 'hold',
    source: 'the login and the way to the server are the operator’s to mend: no message is lost by it',
  },
  {
    codes: isOfTls,
    verdict: 'hold',
    source: 'RFC 8314 5.2: a certificate that does not verify, or no encryption where it is demanded, stays so',
  },
  {
    stages: ['tls'],
    replies: any,
    verdict: 'hold',
    source: 'RFC 3207 4: without the encryption that is demanded the session does not go on',
  },
  {
    stages: ['hello'],
    replies: permanent,
    verdict: 'hold',
    source: 'RFC 5321 4.1.1.1, 4.1.4: the server refuses this client by its name, not a message',
  },
  {
    stages: ['greeting'],
    verdict: 'retry',
    source: 'RFC 5321 3.1: a greeting of 554 refuses the session; Postfix (smtp_skip_5xx_greeting) defers the message',
  },
  {
    codes: among('EPROTOCOL'),
    verdict: 'retry',
    source: 'RFC 5321 4.3.2: what is no answer to the question says nothing about the message',
  },
  {
    stages: ['rcpt'],
    replies: among(552),
    verdict: 'retry',
    source: 'RFC 5321 4.5.3.1.10: 552 to RCPT means 452, too many recipients',
  },
  {
    replies: among(503),
    verdict: 'retry',
    source: 'RFC 5321 4.2.2: a bad sequence of commands is the session’s fault, not the message’s',
  },
  { replies: transient, verdict: 'retry', source: 'RFC 5321 4.2.1: 4yz is transient' },
  { replies: permanent, verdict: 'fail', source: 'RFC 5321 4.2.1: 5yz is permanent' },
  {
    unsaid: true,
    codes: among('EENVELOPE', 'EMESSAGE', 'EMAXRECIPIENTS', 'EFILEACCESS', 'EURLACCESS', 'EREQUIRETLS', 'EOTP'),
    verdict: 'fail',
    source: 'Nodemailer refused the message itself: it is the same in the next attempt',
  },
  { verdict: 'retry', source: 'RFC 5321 3.8: a lost connection counts as 451; what no rule knows may pass' },
]

/** What is to be done about a failure. Each has a verdict. */
export function verdictOn({ stage, reply, enhancedCode, response, code }: EmailFailure): EmailVerdict {
  const rule = VERDICTS.find(
    ({ stages, replies, silent, unsaid, codes, enhancedCodes }) =>
      (stages === undefined || stages.includes(stage)) &&
      (replies === undefined || (reply !== undefined && replies(reply))) &&
      (silent === undefined || reply === undefined) &&
      (unsaid === undefined || response === undefined) &&
      (codes === undefined || (code !== undefined && codes(code))) &&
      (enhancedCodes === undefined || (enhancedCode !== undefined && enhancedCodes.includes(enhancedCode))),
  )
  return rule?.verdict ?? 'retry'
}

/** Whether the message may have been taken although no reply was seen, whatever is to be done about it. */
export function mayHaveBeenTaken(failure: EmailFailure): boolean {
  return verdictOn(failure) === 'unknown'
}

/** Whether the server did not even greet: enough of these in a row, and it is down. */
export function gotNoGreeting({ stage }: EmailFailure): boolean {
  return stage === 'connect' || stage === 'greeting'
}

/**
 * For a program that hands its mail to a provider or a relay of its own: minutes at first, gives up after a day. Waits
 * of 0 to 1 min, 2 min, 4 min, … up to 1 h (full jitter).
 */
export const submission: RetryPolicy = {
  attempts: 100,
  maxAge: '1d',
  backoff: { type: 'exponential', delay: '1m', factor: 2, max: '1h', jitter: true },
}

/** For mail that goes to the recipients' own servers: after 30 min, 1 h, 2 h and then every 4 h, for 5 days (RFC 5321 4.5.4.1). */
export const relay: RetryPolicy = {
  attempts: 100,
  maxAge: '5d',
  backoff: { type: 'exponential', delay: '30m', factor: 2, max: '4h', jitter: false },
}
