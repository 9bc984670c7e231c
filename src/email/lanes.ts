/**
 * Lanes to the mail server: one message at a time goes down each, over one connection that stays open between two, and
 * each is watched by its dialogue.
 *
 * A message that is called off (cancel, timeout, shutdown) while the server does not want it yet is stopped at once. From
 * the moment that it does, only its reply tells whether it was taken: that is waited for, as long as the runner's grace
 * allows.
 */
import type { Readable } from 'node:stream'
import type { SendMailOptions, SMTPPoolOptions, Transporter } from 'nodemailer'
import type MimeNode from 'nodemailer/lib/mime-node'
import { type Alarm, after, type Clock, nextTurn, Turn } from '../clock.js'
import { asked } from '../elsewhere.js'
import { Dialogue } from './dialogue.js'
import { answered, rejected, type Sending } from './failure.js'
import type { Scrub } from './scrub.js'
import { type Encoders, type Source, WholeMessage } from './whole.js'

/** Anything that sends: a Nodemailer transporter, or what has its `sendMail`. */
export interface EmailTransporter {
  sendMail(message: SendMailOptions): Promise<unknown>
}

/** How a message is handed over. */
export interface Handing {
  /** Calls it off. */
  readonly signal: AbortSignal
  readonly clock: Clock
  /** ms that the reply to a message is waited for after it was called off. */
  readonly grace: number
  /** Awaited before the first byte of the message is sent; nothing is sent if it rejects. */
  readonly beforeBody: (() => Promise<void>) | undefined
}

type Compose = () => Promise<SendMailOptions>

/** Of the grace, so that the handler ends before it is called unresponsive. */
const OF_GRACE = 0.9
/**
 * ms of a turn of the event loop in which messages are handed over. Replies to several come at once: all the next ones in
 * one go would hold up the event loop, and sent at once they would be answered at once again.
 */
const SHARE_OF_TURN = 0.25
/** ms that a closing runner gives what it called off. */
const CLOSING_GRACE = 1_000

/** What is watched of a lane's own connection. */
interface Watched {
  readonly dialogue: Dialogue
  readonly encoders: Encoders
  /** Shared by all lanes. */
  readonly turn: Turn
}

export class Lane {
  readonly #transporter: EmailTransporter
  /** Undefined: the transporter is the app's, and not ours to watch. */
  readonly #dialogue: Dialogue | undefined
  readonly #scrub: Scrub
  readonly #turn: Turn | undefined
  /** Messages that its connection has carried. */
  #carried = 0
  #beforeBody: (() => Promise<void>) | undefined
  /** Of the message at hand, and of those after it, until it is used. */
  #stop: AbortController = new AbortController()
  /** Ends the wait for the message at hand: not every transporter heeds a signal. */
  #giveUp: ((error: Error) => void) | undefined

  constructor(transporter: EmailTransporter, scrub: Scrub, watched?: Watched) {
    this.#transporter = transporter
    this.#dialogue = watched?.dialogue
    this.#scrub = scrub
    this.#turn = watched?.turn
    if (watched !== undefined) {
      const { use, dkim } = transporter as Transporter
      use.call(transporter, 'stream', ({ data, message }, done) => {
        // Who signs a message reads it as a stream.
        this.#gate(message as MimeNode, data.dkim || dkim ? undefined : watched.encoders)
        done()
      })
    }
  }

  async send(compose: Compose, handing: Handing): Promise<Sending> {
    const reused = this.#carried > 0
    const first = await this.#try(compose, handing)
    // A connection that was idle may have been closed by the server just as this message came: it has seen nothing of it.
    const { stage, response } = first.failure ?? {}
    const unseen = stage === 'mail' && response === undefined && this.#dialogue?.heard === false
    return reused && unseen && !handing.signal.aborted ? this.#try(compose, handing) : first
  }

  async #try(compose: Compose, { signal, clock, grace, beforeBody }: Handing): Promise<Sending> {
    const dialogue = this.#dialogue
    const message = await compose()
    const spent = (): Promise<void> | undefined => this.#turn?.spent(clock.monotonic())
    for (let next = spent(); next !== undefined; next = spent()) await next
    if (signal.aborted) throw signal.reason
    if (dialogue === undefined) await beforeBody?.()
    dialogue?.begin(() => this.#abort(undefined))
    this.#beforeBody = beforeBody
    let alarm: Alarm | undefined
    const callOff = (): void => {
      // Whether a transporter of the app's is at the message already cannot be told.
      if (dialogue !== undefined && !dialogue.inBody) return this.#abort(signal.reason)
      const most = isClosing(signal.reason) ? Math.min(grace, CLOSING_GRACE) : grace
      alarm = after(clock, most * OF_GRACE, () => this.#abort(signal.reason))
    }
    signal.addEventListener('abort', callOff, { once: true })
    try {
      const info = await this.#hand(message)
      this.#carried++
      return answered(info, dialogue, this.#scrub)
    } catch (thrown) {
      const sending = rejected(thrown, dialogue, this.#scrub)
      if (sending.failure?.response === undefined) this.#carried = 0
      return sending
    } finally {
      this.#giveUp = undefined
      signal.removeEventListener('abort', callOff)
      alarm?.cancel()
    }
  }

  #hand(message: SendMailOptions): Promise<unknown> {
    message.signal = this.#stop.signal
    asked(message)
    return new Promise((resolve, reject) => {
      this.#giveUp = reject
      Promise.resolve(this.#transporter.sendMail(message)).then(resolve, reject)
    })
  }

  #abort(reason: unknown): void {
    if (this.#giveUp === undefined) return
    this.#giveUp(aborted(reason))
    const stop = this.#stop
    this.#stop = new AbortController()
    stop.abort(reason)
  }

  /**
   * Nodemailer pipes the message when the server wants it. It is held back until whatever the server had sent by then has
   * been read, since a reply that was there before the message is none to it; and until `beforeBody` has resolved.
   *
   * @param encoders undefined: it is to be streamed
   */
  #gate(message: MimeNode, encoders: Encoders | undefined): void {
    const ready = this.#beforeBody
    const open = message.createReadStream
    message.createReadStream = (...options) => {
      const source: Source = (encoders && WholeMessage.of(message, encoders)) ?? open.apply(message, options)
      const { pipe } = source
      source.pipe = (to, how) => {
        const go = (): void => void (to.writable && pipe.call(source, to, how))
        const begin = (): void => (ready === undefined ? go() : void ready().then(go, (error) => source.destroy(error)))
        nextTurn(() => nextTurn(begin)) // on the first one Nodemailer reads on
        return to
      }
      return source as Readable
    }
  }

  close(): void {
    // By force: whatever still sends then belongs to an attempt that was given up.
    ;(this.#transporter as Transporter & { close(options: { force: boolean }): void }).close({ force: true })
  }
}

/** As many lanes as messages may be sent at once; what finds none free waits for one. */
export class Lanes {
  readonly #most: number
  readonly #make: () => Lane
  readonly #lanes: Lane[] = []
  /** The one that was used last is taken first: its connection is open. */
  readonly #free: Lane[] = []
  readonly #waiting: ((lane: Lane) => void)[] = []

  constructor(
    options: SMTPPoolOptions,
    most: number,
    createTransport: (options: SMTPPoolOptions) => EmailTransporter,
    encoders: Encoders,
    scrub: Scrub,
  ) {
    this.#most = most
    const turn = new Turn(SHARE_OF_TURN)
    this.#make = () => {
      const dialogue = new Dialogue(options.logger, Boolean(options.debug || options.transactionLog))
      const watched = { ...options, logger: dialogue.logger, transactionLog: true }
      return new Lane(createTransport(watched), scrub, { dialogue, encoders, turn })
    }
  }

  async send(compose: Compose, handing: Handing): Promise<Sending> {
    const lane = await this.#take(handing.signal)
    try {
      return await lane.send(compose, handing)
    } finally {
      const next = this.#waiting.shift()
      if (next === undefined) this.#free.push(lane)
      else next(lane)
    }
  }

  #take(signal: AbortSignal): Lane | Promise<Lane> {
    if (signal.aborted) throw signal.reason
    const free = this.#free.pop()
    if (free !== undefined) return free
    if (this.#lanes.length < this.#most) {
      const lane = this.#make()
      this.#lanes.push(lane)
      return lane
    }
    return new Promise((resolve, reject) => {
      const take = (lane: Lane): void => {
        signal.removeEventListener('abort', leave)
        resolve(lane)
      }
      const leave = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(take), 1)
        reject(signal.reason)
      }
      signal.addEventListener('abort', leave, { once: true })
      this.#waiting.push(take)
    })
  }

  close(): void {
    for (const lane of this.#lanes) lane.close()
  }
}

function aborted(cause: unknown): Error {
  return Object.assign(new Error('the sending was called off', { cause }), { code: 'EABORT' })
}

function isClosing(reason: unknown): boolean {
  return (reason as { readonly code?: unknown } | undefined)?.code === 'RUNNER_CLOSED'
}
