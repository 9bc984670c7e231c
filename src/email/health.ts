/**
 * Whether the transport is well. A sick one burns no tasks: while it is, all mail of the task is held, and one at a time
 * goes first to see.
 *
 * A login or a configuration that fails says so at once. A server is down when three attempts in a row got no greeting:
 * one that greets and is cut off later is there.
 */
import type { Clock } from '../clock.js'
import { type EmailFailure, gotNoGreeting } from './verdict.js'

/** Attempts in a row without a greeting after which a server is down. */
const DOWN = 3
/** ms; doubled with each hold in a row. */
const FIRST_HOLD = 5_000
const LONGEST_HOLD = 300_000

export class TransportHealth {
  readonly #clock: Clock
  #ungreeted = 0
  #holds = 0
  /** On the monotonic clock. */
  #heldUntil = Number.NEGATIVE_INFINITY

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /**
   * Takes in what came of a send; `failure` undefined: the message, or some of it, was taken.
   *
   * @param sick a rule says that no message can be sent
   * @returns ms for which all mail is to be held; undefined: it is not
   */
  note(failure: EmailFailure | undefined, sick: boolean): number | undefined {
    if (failure !== undefined && gotNoGreeting(failure)) this.#ungreeted++
    else this.#ungreeted = 0
    if (sick || this.#ungreeted >= DOWN) return this.#hold()
    // It greets, and lets us in.
    if (this.#ungreeted === 0) this.#holds = 0
    return undefined
  }

  #hold(): number {
    const now = this.#clock.monotonic()
    // Those that were under way when it began share it.
    if (now < this.#heldUntil) return Math.ceil(this.#heldUntil - now)
    const delay = Math.min(FIRST_HOLD * 2 ** this.#holds, LONGEST_HOLD)
    this.#holds++
    this.#heldUntil = now + delay
    return delay
  }
}
