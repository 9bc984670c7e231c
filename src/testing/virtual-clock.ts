/**
 * Time that a test moves by hand.
 *
 * Implements the public `Clock`. `advance` fires timers in their true order and lets everything that hangs on one of
 * them happen before the next one fires, so that a test sees what a real machine would show if its work took no time.
 */
import { AsyncResource } from 'node:async_hooks'
import { inspect, types } from 'node:util'
import { type Clock, InvalidInputError } from '../index.js'
import { turns } from './real-time.js'

interface Timer {
  /** On the monotonic clock. */
  readonly at: number
  /** Timers of one instant fire in the order in which they were set. */
  readonly order: number
  readonly span: number
  readonly callback: () => void
  /** The callback, in the async context in which it was set: as a real timer rings. */
  readonly ring: () => void
  /** Whether it would hold a process open. */
  holds: boolean
  unref(): void
}

/** Who sleeps for longer sleeps in steps of this, ms: `Clock` asks for no longer timer. */
const SLEEP_STEP = 60_000

/** Where every virtual clock begins: a round moment, so that times are easy to read in a failure. */
export const DAWN: number = Date.UTC(2030, 0, 1)

/** Epoch ms of what a test gives as the time. @throws {InvalidInputError} it is none */
export function toTime(now: number | string | Date = DAWN, subject: string = 'bad clock'): number {
  const isTime = typeof now === 'number' || typeof now === 'string' || types.isDate(now)
  const time = isTime ? new Date(now).getTime() : Number.NaN
  if (!Number.isNaN(time)) return time
  const message = `must be epoch ms, a Date or a date as text, got ${inspect(now)}`
  throw new InvalidInputError(subject, [{ message, path: ['now'] }])
}

export class VirtualClock implements Clock {
  /** The longest timer that anybody has asked for, ms. */
  longest = 0
  /** The next one last: it is taken off the end. */
  readonly #timers: Timer[] = []
  readonly #settle: () => Promise<void>
  #wall: number
  /** Not 0, and not the wall clock: who takes one clock for the other is found out. */
  #monotonic = 5_000_000
  #order = 0
  /** The timer that rings just now. */
  #ringing: Timer | undefined
  /** The timer that was set last. */
  #newest: Timer | undefined

  /**
   * @param settle resolves when all that can happen at this instant has happened
   * @param wall epoch ms at which it begins
   */
  constructor(settle: () => Promise<void> = () => turns(), wall: number = DAWN) {
    this.#settle = settle
    this.#wall = wall
  }

  now(): number {
    return this.#wall
  }

  monotonic(): number {
    return this.#monotonic
  }

  setTimeout(callback: () => void, ms: number): unknown {
    const span = Number.isFinite(ms) ? Math.max(ms, 0) : Number.POSITIVE_INFINITY
    this.longest = Math.max(this.longest, span)
    // A timer that sets itself again is in its own context already, and a long sleep does so very often.
    const again = this.#ringing?.callback === callback ? this.#ringing : undefined
    const timer: Timer = {
      at: this.#monotonic + span,
      order: this.#order++,
      span,
      callback,
      ring: again?.ring ?? AsyncResource.bind(callback),
      holds: true,
      unref: () => {
        timer.holds = false
      },
    }
    this.#timers.splice(this.#place(timer), 0, timer)
    this.#newest = timer
    return timer
  }

  clearTimeout(handle: unknown): void {
    if (handle === undefined || handle === null) return
    const timer = handle as Timer
    const place = this.#place(timer)
    if (this.#timers[place] === timer) this.#timers.splice(place, 1)
  }

  /** Timers that are set. */
  get timers(): number {
    return this.#timers.length
  }

  /** Timers that would hold a process open. */
  get holding(): number {
    return this.#timers.filter((timer) => timer.holds).length
  }

  /** ms until the next timer rings; undefined: none is set. */
  get next(): number | undefined {
    const timer = this.#timers.at(-1)
    return timer && timer.at - this.#monotonic
  }

  /**
   * Moves to the next timer and rings it, and nothing else: what follows from it takes turns of the event loop.
   *
   * @returns whether it only went on sleeping: a long sleep is made of many timers, and most of them do nothing else
   */
  ring(): boolean {
    const timer = this.#timers.pop()
    if (timer === undefined) return false
    this.pass(timer.at - this.#monotonic)
    const { span, callback, ring } = timer
    const set = this.#order
    this.#ringing = timer
    ring()
    this.#ringing = undefined
    return span === SLEEP_STEP && this.#order === set + 1 && this.#newest?.callback === callback
  }

  /** Moves both clocks on by `ms`, past timers too. */
  pass(ms: number): void {
    if (ms <= 0) return
    this.#wall += ms
    this.#monotonic += ms
  }

  /** Moves both clocks on by `ms`, firing every timer that falls due at its very instant. */
  async advance(ms: number): Promise<void> {
    await this.#settle()
    const target = this.#monotonic + ms
    // What only goes on sleeping brings nothing about.
    while (this.#isDue(target)) if (!this.ring()) await this.#settle()
    this.pass(target - this.#monotonic)
    await this.#settle()
  }

  /** As a machine that slept for `ms`: what fell due in the meantime fires late, now. */
  async leap(ms: number): Promise<void> {
    await this.#settle()
    this.pass(ms)
    const now = this.#monotonic
    while (this.#isDue(now)) {
      this.ring()
      await this.#settle()
    }
  }

  /** As somebody who sets the machine's clock: the monotonic clock knows nothing of it. */
  setWall(time: number): void {
    this.#wall = time
  }

  #isDue(time: number): boolean {
    return (this.#timers.at(-1)?.at ?? Number.POSITIVE_INFINITY) <= time
  }

  /** Where it stands, or would stand, among the timers. */
  #place({ at, order }: Timer): number {
    let low = 0
    let high = this.#timers.length
    while (low < high) {
      const middle = (low + high) >>> 1
      const other = this.#timers[middle] as Timer
      if (other.at > at || (other.at === at && other.order > order)) low = middle + 1
      else high = middle
    }
    return low
  }
}
