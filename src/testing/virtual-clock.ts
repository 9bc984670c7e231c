/**
 * Time that a test moves by hand.
 *
 * Implements the public `Clock`. `advance` fires timers in their true order and lets everything that hangs on one of
 * them happen before the next one fires, so that a test sees what a real machine would show if its work took no time.
 */
import { AsyncResource } from 'node:async_hooks'
import type { Clock } from '../index.js'

interface Timer {
  /** On the monotonic clock. */
  readonly at: number
  /** Timers of one instant fire in the order in which they were set. */
  readonly order: number
  readonly callback: () => void
  /** Whether it would hold a process open. */
  holds: boolean
}

/** Where every virtual clock begins: a round moment, so that times are easy to read in a failure. */
export const DAWN: number = Date.UTC(2030, 0, 1)

export class VirtualClock implements Clock {
  /** The longest timer that anybody has asked for, ms. */
  longest = 0
  readonly #timers: Set<Timer> = new Set()
  readonly #settle: () => Promise<void>
  #wall = DAWN
  /** Not 0, and not the wall clock: who takes one clock for the other is found out. */
  #monotonic = 5_000_000
  #order = 0

  /** @param settle resolves when all that can happen at this instant has happened */
  constructor(settle: () => Promise<void> = () => turns()) {
    this.#settle = settle
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
    // As a real timer does, it rings in the async context in which it was set.
    const ring = AsyncResource.bind(callback)
    const timer: Timer = { at: this.#monotonic + span, order: this.#order++, callback: ring, holds: true }
    this.#timers.add(timer)
    return Object.assign(timer, {
      unref: () => {
        timer.holds = false
      },
    })
  }

  clearTimeout(handle: unknown): void {
    this.#timers.delete(handle as Timer)
  }

  /** Timers that are set. */
  get timers(): number {
    return this.#timers.size
  }

  /** Timers that would hold a process open. */
  get holding(): number {
    return [...this.#timers].filter((timer) => timer.holds).length
  }

  /** Moves both clocks on by `ms`, firing every timer that falls due at its very instant. */
  async advance(ms: number): Promise<void> {
    await this.#settle()
    const target = this.#monotonic + ms
    for (let timer = this.#first(target); timer !== undefined; timer = this.#first(target)) {
      this.#pass(timer.at - this.#monotonic)
      await this.#fire(timer)
    }
    this.#pass(target - this.#monotonic)
    await this.#settle()
  }

  /** As a machine that slept for `ms`: what fell due in the meantime fires late, now. */
  async leap(ms: number): Promise<void> {
    await this.#settle()
    this.#pass(ms)
    const now = this.#monotonic
    for (let timer = this.#first(now); timer !== undefined; timer = this.#first(now)) await this.#fire(timer)
  }

  /** As somebody who sets the machine's clock: the monotonic clock knows nothing of it. */
  setWall(time: number): void {
    this.#wall = time
  }

  #pass(ms: number): void {
    if (ms <= 0) return
    this.#wall += ms
    this.#monotonic += ms
  }

  async #fire(timer: Timer): Promise<void> {
    this.#timers.delete(timer)
    timer.callback()
    await this.#settle()
  }

  #first(until: number): Timer | undefined {
    let first: Timer | undefined
    for (const timer of this.#timers) {
      if (timer.at > until) continue
      if (first === undefined || timer.at < first.at || (timer.at === first.at && timer.order < first.order))
        first = timer
    }
    return first
  }
}

/** ms. An engine that drains gives a turn up after 5: what a longer turn has put off is done in the next ones. */
const LONG_TURN = 3

/**
 * Some turns of the real event loop: microtasks, and whatever was put off to the next turn, have run. Only a row of short
 * turns counts: on a busy machine any turn may be long enough for a drain to pause.
 */
export async function turns(count = 4): Promise<void> {
  for (let short = 0; short < count; ) {
    const began = performance.now()
    await new Promise<void>((resolve) => setImmediate(resolve))
    short = performance.now() - began < LONG_TURN ? short + 1 : 0
  }
}
