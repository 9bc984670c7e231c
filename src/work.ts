/**
 * A definition as one runner runs it: its policy filled, its `setup` called once, its teardown at the end of `close`; and
 * the executor that calls its handler.
 */
import { type Executor, executorFor, inline } from './executor.js'
import { type FilledRetry, mergeRetry } from './retry-policy.js'
import type { TaskDefinition, Teardown } from './task.js'

export class Work {
  readonly definition: TaskDefinition
  /** The definition's policy over the runner's defaults. */
  readonly retry: FilledRetry
  /** ms; undefined: no limit */
  readonly timeout: number | undefined
  /** There once `prepare` is done. */
  executor: Executor = inline
  #preparing: Promise<void> | undefined
  #prepared: boolean
  #teardown: Teardown | undefined
  #over = false

  constructor(definition: TaskDefinition, retry: FilledRetry, timeout: number | undefined) {
    this.definition = definition
    this.retry = mergeRetry(retry, definition.retry)
    this.timeout = definition.timeout ?? timeout
    this.#prepared = definition.setup === undefined && definition.isolation === undefined
  }

  /** Undefined once `setup` has run and the executor is there. One that fails fails its attempt; the next tries again. */
  prepare(): Promise<void> | undefined {
    if (this.#prepared) return undefined
    if (this.#preparing === undefined) {
      const done = (): void => {
        this.#preparing = undefined
      }
      this.#preparing = this.#setUp()
      this.#preparing.then(done, done)
    }
    return this.#preparing
  }

  async #setUp(): Promise<void> {
    const { isolation, setup } = this.definition
    if (isolation !== undefined && this.executor === inline) this.executor = await executorFor(isolation)
    const teardown = await setup?.()
    if (typeof teardown === 'function') this.#teardown = teardown
    this.#prepared = true
    if (this.#over) await this.tearDown() // it took longer than the runner lived
  }

  async tearDown(): Promise<void> {
    this.#over = true
    const teardown = this.#teardown
    this.#teardown = undefined
    // First the workers: what `setup` made may be what they use.
    await this.executor.close?.()
    await teardown?.()
  }
}
