/** What each commit has changed, for the others who have the file open: one row a group, read by number, pruned when all have read it. */
import type { Database, Statement } from './driver.js'

export class Feed {
  readonly #insert: Statement
  readonly #after: Statement
  readonly #last: Statement
  readonly #prune: Statement
  /** Ids that the group has changed so far. */
  #changed: string[] = []
  /** The number up to which it was read. */
  read = 0

  constructor(database: Database) {
    this.#insert = database.prepare('INSERT INTO feed (worker, ids) VALUES (?, ?)')
    this.#after = database.prepare('SELECT n, worker, ids FROM feed WHERE n > ? ORDER BY n')
    this.#last = database.prepare('SELECT coalesce(max(n), 0) AS n FROM feed')
    this.#prune = database.prepare('DELETE FROM feed WHERE n <= (SELECT min(seen) FROM workers)')
  }

  /** What is there already is of no interest. */
  begin(): void {
    this.read = this.#last.get()?.['n'] as number
  }

  add(id: string): void {
    this.#changed.push(id)
  }

  /** Within the group's transaction. */
  write(worker: number, hasReaders: boolean): void {
    if (hasReaders && this.#changed.length > 0) this.#insert.run(worker, JSON.stringify(this.#changed))
    this.#changed = []
  }

  forget(): void {
    this.#changed = []
  }

  /** Within a transaction that writes. */
  prune(): void {
    this.#prune.run()
  }

  /** The ids that others have changed since the last call. */
  news(worker: number): string[] {
    const ids = new Set<string>()
    for (const row of this.#after.all(this.read)) {
      this.read = row['n'] as number
      if (row['worker'] !== worker) for (const id of JSON.parse(row['ids'] as string) as string[]) ids.add(id)
    }
    return [...ids]
  }
}
