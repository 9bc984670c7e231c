/**
 * What each commit has changed, for the others who have the file open: one row a group, read by number, pruned when all
 * have read it.
 *
 * A process that has no row in `workers` is written nothing for, and nothing is kept for it: one that was taken for dead
 * cannot tell from here what it has missed.
 */
import type { Database, Statement } from './driver.js'

/** So many rows are read, or pruned, in one go. */
const STEP = 500
/** In the place of an id: a schedule has changed. No task has this id. */
const SCHEDULES = ''

export interface News {
  /** Ids that others have changed. */
  readonly ids: ReadonlySet<string>
  /** And whether a schedule is among it. */
  readonly schedules: boolean
  /** The number of the last row. */
  readonly upTo: number
  readonly more: boolean
}

export class Feed {
  readonly #insert: Statement
  readonly #after: Statement
  readonly #last: Statement
  readonly #prune: Statement
  /** Ids that the group has changed so far. */
  #changed: string[] = []

  constructor(database: Database) {
    this.#insert = database.prepare('INSERT INTO feed (worker, ids) VALUES (?, ?)')
    this.#after = database.prepare(`SELECT n, worker, ids FROM feed WHERE n > ? ORDER BY n LIMIT ${STEP}`)
    this.#last = database.prepare('SELECT coalesce(max(n), 0) AS n FROM feed')
    this.#prune = database.prepare(
      `DELETE FROM feed WHERE n <= (SELECT min(seen) FROM workers) AND n < (SELECT min(n) FROM feed) + ${STEP}`,
    )
  }

  /** The number of the last row: what comes after it is news. */
  last(): number {
    return this.#last.get()?.['n'] as number
  }

  add(id: string): void {
    this.#changed.push(id)
  }

  addSchedules(): void {
    this.#changed.push(SCHEDULES)
  }

  /** Within the group's transaction. */
  write(worker: number, hasReaders: boolean): void {
    if (hasReaders && this.#changed.length > 0) this.#insert.run(worker, JSON.stringify(this.#changed))
    this.#changed = []
  }

  forget(): void {
    this.#changed = []
  }

  /** Removes some of what all have read; says whether there may be more. Within a transaction that writes. */
  prune(): boolean {
    return this.#prune.run().changes === STEP
  }

  /** What was written after the row `read`, some of it at a time. @param worker whose own rows are none */
  news(read: number, worker: number): News {
    const ids = new Set<string>()
    const rows = this.#after.all(read)
    for (const row of rows)
      if (row['worker'] !== worker) for (const id of JSON.parse(row['ids'] as string) as string[]) ids.add(id)
    const schedules = ids.delete(SCHEDULES)
    return { ids, schedules, upTo: (rows.at(-1)?.['n'] as number | undefined) ?? read, more: rows.length === STEP }
  }
}
