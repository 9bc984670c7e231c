/** Handlers that a test settles by hand: it sees what truly runs, and decides how and when each call ends. */
import assert from 'node:assert/strict'
import { inspect } from 'node:util'
import type { TaskContext } from '../../index.js'

/** One call of a handler. */
export interface Call {
  readonly input: unknown
  readonly ctx: TaskContext
  resolve(output?: unknown): void
  reject(error: unknown): void
}

/** Waits for what must come, with a bound. */
type Until = <Found>(look: () => Found, what: string | (() => string)) => Promise<NonNullable<Found>>

/** A handler whose calls wait until the test settles them. */
export class Handler {
  readonly calls: Call[] = []
  readonly #until: Until
  readonly #settled: Set<Call> = new Set()
  #released = false

  constructor(until: Until) {
    this.#until = until
  }

  /** To be given to `defineTask`. */
  readonly run = (input: unknown, ctx: TaskContext): Promise<unknown> =>
    new Promise((resolve, reject) => {
      const settle =
        <Value>(how: (value: Value) => void) =>
        (value: Value): void => {
          this.#settled.add(call)
          how(value)
        }
      const call: Call = { input, ctx, resolve: settle(resolve), reject: settle(reject) }
      this.calls.push(call)
      if (this.#released) call.resolve(undefined)
    })

  /** Calls that are not settled yet: what truly runs. */
  get unsettled(): Call[] {
    return this.calls.filter((call) => !this.#settled.has(call))
  }

  /** How many calls are not settled yet. */
  get running(): number {
    return this.calls.length - this.#settled.size
  }

  /** Fails unless it was called so many times. */
  wasCalled(times: number, why?: string): void {
    const { length } = this.calls
    const inputs = length > 0 ? `, with ${inspect(this.inputs)}` : ''
    assert.equal(
      length,
      times,
      `${why === undefined ? '' : `${why}: `}a handler was called ${length} times${inputs}; expected: ${times} times`,
    )
  }

  /** The inputs in the order of the calls. */
  get inputs(): unknown[] {
    return this.calls.map((call) => call.input)
  }

  /** The `n`-th call, counted from 1; waits for it. */
  async call(n = 1): Promise<Call> {
    return this.#until(
      () => this.calls[n - 1],
      () => `call ${n} of a handler; it was called ${this.calls.length} times`,
    )
  }

  /** From now on every call resolves at once, those that wait included. */
  releaseAll(): void {
    this.#released = true
    for (const call of this.calls) call.resolve(undefined)
  }
}
