/**
 * The verdict on a failed send: try again, or fail at once. One table, the first rule that matches decides.
 *
 * Pure: it reads what Nodemailer's errors say and knows no task and no time. What the server said about the message
 * counts; what was said about the session, the login or the way to the server says nothing about the message.
 */

export type Verdict = 'retry' | 'fail'

/** What is known of a failure. */
export interface Failure {
  /** Nodemailer's code: `EENVELOPE`, `ECONNECTION`, … */
  readonly code: string | undefined
  /** The server's reply: 450, 550, … */
  readonly reply: number | undefined
  /** The SMTP command that was answered: `RCPT TO`, `DATA`, … */
  readonly command: string | undefined
}

interface Rule {
  readonly codes?: readonly string[]
  readonly replies?: (reply: number) => boolean
  readonly command?: string
  readonly verdict: Verdict
  readonly source: string
}

const VERDICTS: readonly Rule[] = [
  {
    codes: ['EAUTH', 'ENOAUTH', 'EOAUTH2', 'ECONFIG', 'EPROXY', 'ETLS'],
    verdict: 'retry',
    source: 'the login and the way to the server are the operator’s to mend: no message is lost by it',
  },
  {
    codes: ['ECONNECTION', 'ESOCKET', 'ETIMEDOUT', 'EDNS'],
    verdict: 'retry',
    source: 'RFC 5321 3.8: a lost connection counts as 451',
  },
  {
    codes: ['EPROTOCOL'],
    verdict: 'retry',
    source: 'RFC 5321 3.1: a greeting of 554 refuses the session; Postfix (smtp_skip_5xx_greeting) defers the message',
  },
  {
    replies: (reply) => [530, 534, 535, 538].includes(reply),
    verdict: 'retry',
    source: 'RFC 4954 6: the server wants a (better) login',
  },
  {
    replies: (reply) => reply === 552,
    command: 'RCPT TO',
    verdict: 'retry',
    source: 'RFC 5321 4.5.3.1.10: 552 to RCPT means 452, too many recipients',
  },
  {
    replies: (reply) => reply === 503,
    verdict: 'retry',
    source: 'RFC 5321 4.2.2: a bad sequence of commands is the session’s fault, not the message’s',
  },
  { replies: (reply) => reply >= 400 && reply <= 499, verdict: 'retry', source: 'RFC 5321 4.2.1: 4yz is transient' },
  { replies: (reply) => reply >= 500 && reply <= 599, verdict: 'fail', source: 'RFC 5321 4.2.1: 5yz is permanent' },
  {
    codes: ['EENVELOPE', 'EMESSAGE', 'EMAXRECIPIENTS', 'EFILEACCESS', 'EURLACCESS', 'EREQUIRETLS', 'EOTP'],
    verdict: 'fail',
    source: 'Nodemailer refused the message itself: it is the same in the next attempt',
  },
]

/** What is to be done about a failure; what no rule knows is tried again. */
export function verdictOn(failure: Failure): Verdict {
  const rule = VERDICTS.find(
    ({ codes, replies, command }) =>
      (codes === undefined || (failure.code !== undefined && codes.includes(failure.code))) &&
      (replies === undefined || (failure.reply !== undefined && replies(failure.reply))) &&
      (command === undefined || command === failure.command),
  )
  return rule?.verdict ?? 'retry'
}

/** Before these nothing of a message has left: no timer but that of an open session, no error but that of one. */
const BEFORE_THE_SESSION: readonly unknown[] = ['CONNECT_TIMEOUT', 'GREETING_TIMEOUT', 'UPGRADE_TIMEOUT']

/**
 * Whether the message may have been accepted although the send failed: the session was lost and no reply was seen.
 * Nodemailer does not tell at which command, so this errs on the side of "may have".
 */
export function maySent(error: {
  readonly code?: unknown
  readonly responseCode?: unknown
  readonly timeoutType?: unknown
  readonly syscall?: unknown
}): boolean {
  return (
    typeof error.responseCode !== 'number' &&
    ['ECONNECTION', 'ESOCKET', 'ETIMEDOUT'].includes(error.code as string) &&
    !BEFORE_THE_SESSION.includes(error.timeoutType) &&
    error.syscall !== 'connect'
  )
}
