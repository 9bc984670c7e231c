/**
 * What one SMTP connection is at. Nodemailer's errors do not say at which command a session was lost: a cut before MAIL
 * and one after the final dot look the same. Its log of the connection does: this is the logger that reads it.
 *
 * It keeps replies and addresses for the message at hand, and passes on what the app's own logger would have been told.
 */
import type { SmtpStage } from './verdict.js'

/** What is read of an entry of the log. */
interface Entry {
  /** What it is about: `client` and `server` are the lines of the dialogue, `message` the message or its end. */
  readonly tnx?: string
  /** Of a message, when its final dot has been sent; with `debug` its parts are told before, without it. */
  readonly outByteCount?: unknown
  /** Which connection. */
  readonly sid?: string
  /** Of `network`, whatever its value: a connection was established. */
  readonly localPort?: unknown
}

type Log = (entry: Entry, ...text: unknown[]) => void
type Level = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal'

/** A command whose reply has not come yet. */
interface Pending {
  readonly stage: SmtpStage | undefined
  readonly recipient?: string
}

const STAGES: Readonly<Record<string, SmtpStage | undefined>> = {
  EHLO: 'hello',
  HELO: 'hello',
  LHLO: 'hello',
  STARTTLS: 'tls',
  MAIL: 'mail',
  RCPT: 'rcpt',
  DATA: 'data',
  // They belong to no message.
  RSET: undefined,
  QUIT: undefined,
  '.': undefined,
}

/** What answers a command that is not refused (RFC 5321 4.3.2); where any 2yz or 3yz does, it is not here. */
const ANSWERS: Readonly<Partial<Record<SmtpStage, RegExp>>> = {
  greeting: /^220/,
  hello: /^250/,
  mail: /^2/,
  rcpt: /^2/,
  data: /^3/,
  end: /^2/,
}
const isReply = (text: string): boolean => /^[2-5]\d\d(?:[ -]|$)/.test(text)
const isRefusal = (text: string): boolean => /^[45]/.test(text)

/** A reply that answers nothing, or that SMTP does not know: from then on no reply can be told from the next one's. */
export interface OutOfStep {
  readonly stage: SmtpStage
  readonly reply: string
}

/** Follows the connections of one pool that has one connection at a time. */
export class Dialogue {
  /** The latest connection that was established, by Nodemailer's name for it. */
  #connection: string | undefined
  #closed = true
  #pending: Pending[] = []
  #answeredStage: SmtpStage | undefined
  #body = false
  #dot = false
  #heard = false
  #senderTaken = true
  #outOfStep: OutOfStep | undefined
  #onOutOfStep: (() => void) | undefined
  readonly #refused: Map<string, string> = new Map()

  /** A message is handed over. `onOutOfStep` is called when the session cannot go on, before Nodemailer does. */
  begin(onOutOfStep: () => void): void {
    this.#onOutOfStep = onOutOfStep
    this.#outOfStep = undefined
    this.#body = false
    this.#dot = false
    this.#heard = false
    this.#senderTaken = true
    this.#answeredStage = undefined
    this.#refused.clear()
    if (this.#closed) this.#pending = []
  }

  /** What is, or was to the last, being waited for. */
  get stage(): SmtpStage {
    if (this.#dot) return 'end'
    if (this.#body) return 'body'
    const awaited = this.#pending.find(({ stage }) => stage !== undefined)?.stage
    // Nothing is waited for between the login and the first command of a message.
    return awaited ?? (this.#closed ? 'connect' : 'mail')
  }

  get outOfStep(): OutOfStep | undefined {
    return this.#outOfStep
  }

  /** All of it has been sent. */
  get allSent(): boolean {
    return this.#dot
  }

  /** What the latest reply answered. */
  get answeredStage(): SmtpStage {
    return this.#answeredStage ?? this.stage
  }

  /** The server wants the message: it may be taken from now on. */
  get inBody(): boolean {
    return this.#body
  }

  /** Whether the server has said anything to the message at hand. */
  get heard(): boolean {
    return this.#heard
  }

  /** Refused recipients, as they were named to the server, and the replies. */
  get refused(): ReadonlyMap<string, string> {
    return this.#refused
  }

  /** What Nodemailer is to log to. */
  readonly logger: Readonly<Record<Level, Log>>

  /**
   * @param own the logger that the app gave Nodemailer
   * @param lines whether it was to be told the lines of the dialogue, too
   */
  constructor(own: unknown, lines: boolean) {
    const logger = (typeof own === 'object' && own !== null ? own : {}) as Partial<Record<Level, Log>>
    const pass = (level: Level): Log => {
      if (typeof logger[level] !== 'function') return () => {}
      return (entry, ...text) => {
        if (lines || (entry.tnx !== 'client' && entry.tnx !== 'server')) logger[level]?.(entry, ...text)
      }
    }
    const watch = (level: Level): Log => {
      const on = pass(level)
      return (entry, ...text) => {
        this.#read(entry, text[0])
        on(entry, ...text)
      }
    }
    // Lines, connections and the final dot are told at these two levels.
    this.logger = {
      debug: watch('debug'),
      info: watch('info'),
      trace: pass('trace'),
      warn: pass('warn'),
      error: pass('error'),
      fatal: pass('fatal'),
    }
  }

  #read(entry: Entry, text: unknown): void {
    const { tnx, sid } = entry
    if (tnx === 'network' && 'localPort' in entry) {
      this.#connection = sid
      this.#closed = false
      this.#pending = [{ stage: 'greeting' }]
      return
    }
    // One that was closed may have more to say when the next one is open.
    if (this.#closed || sid === undefined || sid !== this.#connection) return
    if (tnx === 'client') this.#sent(String(text))
    else if (tnx === 'server') this.#received(String(text))
    else if (tnx === 'message') {
      if (entry.outByteCount === undefined) return
      this.#dot = true
      this.#pending.push({ stage: 'end' })
    } else if (typeof text === 'string' && (text === 'Connection closed' || text.startsWith('Closing connection')))
      this.#closed = true
  }

  #sent(line: string): void {
    const verb = /^\S*/.exec(line)?.[0].toUpperCase() ?? ''
    // What is no command continues a login.
    const stage = Object.hasOwn(STAGES, verb) ? STAGES[verb] : 'auth'
    const recipient = stage === 'rcpt' ? /<(.*?)>/.exec(line)?.[1] : undefined
    this.#pending.push(recipient === undefined ? { stage } : { stage, recipient })
  }

  #received(reply: string): void {
    const { stage, recipient } = this.#pending.shift() ?? {}
    if (this.#body && !this.#dot) return this.#lostStep('body', reply)
    if (stage === undefined) return
    const expected = ANSWERS[stage]
    if (expected !== undefined && !(isReply(reply) && (isRefusal(reply) || expected.test(reply))))
      return this.#lostStep(stage, reply)
    this.#answeredStage = stage
    if (stage === 'mail' || stage === 'rcpt' || stage === 'data') this.#heard = true
    if (stage === 'mail') this.#senderTaken = reply.startsWith('2')
    // After a refused sender each pipelined recipient is a bad sequence, and says nothing of the mailbox.
    if (recipient !== undefined && this.#senderTaken && !reply.startsWith('2')) this.#refused.set(recipient, reply)
    if (stage === 'data' && /^[23]/.test(reply)) this.#body = true
  }

  #lostStep(stage: SmtpStage, reply: string): void {
    this.#outOfStep ??= { stage, reply }
    this.#onOutOfStep?.()
  }
}
