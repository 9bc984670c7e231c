/**
 * The context of a handler that runs beside its test: each read and each call is one in the worker, of the true context
 * there. What is synchronous there is synchronous here.
 */
import type { TaskContext } from 'background-runner'
import { type Called, GoneError, type Puppeteer } from './link.js'

/** A signal as it was seen there. */
interface Seen {
  readonly aborted: boolean
  readonly reason: unknown
}

/** Who wants to know what is under way. */
export interface Audience {
  /** What is asked for and not answered yet. */
  track(work: Promise<unknown>): void
  /** A progress was told, which a worker may keep back for a while. */
  progressed(): void
}

export class PuppetContext implements TaskContext {
  readonly #worker: Puppeteer
  readonly #called: Called
  readonly #audience: Audience
  #signal: AbortSignal | undefined

  constructor(worker: Puppeteer, called: Called, audience: Audience) {
    this.#worker = worker
    this.#called = called
    this.#audience = audience
  }

  get id(): string {
    return this.#read('id', this.#called.id)
  }
  get name(): string {
    return this.#read('name', this.#called.name)
  }
  get attempt(): number {
    return this.#read('attempt', this.#called.attempt)
  }
  get retries(): number {
    return this.#read('retries')
  }
  get createdAt(): number {
    return this.#read('createdAt')
  }
  get previous(): TaskContext['previous'] {
    return this.#read('previous')
  }
  get metadata(): TaskContext['metadata'] {
    return this.#read('metadata')
  }
  get context(): TaskContext['context'] {
    return this.#read('context')
  }
  get saved(): TaskContext['saved'] {
    return this.#read('saved')
  }

  get progress(): TaskContext['progress'] {
    return (value) => {
      this.#audience.progressed()
      this.#tell('progress', [value])
    }
  }
  get log(): TaskContext['log'] {
    return (...values) => this.#tell('log', values)
  }
  get save(): TaskContext['save'] {
    return (value) => {
      const values = this.#worker.pack([value])
      const saving = this.#worker.request(this.#called.call, { what: 'save', values }) as Promise<void>
      this.#audience.track(saving)
      return saving
    }
  }
  get step(): TaskContext['step'] {
    return ((name, work) => {
      const isWork = typeof work === 'function'
      const values = this.#worker.pack([name, isWork || work])
      const step = this.#worker.request(this.#called.call, { what: 'step', values }, isWork ? () => done() : undefined)
      // While its function goes on, nothing is under way.
      const done = (): unknown => Promise.resolve(work()).finally(() => this.#audience.track(step))
      step.catch(() => undefined)
      return step
    }) as TaskContext['step']
  }

  /** What the module's `context.run` was given, where the handler is. */
  get surroundings(): unknown {
    return this.#worker.unpack(this.#called.surroundings)
  }

  get signal(): AbortSignal {
    this.#signal ??= this.#follow()
    return this.#signal
  }

  #read<Value>(property: string, known?: Value): Value {
    try {
      return this.#worker.ask(this.#called.call, { what: 'read', property }) as Value
    } catch (error) {
      if (known !== undefined && error instanceof GoneError) return known
      throw error
    }
  }

  /** A handler that has gone can tell nothing any more. */
  #tell(what: 'progress' | 'log', values: unknown[]): void {
    try {
      this.#worker.ask(this.#called.call, { what, values: this.#worker.pack(values) })
    } catch (error) {
      if (!(error instanceof GoneError)) throw error
    }
  }

  /** A signal that is aborted when the true one is, and looks at the true one whenever it is looked at. */
  #follow(): AbortSignal {
    const controller = new AbortController()
    const { signal } = controller
    const { call } = this.#called
    const own: Seen = { aborted: false, reason: undefined }
    let last = own
    const look = (): Seen => {
      try {
        last = this.#worker.ask(call, { what: 'signal' }) as Seen
      } catch (error) {
        if (!(error instanceof GoneError)) throw error
      }
      return last
    }
    Object.defineProperties(signal, {
      aborted: { get: () => look().aborted },
      reason: { get: () => look().reason },
      throwIfAborted: {
        value: (): void => {
          if (!look().aborted) return
          if (this.#worker.gone) throw last.reason
          this.#worker.ask(call, { what: 'throwIfAborted' })
        },
      },
    })
    this.#worker.onAborted(call, (reason) => {
      last = { aborted: true, reason }
      controller.abort(reason)
    })
    try {
      last = this.#worker.ask(call, { what: 'listen' }) as Seen
    } catch (error) {
      if (!(error instanceof GoneError)) throw error
    }
    if (last.aborted) controller.abort(last.reason)
    return signal
  }
}
