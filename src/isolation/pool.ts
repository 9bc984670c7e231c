/**
 * The executor of one definition: a pool of workers, each of which runs one handler at a time.
 *
 * It grows as it is needed: the engine starts no more attempts than the definition's `concurrency` allows, so there are
 * never more workers than that, those that are just being ended counted in. The one that was used last is taken first, so
 * that those that are not needed grow old; and the oldest is the first of those that wait.
 */
import { serialize } from 'node:v8'
import type { Tinypool } from 'tinypool'
import { type Alarm, after, systemClock } from '../clock.js'
import { elsewhere } from '../elsewhere.js'
import { RunnerClosedError } from '../errors.js'
import type { Execution, Executor } from '../executor.js'
import type { Isolation, TaskContext } from '../task.js'
import { Call, type Seats } from './call.js'
import type { Errand, Limits } from './protocol.js'
import { notSent, Seat } from './seat.js'

export class Pool implements Executor, Seats {
  readonly #open: (limits: Limits) => Seat
  readonly #isolation: Isolation
  readonly #seats: Set<Seat> = new Set()
  readonly #idle: Seat[] = []
  /** Rings when the oldest of those may have waited for long enough. */
  #aging: Alarm | undefined
  /** Of seats that are given up: each is waited for by one that takes its place. */
  readonly #leaving: Set<Promise<void>> = new Set()
  #closed = false

  constructor(
    isolation: Isolation,
    open: (options: ConstructorParameters<typeof Tinypool>[0]) => Tinypool,
    filename: string,
  ) {
    this.#isolation = isolation
    this.#open = (limits) => new Seat(isolation, limits, open, filename)
  }

  execute(execution: Execution, input: unknown, ctx: TaskContext): Promise<unknown> {
    const call = new Call(this, execution, this.#toSend(execution, input), ctx)
    execution.controlledBy(call)
    call.begin()
    return elsewhere('a worker', call.done, call)
  }

  /** What a schema gives need not be JSON, and what a channel between processes cannot take it throws at nobody. */
  #toSend({ definition }: Execution, input: unknown): Pick<Errand, 'input' | 'isSerialized'> {
    if (this.#isolation.place === 'thread' || definition.input === undefined) return { input }
    try {
      return { input: serialize(input).toString('base64'), isSerialized: true }
    } catch (error) {
      throw notSent(error)
    }
  }

  find(execution: Execution): Seat | Promise<Seat> {
    for (let seat = this.#idle.pop(); seat !== undefined; seat = this.#idle.pop()) {
      if (seat.isGood) return seat
      this.#giveUp(seat)
    }
    return this.#newSeat(execution)
  }

  async #newSeat({ limits: { input, output, errorMessage, errorStack } }: Execution): Promise<Seat> {
    const [leaving] = this.#leaving
    if (leaving !== undefined) {
      this.#leaving.delete(leaving)
      await leaving
    }
    if (this.#closed) throw new RunnerClosedError('the runner closes')
    const seat = this.#open({ input, output, errorMessage, errorStack })
    this.#seats.add(seat)
    return seat
  }

  leave(seat: Seat): void {
    if (!seat.isGood || this.#closed) return this.#giveUp(seat)
    seat.idleSince = systemClock.monotonic()
    this.#idle.push(seat)
    this.#age(this.#isolation.idleTimeout)
  }

  #age(ms: number): void {
    this.#aging ??= after(systemClock, ms, () => this.#endOld(), 'background')
  }

  #endOld(): void {
    this.#aging = undefined
    for (;;) {
      const [oldest] = this.#idle
      if (oldest === undefined) return
      const left = oldest.idleSince + this.#isolation.idleTimeout - systemClock.monotonic()
      if (left > 0) return this.#age(left)
      this.#idle.shift()
      this.#giveUp(oldest)
    }
  }

  #giveUp(seat: Seat): void {
    const gone = seat.close().then(() => {
      this.#seats.delete(seat)
      this.#leaving.delete(gone)
    })
    this.#leaving.add(gone)
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#aging?.cancel()
    this.#idle.length = 0
    await elsewhere('a worker', Promise.all([...this.#seats].map((seat) => seat.close())))
  }
}
