/**
 * The limits of task names on their running attempts. A store asks it while it chooses, so that the answer is exact also
 * where several claims share one transaction.
 */
import type { Admission } from './store.js'

export class NameLimits implements Admission {
  readonly #limits: ReadonlyMap<string, number>
  readonly #running: Map<string, number> = new Map()
  readonly #limited: boolean
  #open: readonly string[]

  /** @param limits the names that this process can run, each with the limit on its running attempts */
  constructor(limits: ReadonlyMap<string, number>) {
    this.#limits = limits
    this.#open = [...limits.keys()]
    this.#limited = [...limits.values()].some((limit) => limit !== Number.POSITIVE_INFINITY)
  }

  /** The names of which another attempt may start. */
  get open(): readonly string[] {
    return this.#open
  }

  /** An attempt of `name` starts. */
  take(name: string): void {
    if (this.#limited) this.#add(name, 1)
  }

  /** An attempt of `name` has ended. */
  give(name: string): void {
    if (this.#limited) this.#add(name, -1)
  }

  #add(name: string, by: 1 | -1): void {
    const limit = this.#limits.get(name) ?? Number.POSITIVE_INFINITY
    const before = this.#running.get(name) ?? 0
    const after = before + by
    this.#running.set(name, after)
    if (before < limit !== after < limit) {
      this.#open = [...this.#limits]
        .filter(([each, most]) => (this.#running.get(each) ?? 0) < most)
        .map(([each]) => each)
    }
  }
}
