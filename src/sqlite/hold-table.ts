/** The table `holds`, kept in memory, written through, and read again when another connection has written. */
import { type Held, Holds } from '../local/holds.js'
import type { SerializedError } from '../record.js'
import type { Database, Statement } from './driver.js'
import type { Names } from './names.js'

/** Tasks are found by their seq. */
export class HoldTable extends Holds<number> {
  readonly #names: Names
  readonly #all: Statement
  readonly #write: Statement
  readonly #remove: Statement

  constructor(database: Database, names: Names) {
    const running = database.prepare('SELECT 1 FROM tasks WHERE seq = ? AND state = 2 AND attempt = ?')
    super(({ task, attempt }) => running.get(task, attempt) !== undefined)
    this.#names = names
    this.#all = database.prepare('SELECT * FROM holds')
    this.#write = database.prepare(
      'REPLACE INTO holds (name, until, error, probe, probe_attempt) VALUES (?, ?, ?, ?, ?)',
    )
    this.#remove = database.prepare('DELETE FROM holds WHERE name = ?')
  }

  /** After the names have been. */
  refresh(): void {
    this.clear()
    for (const row of this.#all.all()) {
      const task = row['probe'] as number | null
      super.put(this.#names.name(row['name'] as number), {
        until: row['until'] as number,
        error: JSON.parse(row['error'] as string) as SerializedError,
        probe: task === null ? undefined : { task, attempt: row['probe_attempt'] as number },
      })
    }
  }

  /** Within a transaction that writes. */
  protected override put(name: string, held: Held<number> | undefined): void {
    const number = this.#names.make(name)
    if (held === undefined) this.#remove.run(number)
    else {
      const { until, error, probe } = held
      this.#write.run(number, until, JSON.stringify(error), probe?.task ?? null, probe?.attempt ?? null)
    }
    super.put(name, held)
  }
}
