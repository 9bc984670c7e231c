/**
 * What Nodemailer's answers and errors say of a send, as `EmailFailure`s: who was refused and how, and how far it came.
 *
 * `sendMail` resolves also when only some recipients were refused, when all are refused its error carries the reply to
 * one of them, and when the message is refused after that it forgets them: the dialogue remembers.
 */
import { addressKey } from './address.js'
import type { Dialogue, OutOfStep } from './dialogue.js'
import type { Scrub } from './scrub.js'
import type { EmailFailure, SmtpStage } from './verdict.js'

/** What came of handing a message over. Who was not refused shares `failure`, or has it. */
export interface Sending {
  /** By the key of a mailbox. */
  readonly refused: ReadonlyMap<string, EmailFailure>
  readonly failure: EmailFailure | undefined
  /** The reply to the message; undefined where there was none. */
  readonly response: string | undefined
  /** What Nodemailer rejected with. */
  readonly thrown: unknown
}

/** What is read of Nodemailer's errors and answers. Transports of others give less. */
interface Told {
  readonly code?: unknown
  readonly originalCode?: unknown
  readonly command?: unknown
  readonly response?: unknown
  readonly responseCode?: unknown
  readonly recipient?: unknown
  readonly rejected?: unknown
  readonly rejectedErrors?: unknown
  readonly timeoutType?: unknown
  readonly syscall?: unknown
}

/** Where a reply was given, by the command that Nodemailer names. */
const STAGES: Readonly<Record<string, SmtpStage | undefined>> = {
  EHLO: 'hello',
  HELO: 'hello',
  LHLO: 'hello',
  STARTTLS: 'tls',
  'MAIL FROM': 'mail',
  'RCPT TO': 'rcpt',
  DATA: 'data',
}

/** Before these nothing of a message has left: no timer but that of an open session, no error but that of one. */
const BEFORE_THE_SESSION: readonly unknown[] = ['CONNECT_TIMEOUT', 'GREETING_TIMEOUT', 'UPGRADE_TIMEOUT']

/** Reads what `sendMail` resolved with. */
export function answered(info: unknown, dialogue: Dialogue | undefined, scrub: Scrub): Sending {
  const told = toldBy(info)
  const response = textOf(told.response, scrub)
  // Nodemailer takes whatever begins with a 2 for a yes; what others answer may be no reply at all.
  const reply = replyIn(response) ?? 0
  const taken = dialogue === undefined || (dialogue.allSent && reply >= 200 && reply <= 299)
  return {
    refused: refusals(told, dialogue, scrub),
    failure: taken ? undefined : failure({ response }, 'end'),
    response,
    thrown: undefined,
  }
}

/** Reads what `sendMail` rejected with. */
export function rejected(thrown: unknown, dialogue: Dialogue | undefined, scrub: Scrub): Sending {
  if (dialogue?.outOfStep !== undefined) return brokenOff(dialogue.outOfStep, scrub)
  const told = dialogue === undefined ? toldByOthers(thrown) : toldBy(thrown)
  return {
    refused: refusals(told, dialogue, scrub),
    failure: failureOf(told, stageOf(told, dialogue), scrub),
    response: undefined,
    thrown,
  }
}

/** The server's replies are not to our commands: none of them counts, and the session was ended. */
function brokenOff({ stage, reply }: OutOfStep, scrub: Scrub): Sending {
  const told = { response: reply, code: 'EPROTOCOL' }
  const thrown = new Error('the server’s replies are out of step')
  if (stage !== 'body')
    return { refused: new Map(), failure: failureOf(told, stage, scrub), response: undefined, thrown }
  // A refusal that does not wait for the end is one; a yes may be for the message, or for what came before it.
  const early = failureOf({ ...told, code: undefined }, 'body', scrub)
  const failure = early.reply === undefined ? failureOf(told, 'end', scrub) : early
  return { refused: new Map(), failure, response: undefined, thrown }
}

function refusals(told: Told, dialogue: Dialogue | undefined, scrub: Scrub): Map<string, EmailFailure> {
  const found = new Map<string, EmailFailure>()
  for (const address of listOf(told.rejected)) {
    const recipient = addressKey(String(address))
    found.set(recipient, failure({ recipient, code: 'EENVELOPE' }, 'rcpt'))
  }
  for (const [address, reply] of dialogue?.refused ?? []) {
    const recipient = addressKey(address)
    found.set(recipient, { ...failureOf({ response: reply, code: 'EENVELOPE' }, 'rcpt', scrub), recipient })
  }
  for (const each of listOf(told.rejectedErrors)) {
    const error = toldBy(each)
    const recipient = addressKey(String(error.recipient))
    found.set(recipient, { ...failureOf(error, stageOf(error, undefined) ?? 'rcpt', scrub), recipient })
  }
  return found
}

function stageOf(told: Told, dialogue: Dialogue | undefined): SmtpStage | undefined {
  const { code, command, response, timeoutType, syscall } = told
  if (typeof response === 'string') {
    if (command === 'DATA' && code === 'EMESSAGE') return 'end'
    const named = typeof command === 'string' && (command.startsWith('AUTH') ? 'auth' : STAGES[command])
    return named || dialogue?.answeredStage
  }
  if (dialogue !== undefined) return dialogue.stage
  return BEFORE_THE_SESSION.includes(timeoutType) || syscall === 'connect' || code === 'EDNS' ? 'connect' : undefined
}

function failureOf(told: Told, stage: SmtpStage | undefined, scrub: Scrub): EmailFailure {
  const { code, originalCode, responseCode } = told
  // What Node says of a certificate says more than Nodemailer's ESOCKET.
  const kept =
    [originalCode, code].find((each) => typeof each === 'string' && /CERT|TLS|SSL|SIGNATURE/.test(each)) ?? code
  const response = textOf(told.response, scrub)
  const reply = typeof responseCode === 'number' ? responseCode : replyIn(response)
  return failure({ response, reply, code: typeof kept === 'string' ? kept : undefined }, stage)
}

function failure(known: Partial<EmailFailure>, stage: SmtpStage | undefined): EmailFailure {
  const { reply, response, code, recipient } = known
  return {
    stage,
    // A refusal is a 4yz or a 5yz; a 250 where none was due tells nothing.
    reply: reply !== undefined && reply >= 400 && reply <= 599 ? reply : undefined,
    enhancedCode: enhancedCodeIn(response),
    response,
    code,
    recipient,
  }
}

/** The reply code at the beginning of a reply. */
export function replyIn(response: string | undefined): number | undefined {
  const digits = /^[2-5]\d\d(?=[ -]|$)/.exec(response ?? '')?.[0]
  return digits === undefined ? undefined : Number(digits)
}

/** The enhanced status code after it (RFC 2034 4). */
export function enhancedCodeIn(response: string | undefined): string | undefined {
  return /^[245]\d\d[ -]([245]\.\d{1,3}\.\d{1,3})(?=[\s]|$)/.exec(response ?? '')?.[1]
}

function textOf(response: unknown, scrub: Scrub): string | undefined {
  return typeof response === 'string' ? scrub(response) : undefined
}

function toldBy(value: unknown): Told {
  return typeof value === 'object' && value !== null ? value : {}
}

/** By a transporter of the app's: `fetch` tells in its error's cause what was lost, and what is aborted has a name only. */
function toldByOthers(thrown: unknown): Told {
  const told = toldBy(thrown)
  if (typeof told.code === 'string' || typeof told.response === 'string') return told
  const { cause, name } = told as { readonly cause?: unknown; readonly name?: unknown }
  const { code, syscall } = toldBy(cause)
  if (typeof code === 'string') return { ...told, code, syscall }
  const aborted = { AbortError: 'EABORT', TimeoutError: 'ETIMEDOUT' }[String(name)]
  return aborted === undefined ? told : { ...told, code: aborted }
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}
