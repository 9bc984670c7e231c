/**
 * When virtual time may move on: the rule by which a harness with real handlers neither hangs nor runs ahead.
 *
 * An instant is over when the event loop has turned without anything happening and no handler waits for the real machine
 * (activity.ts). A handler that still runs then waits for virtual time: its timeout, its signal. Only then the next timer
 * of the clock rings. What is really at work is waited for in real time, for `realTimeout` at most; then the harness fails
 * and names the handler.
 */
import { AssertionError } from 'node:assert'
import { Activity } from './activity.js'
import { nextTurn, sleep, stopwatch, turns } from './real-time.js'
import { showSpan } from './span.js'
import type { VirtualClock } from './virtual-clock.js'

/** One call of a handler, or what else the harness waits for in the same way. */
export interface Call {
  /** `the handler of email (task "x", attempt 1)` */
  readonly title: string
  /** ms by the clock's `monotonic` */
  readonly since: number
  /** ms after `since`; undefined: none */
  readonly timeout: number | undefined
}

/** So many attempts at one instant are no backlog but tasks that bring each other forth. */
const MOST_AT_ONCE = 100_000

const QUIET_TURNS = 4

/** Real ms. A handler that spoke to somebody it did not call itself has an answer by then, or waits for none. */
const SILENCE = 250

/** Turns of the event loop after which the harness looks less often, so that the loop may rest. */
const RESTLESS = 50

export class Driver {
  readonly clock: VirtualClock
  readonly activity: Activity<Call>
  /** ms of real time */
  readonly realTimeout: number
  readonly #running: Set<Call> = new Set()
  /** Rises with everything that the harness sees happen. */
  #steps = 0
  #begun = 0

  /** @param said hears the progress of handlers in workers */
  constructor(clock: VirtualClock, realTimeout: number, said?: (call: Call, progress: unknown) => void) {
    this.clock = clock
    this.realTimeout = realTimeout
    this.activity = new Activity(Math.min(SILENCE, realTimeout / 2), said)
  }

  /** Calls that have not ended. */
  get running(): readonly Call[] {
    return [...this.#running]
  }

  began(call: Call): void {
    this.#running.add(call)
    this.#steps++
    this.#begun++
  }

  ended(call: Call): void {
    this.#running.delete(call)
    this.#steps++
  }

  happened(): void {
    this.#steps++
  }

  /**
   * Resolves when this instant is over, or as soon as it is looked at and `done`.
   *
   * @throws {AssertionError} a handler has been at work for `realTimeout`
   */
  async settle(done: () => boolean = () => false): Promise<void> {
    this.#begun = 0
    for (;;) {
      const before = this.#steps
      const waited = stopwatch()
      for (let looks = 0; ; looks++) {
        await this.#quiet()
        if (done()) return
        const busy = this.#busy()
        if (busy === undefined) return
        if (this.#steps !== before) break // it goes forward
        if (waited() > this.realTimeout) throw this.#gaveUp([busy.call], `; it waits for ${busy.pending.join(', ')}`)
        await (looks < RESTLESS ? nextTurn() : sleep(1))
      }
    }
  }

  /**
   * Waits in real time until `done`: for what the harness cannot see coming.
   *
   * @throws {AssertionError} not within `realTimeout`; the message names `calls` and ends with `hint`
   */
  async patience(done: () => boolean, calls: readonly Call[], hint = ''): Promise<void> {
    const waited = stopwatch()
    for (let looks = 0; ; looks++) {
      await this.settle(done)
      if (done()) return
      if (waited() > this.realTimeout) throw this.#gaveUp(calls, hint)
      await (looks < RESTLESS ? nextTurn() : sleep(1))
    }
  }

  /** Moves the clock on, timer by timer, by `span` ms at most or until `done`. */
  async advance(span: number, done: () => boolean = () => false): Promise<void> {
    const end = this.clock.monotonic() + span
    await this.settle(done)
    while (!done() && this.#left(end) >= (this.clock.next ?? Number.POSITIVE_INFINITY)) {
      if (!this.clock.ring()) await this.settle(done)
    }
    if (done()) return
    this.clock.pass(this.#left(end))
    await this.settle(done)
  }

  /**
   * Moves the clock on as far as it takes until `done`.
   *
   * @param hopeless the calls that no passing of time will end, if it waits for nothing else
   * @throws {AssertionError} nothing ends it within `realTimeout`
   */
  async until(done: () => boolean, hopeless: () => readonly Call[] | undefined): Promise<void> {
    await this.settle(done)
    while (!done()) {
      const calls = hopeless() ?? (this.clock.next === undefined ? this.running : undefined)
      if (calls !== undefined) await this.patience(done, calls)
      else {
        while (this.clock.ring()); // sleeps that only go on
        await this.settle(done)
      }
    }
  }

  /** Moves the clock on until `closing` has settled: its deadlines are virtual, too. */
  async close(call: Call, closing: Promise<unknown>): Promise<void> {
    let closed = false
    const over = (): void => {
      closed = true
    }
    closing.then(over, over)
    this.began(call)
    // What is really at work is waited for once; if it does not end, that is left to the deadlines of the closing.
    for (let patient = true; !closed; ) {
      if (!patient) await turns()
      else {
        patient = await this.settle(() => closed).then(
          () => true,
          () => false,
        )
      }
      if (!closed) this.clock.ring()
    }
    this.ended(call)
  }

  /** Whether the clock can still end this call: its timeout is to come. */
  canTimeOut({ since, timeout }: Call): boolean {
    return timeout !== undefined && since + timeout > this.clock.monotonic()
  }

  /** A call that has not settled, and what would end it. */
  describe(call: Call): string {
    return `${call.title} has not settled; ${this.#wayOut(call)}`
  }

  #left(end: number): number {
    return end - this.clock.monotonic()
  }

  /** Some turns of the event loop in a row in which nothing happens: what an engine puts off, it puts off for a turn. */
  async #quiet(): Promise<void> {
    for (let still = 0; still < QUIET_TURNS; ) {
      const before = this.#steps
      await nextTurn()
      still = before === this.#steps ? still + 1 : 0
      if (this.#begun > MOST_AT_ONCE)
        throw fail(`more than ${MOST_AT_ONCE} attempts at one instant: do tasks submit each other, or themselves?`)
    }
  }

  #busy(): { readonly call: Call; readonly pending: readonly string[] } | undefined {
    for (const call of this.#running) {
      const pending = this.activity.pending(call)
      if (pending.length > 0) return { call, pending }
    }
    return undefined
  }

  #gaveUp(calls: readonly Call[], hint: string): AssertionError {
    const [first, ...others] = calls
    const after = `${showSpan(this.realTimeout)} of real time`
    if (first === undefined) return fail(`nothing happened within ${after}${hint}`)
    const more =
      others.length === 0 ? '' : `, nor have ${others.length} more (${others.map(({ title }) => title).join(', ')})`
    return fail(`${first.title} has not settled within ${after}${more}${hint || `; ${this.#wayOut(first)}`}`)
  }

  /** What would end it. */
  #wayOut(call: Call): string {
    const { since, timeout } = call
    const ran = showSpan(this.clock.monotonic() - since)
    if (timeout === undefined) return `it has run for ${ran} by the clock and has no timeout: nothing will end it`
    const left = since + timeout - this.clock.monotonic()
    if (left > 0) return `its timeout is ${showSpan(left)} away: clock.advance(${left}) would end it`
    return `its timeout has passed and it does not listen: to stop, a handler must reject when ctx.signal aborts`
  }
}

/** What the harness fails with. */
export function fail(message: string): AssertionError {
  return new AssertionError({ message })
}
