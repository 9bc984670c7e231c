/**
 * The executor of one definition: a pool of workers, each of which runs one handler at a time.
 *
 * It grows as it is needed: the engine starts no more attempts than the definition's `concurrency` allows, so there are
 * never more workers than that, those that are just being ended counted in. The one that was used last is taken first, so
 * that those that are not needed grow old.
 */
import { serialize } from 'node:v8'
import type { Tinypool } from 'tinypool'
import { elsewhere, news } from '../elsewhere.js'
import { RunnerClosedError } from '../errors.js'
import type { Execution, Executor, Remote } from '../executor.js'
import { Taken } from '../executor.js'
import type { Isolation, TaskContext } from '../task.js'
import { carried, revived } from './carried-error.js'
import type { Errand, Facts, Limits, Reply, Told } from './protocol.js'
import { notSent, Seat, type Visit } from './seat.js'

export class Pool implements Executor {
  readonly #open: (limits: Limits) => Seat
  readonly #isolation: Isolation
  readonly #seats: Set<Seat> = new Set()
  readonly #idle: Seat[] = []
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
    const control = new Control()
    execution.controlledBy(control)
    return elsewhere('a worker', this.#execute(control, execution, input, ctx), control)
  }

  async #execute(control: Control, execution: Execution, input: unknown, ctx: TaskContext): Promise<unknown> {
    const sent = this.#toSend(execution, input)
    for (;;) {
      const seat = this.#idle.pop() ?? (await this.#newSeat(limitsOf(execution)))
      let reply: Reply | undefined
      try {
        control.throwIfAsked()
        const errand = { ...sent, facts: factsOf(ctx, execution) }
        const visit = seat.take(errand, {
          begun: () => execution.begin(),
          told: (message) => tell(message, control, visit, execution, ctx),
          fault: (error) => execution.report(error),
        })
        control.visit = visit
        reply = await visit.done
      } finally {
        control.visit = undefined
        this.#leave(seat)
      }
      if (reply === undefined) continue // it was given to a worker that was about to end
      if ('error' in reply) throw revived(reply.error)
      return reply.output === undefined ? undefined : new Taken(reply.output)
    }
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

  async #newSeat(limits: Limits): Promise<Seat> {
    const [leaving] = this.#leaving
    if (leaving !== undefined) {
      this.#leaving.delete(leaving)
      await leaving
    }
    if (this.#closed) throw new RunnerClosedError('the runner closes')
    const seat = this.#open(limits)
    this.#seats.add(seat)
    return seat
  }

  #leave(seat: Seat): void {
    if (seat.isGood && !this.#closed) {
      this.#idle.push(seat)
      return
    }
    const gone = seat.close().then(() => {
      this.#seats.delete(seat)
      this.#leaving.delete(gone)
    })
    this.#leaving.add(gone)
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#idle.length = 0
    await elsewhere('a worker', Promise.all([...this.#seats].map((seat) => seat.close())))
  }
}

/** What was asked of an attempt, whether or not it is with a worker already. */
class Control implements Remote {
  visit: Visit | undefined
  #asked: Error | undefined

  abort(reason: Error): void {
    this.#asked ??= reason
    if (this.visit === undefined) return
    news.publish({ work: this, what: 'a worker', is: 'going on' })
    this.visit.asked++
    this.visit.ask({ type: 'abort', reason: carried(reason) })
  }

  end(reason: Error): void {
    this.#asked ??= reason
    this.visit?.end(reason)
  }

  throwIfAsked(): void {
    if (this.#asked !== undefined) throw this.#asked
  }
}

function withErrors({ fields, errors }: Extract<Told, { readonly type: 'log' }>): Readonly<Record<string, unknown>> {
  const revivedErrors = Object.entries(errors ?? {}).map(([key, error]) => [key, revived(error)])
  return { ...fields, ...Object.fromEntries(revivedErrors) }
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

function limitsOf({ limits: { input, output, errorMessage, errorStack } }: Execution): Limits {
  return { input, output, errorMessage, errorStack }
}

function tell(message: Told, control: Control, visit: Visit, execution: Execution, ctx: TaskContext): void {
  switch (message.type) {
    case 'progress':
      news.publish({ work: control, progress: message.value })
      return ctx.progress(message.value)
    case 'waits':
      // Unless there is something that it will hear yet.
      if (message.heard === visit.asked) news.publish({ work: control, is: 'waiting' })
      return
    case 'log':
      return ctx.log(message.message, withErrors(message))
    case 'fault':
      return execution.report(revived(message.error))
    case 'save': {
      const { save } = message
      visit.asked++ // it will be answered
      execution.store(message.value).then(
        () => visit.ask({ type: 'saved', save }),
        (error) => visit.ask({ type: 'saved', save, error: carried(error) }),
      )
    }
  }
}
