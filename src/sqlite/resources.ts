/** What running tasks take of the resources that there are, in all processes together. */
import type { TaskExtras } from '../record.js'
import type { Statement } from './driver.js'
import type { SqliteTask } from './rows.js'

/** Sums of decimal fractions are not exact. */
const EXACT = 1e-9

type Needing = Pick<SqliteTask, 'extras'>

export class Resources {
  readonly #sql: (text: string) => Statement
  readonly #all: ReadonlyMap<string, number>
  /** How much of each is taken, since another connection last wrote. */
  #taken: Map<string, number> | undefined

  constructor(sql: (text: string) => Statement, all: ReadonlyMap<string, number>) {
    this.#sql = sql
    this.#all = all
  }

  /** Another connection has written. */
  forget(): void {
    this.#taken = undefined
  }

  take({ extras }: Needing): void {
    this.#count(extras, 1)
  }

  giveBack({ extras }: Needing): void {
    this.#count(extras, -1)
  }

  /** Whether there is enough for it now. */
  fits(task: Needing): boolean {
    return needsOf(task).every(([resource, amount]) => amount <= this.#free(resource) + EXACT)
  }

  /** Whether there ever is. */
  couldFit(task: Needing): boolean {
    return needsOf(task).every(([resource, amount]) => amount <= (this.#all.get(resource) ?? 0) + EXACT)
  }

  /** What of its needs there is not enough of. */
  lacking(task: Needing): { readonly resource: string; readonly needs: number; readonly free: number }[] {
    return needsOf(task)
      .map(([resource, needs]) => ({ resource, needs, free: Math.max(0, this.#free(resource)) }))
      .filter(({ needs, free }) => needs > free + EXACT)
  }

  #free(resource: string): number {
    return (this.#all.get(resource) ?? 0) - (this.#takenNow().get(resource) ?? 0)
  }

  #takenNow(): Map<string, number> {
    if (this.#taken === undefined) {
      this.#taken = new Map()
      const rows = this.#sql('SELECT extras FROM tasks INDEXED BY tasks_lane_kept WHERE lane > 0 AND state = 2').all()
      for (const row of rows) this.#count(JSON.parse(row['extras'] as string) as TaskExtras, 1)
    }
    return this.#taken
  }

  #count(extras: TaskExtras | undefined, by: 1 | -1): void {
    if (this.#taken === undefined) return
    for (const [resource, amount] of needsOf({ extras })) {
      const taken = (this.#taken.get(resource) ?? 0) + by * amount
      this.#taken.set(resource, Math.abs(taken) < EXACT ? 0 : taken)
    }
  }
}

function needsOf({ extras }: Needing): [string, number][] {
  return Object.entries(extras?.requires ?? {})
}
