/**
 * The executor of one definition: a pool of workers, each of which runs one handler at a time.
 *
 * It grows as it is needed: the engine starts no more attempts than the definition's `concurrency` allows, so there are
 * never more workers than that. The one that was used last is taken first, so that those that are not needed grow old.
 */
import { type Execution, type Executor, type Remote, Taken } from '../executor.js'
import type { Isolation, TaskContext } from '../task.js'
import { carried, revived } from './carried-error.js'
import type { Facts, Reply, Told } from './protocol.js'
import { type OpenTinypool, Seat, type Visitor } from './seat.js'

export class Pool implements Executor {
  readonly #open: () => Seat
  readonly #seats: Set<Seat> = new Set()
  readonly #idle: Seat[] = []

  /** @param filename what a worker begins with */
  constructor(isolation: Isolation, open: OpenTinypool, filename: string) {
    this.#open = () => new Seat(isolation, open, filename)
  }

  async execute(execution: Execution, input: unknown, ctx: TaskContext): Promise<unknown> {
    const seat = this.#idle.pop() ?? this.#added(this.#open())
    const visit = new Visit(seat, execution, ctx)
    execution.controlledBy(visit)
    try {
      return read(await seat.run(input, factsOf(ctx, execution), execution.limits, visit))
    } finally {
      this.#leave(seat)
    }
  }

  #added(seat: Seat): Seat {
    this.#seats.add(seat)
    return seat
  }

  #leave(seat: Seat): void {
    if (seat.isGood) this.#idle.push(seat)
    else {
      this.#seats.delete(seat)
      void seat.close()
    }
  }

  async close(): Promise<void> {
    await Promise.all([...this.#seats].map((seat) => seat.close()))
  }
}

/** One handler in a seat: between its attempt and its worker. */
class Visit implements Visitor, Remote {
  readonly #seat: Seat
  readonly #execution: Execution
  readonly #ctx: TaskContext
  #hasBegun = false

  constructor(seat: Seat, execution: Execution, ctx: TaskContext) {
    this.#seat = seat
    this.#execution = execution
    this.#ctx = ctx
  }

  begun(): void {
    this.#hasBegun = true
    this.#execution.begin()
  }

  told(message: Told): void {
    switch (message.type) {
      case 'progress':
        return this.#ctx.progress(message.value)
      case 'log':
        return this.#ctx.log(message.message, message.fields)
      case 'fault':
        return this.#execution.report(revived(message.error))
      case 'save': {
        const { save, number } = message
        this.#execution.store(message.value).then(
          () => this.#seat.ask({ type: 'saved', save, number }),
          (error) => this.#seat.ask({ type: 'saved', save, number, error: carried(error) }),
        )
      }
    }
  }

  abort(reason: Error): void {
    // One that was not called yet has nothing to tidy up.
    if (this.#hasBegun) this.#seat.abort(carried(reason))
    else this.#seat.end(reason)
  }

  end(reason: Error): void {
    this.#seat.end(reason)
  }
}

function read(reply: Reply): unknown {
  if ('error' in reply) throw revived(reply.error)
  return reply.output === undefined ? undefined : new Taken(reply.output)
}

function factsOf(ctx: TaskContext, { stored }: Execution): Facts {
  const { id, name, attempt, retries, createdAt, previous, metadata, context } = ctx
  return [id, name, attempt, retries, createdAt, previous, metadata, context, stored]
}
