/**
 * One attempt to mail one message, as a pipeline: intercept → who is left → room in the rate limit → compose → send →
 * judge → keep → tell.
 */
import type { Clock } from '../clock.js'
import { InvalidInputError, NonRetryableError, TaskTimeoutError } from '../errors.js'
import { withFallback } from '../fallback.js'
import { createIds } from '../ids.js'
import { runtimeOf } from '../runtime.js'
import { parse } from '../schema.js'
import type { TaskContext } from '../task.js'
import { isThenable } from '../thenable.js'
import { domainOf, type Mailbox } from './address.js'
import { compose } from './compose.js'
import type { Sending } from './failure.js'
import { TransportHealth } from './health.js'
import { Ledger } from './ledger.js'
import { type CheckedMessage, recipientsOf as mailboxesOf, senderOf } from './message.js'
import type { FilledEmailOptions } from './options.js'
import type { Outlet } from './outlet.js'
import { SendWindow } from './rate-limit.js'
import {
  codeOf,
  droppedResult,
  EmailError,
  type EmailResult,
  EmailWaitsError,
  failedResult,
  givenUp,
  messageOf,
  partiallySentMessage,
  recipientsOf,
  resultOf,
  sentResult,
  withStackOf,
} from './report.js'
import { type EmailFailure, type EmailVerdict, gotNoGreeting, mayHaveBeenTaken, verdictOn } from './verdict.js'

/** What all attempts of one email task share. */
export class Mailer {
  readonly options: FilledEmailOptions
  readonly outlet: Outlet
  readonly #boundaries: (submission: number) => string = createIds(undefined)
  /** By the clock that they go by: a definition may be given to several runners. */
  readonly #byClock: WeakMap<Clock, { readonly health: TransportHealth; readonly window: SendWindow | undefined }> =
    new WeakMap()

  constructor(options: FilledEmailOptions, outlet: Outlet) {
    this.options = options
    this.outlet = outlet
  }

  deliver(message: CheckedMessage, ctx: TaskContext): Promise<EmailResult> {
    return new Delivery(this, message, ctx).run()
  }

  /** Nobody who writes a text can know it. Nodemailer would ask the system for each alone, which takes 5 µs. */
  boundary(): string {
    return this.#boundaries(0)
  }

  pacing(clock: Clock): { readonly health: TransportHealth; readonly window: SendWindow | undefined } {
    let found = this.#byClock.get(clock)
    if (found === undefined) {
      const { rateLimit } = this.options
      found = { health: new TransportHealth(clock), window: rateLimit && new SendWindow(rateLimit) }
      this.#byClock.set(clock, found)
    }
    return found
  }
}

/** A recipient who does not have the message after a send. */
interface Judged {
  readonly failure: EmailFailure
  readonly verdict: EmailVerdict
}

class Delivery {
  readonly #mailer: Mailer
  readonly #options: FilledEmailOptions
  readonly #ctx: TaskContext
  readonly #ledger: Ledger
  #message: CheckedMessage & { readonly from: Mailbox }
  #to: readonly Mailbox[]
  readonly #messageId: string

  constructor(mailer: Mailer, message: CheckedMessage, ctx: TaskContext) {
    this.#mailer = mailer
    this.#options = mailer.options
    this.#ctx = ctx
    this.#ledger = new Ledger(ctx, mailer.options.onUnknown)
    this.#message = { ...message, from: message.from ?? mailer.options.from }
    this.#to = mailboxesOf(message)
    this.#messageId = messageIdOf(ctx, this.#message.from)
  }

  async run(): Promise<EmailResult> {
    const reason = await this.#intercept().catch(async (error: unknown) => {
      await this.#ledger.leave().catch(() => {}) // what the app threw says more
      throw error
    })
    await this.#ledger.begin(this.#to)
    const open = this.#ledger.open(this.#to)
    if (reason !== undefined) {
      for (const each of open) this.#ledger.note(each, droppedResult(reason), true)
      return this.#result()
    }
    // Nobody is left where the end of the last attempt was kept and its verdict was not, or where it may not be tried again.
    if (open.length === 0) return this.#conclude()
    const { clock } = runtimeOf(this.#ctx)
    const { window } = this.#mailer.pacing(clock)
    const wait = window?.take(this.#ctx.id, clock.monotonic()) ?? 0
    if (wait > 0)
      throw this.#unfinished('waits for a place in the rate limit', 'RATE_LIMITED', { delay: wait, hold: false })
    let sending: Sending | undefined
    try {
      sending = await this.#send(open)
    } catch (error) {
      // Nothing of it was sent; without this mark the next attempt could not know.
      if (this.#ctx.signal.aborted) await this.#keep()
      if (!(error instanceof NonRetryableError)) throw error
      return this.#impossible(open, error)
    } finally {
      window?.give(clock.monotonic(), sending !== undefined && reachedTheServer(sending))
    }
    return this.#judge(open, sending)
  }

  /** Lets the app change the message, or drop it: then this gives its reason. */
  async #intercept(): Promise<string | undefined> {
    const { intercept, schema } = this.#options
    if (intercept === undefined) return undefined
    const given = structuredClone(this.#message.source)
    const changed: unknown = (await intercept(given)) ?? given
    if (isDropped(changed)) return changed.drop
    const { value } = await parseIntercepted(schema, changed)
    this.#message = { ...value, from: value.from ?? this.#options.from }
    this.#to = mailboxesOf(value)
    return undefined
  }

  #send(to: readonly Mailbox[]): Promise<Sending> {
    const { rules, dkim, onUnknown } = this.#options
    const { clock, cancelGrace } = runtimeOf(this.#ctx)
    const { signal } = this.#ctx
    return this.#mailer.outlet.send(
      () => {
        // The envelope decides who gets it, the headers only say so: they stay those of the whole message.
        const envelope = { from: senderOf(this.#message, this.#message.from), to: to.map(({ key }) => key) }
        const boundary = this.#mailer.boundary()
        return compose(this.#message, { messageId: this.#messageId, boundary, envelope, rules, dkim, signal })
      },
      {
        signal,
        clock,
        grace: cancelGrace,
        beforeBody: onUnknown === 'fail' ? () => this.#ledger.keepSending() : undefined,
      },
    )
  }

  /** It cannot be composed, in no attempt: an attachment is missing, or it is too large. */
  #impossible(to: readonly Mailbox[], error: NonRetryableError): EmailResult {
    const failure = { ...NOTHING, code: error.code }
    for (const mailbox of to) this.#ledger.note(mailbox, failedResult(failure, false), true)
    return this.#conclude({ failure, verdict: 'fail' }, error)
  }

  /** Writes down what became of each recipient, and tells what is to be done. */
  async #judge(to: readonly Mailbox[], { refused, failure, response, thrown }: Sending): Promise<EmailResult> {
    const left: Judged[] = []
    for (const mailbox of to) {
      const own = refused.get(mailbox.key) ?? failure
      if (own === undefined) this.#ledger.note(mailbox, sentResult(response), false)
      else {
        const verdict = this.#verdictOn(own)
        const forGood = verdict === 'fail' || (verdict === 'unknown' && this.#options.onUnknown === 'fail')
        this.#ledger.note(mailbox, failedResult(own, forGood), forGood)
        left.push({ failure: own, verdict })
      }
    }
    const hold = await this.#hold(left, to.length)
    const done = this.#ledger.open(this.#to).length === 0
    if (left.length === 0 && done) {
      const result = this.#result()
      if (result.complete) return result
    }
    // Also where it fails now: a `retry(id)` must know who has it.
    await this.#keep()
    if (this.#calledOff(left)) throw this.#ctx.signal.reason
    // Who is still to be tried decides what the error says.
    const decisive = left.find(({ verdict }) => verdict !== 'fail') ?? left[0]
    if (decisive === undefined || done) return this.#conclude(decisive, thrown)
    const message = messageOf(thrown, decisive.failure, this.#mailer.outlet.scrub)
    const wait = hold === undefined ? undefined : { delay: hold, hold: true }
    throw this.#traced(this.#unfinished(message, codeOf(decisive.failure), wait), thrown)
  }

  /** Another attempt is asked for. If there is none, that some have it is an error of its own, or enough. */
  #unfinished(message: string, code: string, wait?: { delay: number; hold: boolean }): Error {
    const recipients = this.#recipients()
    const make = (message: string, code: string): Error =>
      wait === undefined
        ? new EmailError(message, code, recipients)
        : new EmailWaitsError(message, code, recipients, wait)
    if (!Object.values(recipients).some(({ status }) => status === 'sent')) return make(message, code)
    const error = make(partiallySentMessage(recipients), 'PARTIALLY_SENT')
    return this.#options.onPartial === 'succeed' ? withFallback(error, this.#result()) : error
  }

  /** ms for which all mail is held, by what this send told of the transport. */
  async #hold(left: readonly Judged[], addressed: number): Promise<number | undefined> {
    const { clock, isHeld } = runtimeOf(this.#ctx)
    const { health } = this.#mailer.pacing(clock)
    const sick = left.find(({ verdict }) => verdict === 'hold')
    const told = sick ?? (left.length === addressed ? left[0] : undefined)
    // An attempt that somebody called off says nothing of the transport; one whose time was up does.
    const { aborted, reason } = this.#ctx.signal
    if (aborted && told?.failure.reply === undefined && !(reason instanceof TaskTimeoutError)) return undefined
    // One is enough where all mail is held, by another process or an earlier one: a probe does not begin to count.
    const isProbe =
      told !== undefined && gotNoGreeting(told.failure) && (await isHeld(this.#ctx.name).catch(() => false))
    return health.note(told?.failure, sick !== undefined || isProbe)
  }

  /** Somebody called it off before the server had the message or said anything of it: there is nothing else to tell. */
  #calledOff(left: readonly Judged[]): boolean {
    const { aborted, reason } = this.#ctx.signal
    return (
      aborted &&
      !(reason instanceof TaskTimeoutError) &&
      left.every(({ failure }) => failure.response === undefined && !mayHaveBeenTaken(failure))
    )
  }

  /** What is not kept would be mailed again: where somebody has it and that cannot be kept, nothing more is tried. */
  async #keep(): Promise<void> {
    try {
      await this.#ledger.keep()
    } catch (cause) {
      const recipients = this.#recipients()
      if (Object.values(recipients).some(({ status }) => status === 'sent' || status === 'unknown'))
        throw givenUp(partiallySentMessage(recipients), 'PARTIALLY_SENT', recipients, cause)
    }
  }

  /** Nobody is left to be tried. */
  #conclude(decisive?: Judged, thrown?: unknown): EmailResult {
    const result = this.#result()
    const { complete, recipients } = result
    if (complete || this.#to.every((mailbox) => this.#ledger.result(mailbox)?.status === 'sent')) return result
    const statuses = new Set(Object.values(recipients).map(({ status }) => status))
    if (statuses.has('unknown'))
      throw givenUp('the message may have been sent; no reply was seen', 'UNKNOWN_OUTCOME', recipients)
    if (statuses.has('sent')) {
      if (this.#options.onPartial === 'succeed') return result
      throw givenUp(partiallySentMessage(recipients), 'PARTIALLY_SENT', recipients)
    }
    if (decisive === undefined) throw givenUp('every recipient was refused', 'REJECTED', recipients)
    const message = messageOf(thrown, decisive.failure, this.#mailer.outlet.scrub)
    throw this.#traced(givenUp(message, codeOf(decisive.failure), recipients), thrown)
  }

  #verdictOn(failure: EmailFailure): EmailVerdict {
    const standard = verdictOn(failure)
    const { verdict } = this.#options
    if (verdict === undefined) return standard
    try {
      const own: unknown = verdict(failure, standard)
      if (own === 'retry' || own === 'fail' || own === 'hold' || own === 'unknown') return own
      if (isThenable(own)) Promise.resolve(own).catch(() => {}) // what it makes of its promise is no answer either
      throw new InvalidInputError('bad verdict', [
        { path: ['verdict'], message: "must answer 'retry', 'fail', 'hold' or 'unknown'" },
      ])
    } catch (error) {
      // A bug in the app's rule must not lose a message.
      this.#ctx.log('the verdict option failed; the standard verdict counts', { error: String(error) })
      return standard
    }
  }

  #recipients(): EmailResult['recipients'] {
    const named = recipientsOf(this.#to, (mailbox) => this.#ledger.result(mailbox))
    // Whom `intercept` names no more may have it all the same.
    return this.#options.intercept === undefined ? named : { ...this.#ledger.besides(this.#to), ...named }
  }

  #result(): EmailResult {
    return resultOf(this.#messageId, this.#recipients())
  }

  #traced<E extends Error>(error: E, thrown: unknown): E {
    return withStackOf(error, thrown, this.#mailer.outlet.scrub)
  }
}

/** A failure before anything was said. */
const NOTHING: EmailFailure = {
  stage: undefined,
  reply: undefined,
  enhancedCode: undefined,
  response: undefined,
  code: undefined,
  recipient: undefined,
}

/** Whether the server may have counted it as a message. */
function reachedTheServer({ failure }: Sending): boolean {
  if (failure === undefined || mayHaveBeenTaken(failure)) return true
  return failure.stage === undefined || !['connect', 'greeting', 'hello', 'tls', 'auth'].includes(failure.stage)
}

/** What the app made of the message is what it is in the next attempt too. */
async function parseIntercepted(
  schema: FilledEmailOptions['schema'],
  changed: unknown,
): Promise<{ readonly value: CheckedMessage }> {
  try {
    return (await parse(schema, changed, 'the message that intercept gave')) as { readonly value: CheckedMessage }
  } catch (error) {
    if (!(error instanceof InvalidInputError)) throw error
    throw new NonRetryableError(error.message, { code: error.code, cause: error })
  }
}

function isDropped(changed: unknown): changed is { readonly drop: string } {
  return typeof (changed as { readonly drop?: unknown } | null)?.drop === 'string'
}

/** One Message-ID for the task's whole life: a receiver that gets a message twice can tell. */
function messageIdOf({ id, createdAt }: TaskContext, from: Mailbox): string {
  return `<${id}.${createdAt.toString(36)}@${domainOf(from)}>`
}
