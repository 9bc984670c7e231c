/**
 * The executor of one definition: a pool of workers, each of which runs one handler at a time.
 *
 * It grows as it is needed: the engine starts no more attempts than the definition's `concurrency` allows, so there are
 * never more workers than that. The one that was used last is taken first, so that those that are not needed grow old.
 */
import type { Tinypool } from 'tinypool'
import type { Execution, Executor, Remote } from '../executor.js'
import { Taken } from '../executor.js'
import type { Isolation, TaskContext } from '../task.js'
import { carried, revived } from './carried-error.js'
import type { Facts, Told } from './protocol.js'
import { Seat } from './seat.js'

export class Pool implements Executor {
  readonly #open: () => Seat
  readonly #isolation: Isolation
  readonly #seats: Set<Seat> = new Set()
  readonly #idle: Seat[] = []

  constructor(
    isolation: Isolation,
    open: (options: ConstructorParameters<typeof Tinypool>[0]) => Tinypool,
    filename: string,
  ) {
    this.#isolation = isolation
    this.#open = () => new Seat(isolation, open, filename)
  }

  execute(execution: Execution, input: unknown, ctx: TaskContext): Promise<unknown> {
    const seat = this.#idle.pop() ?? this.#open()
    this.#seats.add(seat)
    return this.#run(seat, execution, input, ctx).finally(() => this.#leave(seat))
  }

  async #run(seat: Seat, execution: Execution, input: unknown, ctx: TaskContext): Promise<unknown> {
    let begun = false
    const remote: Remote = {
      abort: (reason) => {
        // One that was not called yet has nothing to tidy up.
        if (begun) seat.ask({ type: 'abort', reason: carried(reason) })
        else seat.end(reason)
      },
      end: (reason) => seat.end(reason),
    }
    execution.controlledBy(remote)
    const reply = await seat.run(
      { file: this.#isolation.file, input, facts: factsOf(ctx, execution), limits: limitsOf(execution) },
      {
        begun: () => {
          begun = true
          execution.begin()
        },
        told: (message) => tell(message, seat, execution, ctx),
      },
    )
    if ('error' in reply) throw revived(reply.error)
    return reply.output === undefined ? undefined : new Taken(reply.output)
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

function factsOf(ctx: TaskContext, { stored }: Execution): Facts {
  const { id, name, attempt, retries, createdAt, previous, metadata, context } = ctx
  return { id, name, attempt, retries, createdAt, previous, metadata, context, stored }
}

function limitsOf({ limits: { input, output, errorMessage, errorStack } }: Execution): Execution['limits'] {
  return { input, output, errorMessage, errorStack }
}

function tell(message: Told, seat: Seat, execution: Execution, ctx: TaskContext): void {
  switch (message.type) {
    case 'progress':
      return ctx.progress(message.value)
    case 'log':
      return ctx.log(message.message, message.fields)
    case 'fault':
      return execution.report(revived(message.error))
    case 'save': {
      const { save } = message
      execution.store(message.value).then(
        () => seat.ask({ type: 'saved', save }),
        (error) => seat.ask({ type: 'saved', save, error: carried(error) }),
      )
    }
  }
}
