/**
 * `ctx`: what a handler sees of its attempt. Getters that bind on use: a context may be destructured, and what a handler
 * does not look at costs nothing.
 */
import { copyJson, type Json } from './json.js'
import type { AttemptRecord, StoredTask } from './record.js'
import { RUNTIME, type Runtime } from './runtime.js'
import { SavedState, type StateHolder } from './saved-state.js'
import type { TaskContext } from './task.js'

/** The attempt behind a context. */
export interface ContextSource extends StateHolder {
  readonly task: StoredTask
  readonly env: Runtime
  readonly number: number
  readonly previous: AttemptRecord | undefined
  readonly signal: AbortSignal
  progress(value: unknown): void
  log(message: string, fields?: Readonly<Record<string, unknown>>): void
}

export class HandlerContext implements TaskContext {
  readonly #attempt: ContextSource
  #state: SavedState | undefined

  static {
    // For task types of this library alone.
    Object.defineProperty(HandlerContext.prototype, RUNTIME, {
      get(this: HandlerContext): Runtime {
        return this.#attempt.env
      },
    })
  }

  constructor(attempt: ContextSource) {
    this.#attempt = attempt
  }

  get id(): string {
    return this.#attempt.task.id
  }
  get name(): string {
    return this.#attempt.task.name
  }
  get attempt(): number {
    return this.#attempt.number
  }
  get retries(): number {
    return this.#attempt.task.extras?.retries ?? 0
  }
  get createdAt(): number {
    return this.#attempt.task.createdAt
  }
  get previous(): AttemptRecord | undefined {
    return this.#attempt.previous
  }
  get signal(): AbortSignal {
    return this.#attempt.signal
  }
  get metadata(): Json | undefined {
    return copyJson(this.#attempt.task.extras?.metadata)
  }
  get context(): Json | undefined {
    return copyJson(this.#attempt.task.extras?.context)
  }
  get saved(): Json | undefined {
    return this.#saved().saved
  }
  get progress(): TaskContext['progress'] {
    return (value) => this.#attempt.progress(value)
  }
  get save(): TaskContext['save'] {
    return (value) => this.#saved().save(value)
  }
  get step(): TaskContext['step'] {
    return ((name, work) => this.#saved().step(name, work)) as TaskContext['step']
  }
  get log(): TaskContext['log'] {
    return (message, fields) => this.#attempt.log(message, fields)
  }

  #saved(): SavedState {
    this.#state ??= new SavedState(this.#attempt)
    return this.#state
  }
}
