/**
 * `ctx`: what a handler sees of its attempt. Getters that bind on use: a context may be destructured, and what a handler
 * does not look at costs nothing.
 */
import { copyJson, type Json } from './json.js'
import type { AttemptRecord, StoredTask } from './record.js'
import { RUNTIME, type Runtime } from './runtime.js'
import type { TaskContext } from './task.js'

/** The attempt behind a context. */
export interface ContextSource {
  readonly task: StoredTask
  readonly env: Runtime
  readonly number: number
  readonly previous: AttemptRecord | undefined
  readonly signal: AbortSignal
  progress(value: unknown): void
  save(value: unknown): Promise<void>
  log(message: string, fields?: Readonly<Record<string, unknown>>): void
}

export class HandlerContext implements TaskContext {
  readonly #attempt: ContextSource

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
    return copyJson(this.#attempt.task.extras?.saved)
  }
  get progress(): TaskContext['progress'] {
    return (value) => this.#attempt.progress(value)
  }
  get save(): TaskContext['save'] {
    return (value) => this.#attempt.save(value)
  }
  get log(): TaskContext['log'] {
    return (message, fields) => this.#attempt.log(message, fields)
  }
}
