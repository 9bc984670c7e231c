/**
 * The call of one attempt's handler in a worker: what each side has to tell the other, until it is over.
 *
 * It may come to a second worker: the first was about to end when it was given to it.
 */
import { news } from '../elsewhere.js'
import type { Execution, Remote } from '../executor.js'
import { Taken } from '../executor.js'
import type { TaskContext } from '../task.js'
import { carried, revived } from './carried-error.js'
import type { Errand, Facts, Reply, Told } from './protocol.js'
import type { Caller, Seat } from './seat.js'

/** Where workers come from. */
export interface Seats {
  /** One that is free; a promise where there is none yet. */
  find(execution: Execution): Seat | Promise<Seat>
  /** It is free again, or no good any more. */
  leave(seat: Seat): void
}

export class Call implements Remote, Caller {
  readonly #seats: Seats
  readonly #execution: Execution
  readonly #ctx: TaskContext
  readonly #input: Pick<Errand, 'input' | 'isSerialized'>
  #resolve!: (output: unknown) => void
  #reject!: (error: unknown) => void
  #seat: Seat | undefined
  /** Why it is to stop. */
  #asked: Error | undefined
  /** How many messages the handler was sent, or will be. */
  #messages = 0
  /** Resolves with the output, undefined or a `Taken`. */
  readonly done: Promise<unknown> = new Promise((resolve, reject) => {
    this.#resolve = resolve
    this.#reject = reject
  })

  constructor(seats: Seats, execution: Execution, input: Pick<Errand, 'input' | 'isSerialized'>, ctx: TaskContext) {
    this.#seats = seats
    this.#execution = execution
    this.#input = input
    this.#ctx = ctx
  }

  begin(): void {
    const seat = this.#seats.find(this.#execution)
    if (!(seat instanceof Promise)) return this.#go(seat)
    seat.then(
      (each) => this.#go(each),
      (error) => this.#reject(error),
    )
  }

  #go(seat: Seat): void {
    if (this.#asked !== undefined) {
      this.#seats.leave(seat)
      return this.#reject(this.#asked)
    }
    this.#seat = seat
    seat.take({ ...this.#input, facts: factsOf(this.#ctx, this.#execution) }, this)
  }

  #leave(): void {
    const seat = this.#seat as Seat
    this.#seat = undefined
    this.#seats.leave(seat)
  }

  // What it is asked.

  abort(reason: Error): void {
    this.#asked ??= reason
    if (this.#seat === undefined) return
    news.publish({ work: this, what: 'a worker', is: 'going on' })
    this.#messages++
    this.#seat.ask(this, { type: 'abort', reason: carried(reason) })
  }

  end(reason: Error): void {
    this.#asked ??= reason
    this.#seat?.end(this, reason)
  }

  // What its worker tells.

  begun(): void {
    this.#execution.begin()
  }

  fault(error: unknown): void {
    this.#execution.report(error)
  }

  replied(reply: Reply): void {
    this.#leave()
    if ('error' in reply) this.#reject(revived(reply.error))
    else this.#resolve(reply.output && new Taken(reply.output))
  }

  lost(error: Error | undefined): void {
    this.#leave()
    if (error === undefined) this.begin()
    else this.#reject(error)
  }

  told(message: Told): void {
    switch (message.type) {
      case 'progress':
        news.publish({ work: this, progress: message.value })
        return this.#ctx.progress(message.value)
      case 'waits':
        // Unless there is something that it will hear yet.
        if (message.heard === this.#messages) news.publish({ work: this, is: 'waiting' })
        return
      case 'log':
        return this.#ctx.log(message.message, withErrors(message))
      case 'fault':
        return this.#execution.report(revived(message.error))
      case 'save': {
        const { save } = message
        this.#messages++ // it will be answered
        this.#execution.store(message.value).then(
          () => this.#seat?.ask(this, { type: 'saved', save }),
          (error) => this.#seat?.ask(this, { type: 'saved', save, error: carried(error) }),
        )
      }
    }
  }
}

function factsOf(ctx: TaskContext, { stored }: Execution): Facts {
  const { id, name, attempt, retries, createdAt, previous, metadata, context } = ctx
  const facts = { id, name, attempt, retries, createdAt }
  if (previous === undefined && metadata === undefined && context === undefined && stored === undefined) return facts
  const rest = {
    ...(previous !== undefined && { previous }),
    ...(metadata !== undefined && { metadata }),
    ...(context !== undefined && { context }),
    ...(stored !== undefined && { stored }),
  }
  return { ...facts, rest }
}

function withErrors({ fields, errors }: Extract<Told, { readonly type: 'log' }>): Readonly<Record<string, unknown>> {
  const revivedErrors = Object.entries(errors ?? {}).map(([key, error]) => [key, revived(error)])
  return { ...fields, ...Object.fromEntries(revivedErrors) }
}
