/**
 * Time. The one file that asks for it: everything else is given a `Clock`, so that a test can hand in its own.
 *
 * Points in time (createdAt, runAt) are wall-clock epoch ms; spans (timeouts, throttles) are measured on the monotonic
 * clock, so that a clock that is set back neither fires nor hangs anything.
 */

/** The source of time of a runner. */
export interface Clock {
  /** The wall clock, epoch ms. */
  now(): number
  /** A clock that only goes forward, ms from any origin. */
  monotonic(): number
  /** Calls `callback` once after `ms`; never asked for more than 60 s at a time. */
  setTimeout(callback: () => void, ms: number): unknown
  clearTimeout(handle: unknown): void
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  setTimeout: (callback, ms) => setTimeout(callback, ms),
  clearTimeout: (handle) => clearTimeout(handle as NodeJS.Timeout),
}

/** A clock whose points in time are whole ms, as records and storage have them: `performance.timeOrigin` and its like are not. */
export function wholeMs(clock: Clock): Clock {
  return {
    now: () => Math.floor(clock.now()),
    monotonic: () => clock.monotonic(),
    setTimeout: (callback, ms) => clock.setTimeout(callback, ms),
    clearTimeout: (handle) => clock.clearTimeout(handle),
  }
}

/** setTimeout overflows at 2^31 ms, and a wall clock may be set: no timer sleeps longer than this. */
const LONGEST_SLEEP = 60_000

/** A running one-shot timer. */
export interface Alarm {
  cancel(): void
}

class Sleeper implements Alarm {
  readonly #clock: Clock
  readonly #remaining: () => number
  readonly #background: boolean
  #ring: (() => void) | undefined
  #handle: unknown
  /** ms that remained when it last fell asleep. */
  #left = 0

  constructor(clock: Clock, remaining: () => number, ring: () => void, background: boolean) {
    this.#clock = clock
    this.#remaining = remaining
    this.#ring = ring
    this.#background = background
    this.#sleep(remaining())
  }

  #sleep(ms: number): void {
    this.#left = ms
    this.#handle = this.#clock.setTimeout(this.#wake, Math.min(Math.max(ms, 0), LONGEST_SLEEP))
    if (this.#background) (this.#handle as { unref?: () => void } | undefined)?.unref?.()
  }

  #wake: () => void = () => {
    // Node's timers may fire a fraction of a ms early: what is due at a time is never early.
    const left = this.#remaining()
    if (left > 0 && left <= this.#left) return this.#sleep(Math.ceil(left))
    const ring = this.#ring
    this.#ring = undefined
    ring?.()
  }

  cancel(): void {
    this.#ring = undefined
    this.#clock.clearTimeout(this.#handle)
  }
}

/** Rings once, when `ms` have passed on the monotonic clock. `background`: it holds no process open. */
export function after(clock: Clock, ms: number, ring: () => void, hold?: 'background'): Alarm {
  const end = clock.monotonic() + ms
  return new Sleeper(clock, () => end - clock.monotonic(), ring, hold === 'background')
}

/**
 * Rings once, when the wall clock shows `time` (epoch ms); a clock that is set is noticed within 60 s. If it was set back
 * by more than what has passed, it rings at once: whoever set the alarm may wait for another time now.
 */
export function at(clock: Clock, time: number, ring: () => void): Alarm {
  return new Sleeper(clock, () => time - clock.now(), ring, false)
}

/** A caller's clock may stand still, as a test's does: so often at most it is believed. */
const UNMEASURED = 32

/**
 * Keeps a drain of trivial work from holding the event loop. It measures the real loop, whatever clock the runner has.
 */
export class Turn {
  readonly #budget: number
  #since: number | undefined
  /** The caller's time as it was last measured, and how often it has been the same since. */
  #seen = 0
  #unmeasured = 0
  #next: Promise<void> | undefined
  #resolve: (() => void) | undefined

  /** @param budget how long one turn of the event loop may be held, ms */
  constructor(budget: number) {
    this.#budget = budget
  }

  /**
   * Undefined while this turn is young, otherwise a promise of the next turn. To look at the clock costs as much as a small
   * task's bookkeeping: where the time that the caller has read anyway is the same as before, hardly any has passed.
   *
   * @param now ms, by any clock
   */
  spent(now: number): Promise<void> | undefined {
    if (this.#next !== undefined) return this.#next
    if (now === this.#seen && this.#since !== undefined && ++this.#unmeasured < UNMEASURED) return undefined
    this.#seen = now
    this.#unmeasured = 0
    if (this.#since === undefined) {
      this.#since = performance.now()
      setImmediate(this.#begin)
      return undefined
    }
    if (performance.now() - this.#since < this.#budget) return undefined
    this.#next = new Promise((resolve) => {
      this.#resolve = resolve
    })
    return this.#next
  }

  #begin: () => void = () => {
    this.#since = undefined
    this.#next = undefined
    this.#resolve?.()
    this.#resolve = undefined
  }
}

/** Calls back on the next turn of the event loop: what runs now (a response being written) comes first. */
export function nextTurn(callback: () => void): void {
  setImmediate(callback)
}

/**
 * Holds the process open while it is on; Node would exit silently with tasks waiting and no handle open. A clock of a
 * test's own holds no process: what waits on it waits for the test.
 */
export class KeepAlive {
  readonly #clock: Clock
  #timer: NodeJS.Timeout | undefined

  constructor(clock: Clock) {
    this.#clock = clock
  }

  set(on: boolean): void {
    if (this.#clock !== systemClock || on === (this.#timer !== undefined)) return
    if (on) this.#timer = setInterval(() => {}, LONGEST_SLEEP)
    else {
      clearInterval(this.#timer)
      this.#timer = undefined
    }
  }
}
