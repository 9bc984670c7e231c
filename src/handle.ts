/** What `submit` returns: the id, and the verbs bound to it. Not thenable, so that `await submit()` does not wait for the task. */
import type { Duration } from './duration.js'
import type { CancelRequest } from './engine.js'
import type { TaskRecord } from './record.js'

export interface WaitOptions {
  /** Ends the waiting; the task itself goes on. */
  readonly signal?: AbortSignal
  /** @default no limit */
  readonly timeout?: Duration
}

/** The verbs that a handle is bound to. */
export interface Verbs {
  status(id: string): Promise<TaskRecord | undefined>
  wait(id: string, options?: WaitOptions): Promise<TaskRecord>
  result(id: string, options?: WaitOptions): Promise<unknown>
  cancel(id: string, options?: CancelRequest): Promise<TaskRecord>
  retry(id: string, options?: { readonly delay?: Duration }): Promise<TaskRecord>
}

export class TaskHandle<Output = unknown> {
  readonly id: string
  /** A task with this id or key existed already: nothing new was stored. */
  readonly deduplicated: boolean
  readonly #verbs: Verbs

  constructor(verbs: Verbs, id: string, deduplicated: boolean) {
    this.#verbs = verbs
    this.id = id
    this.deduplicated = deduplicated
  }

  /** As `runner.status(id)`. */
  status(): Promise<TaskRecord | undefined> {
    return this.#verbs.status(this.id)
  }

  /** As `runner.wait(id)`. */
  wait(options?: WaitOptions): Promise<TaskRecord> {
    return this.#verbs.wait(this.id, options)
  }

  /** As `runner.result(id)`. */
  result(options?: WaitOptions): Promise<Output> {
    return this.#verbs.result(this.id, options) as Promise<Output>
  }

  /** As `runner.cancel(id)`. */
  cancel(options?: CancelRequest): Promise<TaskRecord> {
    return this.#verbs.cancel(this.id, options)
  }

  /** As `runner.retry(id)`. */
  retry(options?: { readonly delay?: Duration }): Promise<TaskRecord> {
    return this.#verbs.retry(this.id, options)
  }
}
