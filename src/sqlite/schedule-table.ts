/** The table `schedules`. Everything that writes is called within a group's transaction. */
import { type ScheduleRecord, type ScheduleSpec, specText } from '../schedule.js'
import type { Database, Row, Statement } from './driver.js'

export class ScheduleTable {
  readonly #all: Statement
  readonly #put: Statement
  readonly #remove: Statement
  readonly #find: Statement
  readonly #pass: Statement
  readonly #fire: Statement
  readonly #changed: () => void

  /** @param changed called with each change */
  constructor(database: Database, changed: () => void) {
    this.#changed = changed
    this.#all = database.prepare('SELECT * FROM schedules ORDER BY id')
    this.#put = database.prepare(
      `INSERT INTO schedules (id, spec, next) VALUES (?, ?, ?)
       ON CONFLICT (id) DO UPDATE SET spec = excluded.spec, next = excluded.next WHERE spec <> excluded.spec`,
    )
    this.#remove = database.prepare('DELETE FROM schedules WHERE id = ?')
    this.#find = database.prepare('SELECT 1 FROM schedules WHERE id = ? AND next = ? AND spec = ?')
    this.#pass = database.prepare('UPDATE schedules SET next = ? WHERE id = ?')
    this.#fire = database.prepare('UPDATE schedules SET next = ?, last = ?, last_task = ? WHERE id = ?')
  }

  all(): ScheduleRecord[] {
    return this.#all.all().map(toRecord)
  }

  /** One with the same spec stays as it is. */
  put(schedule: ScheduleRecord): void {
    if (this.#put.run(schedule.id, specText(schedule), schedule.next).changes > 0) this.#changed()
  }

  remove(id: string): boolean {
    const removed = this.#remove.run(id).changes > 0
    if (removed) this.#changed()
    return removed
  }

  /** Whether it is still as it was read. */
  isAsRead(schedule: ScheduleRecord): boolean {
    return this.#find.get(schedule.id, schedule.next, specText(schedule)) !== undefined
  }

  /** @param task the id of what was submitted; undefined: it was passed over */
  fired({ id, next }: ScheduleRecord, following: number, task: string | undefined): void {
    if (task === undefined) this.#pass.run(following, id)
    else this.#fire.run(following, next, task, id)
    this.#changed()
  }
}

function toRecord(row: Row): ScheduleRecord {
  const last = row['last'] as number | null
  return {
    id: row['id'] as string,
    ...(JSON.parse(row['spec'] as string) as ScheduleSpec),
    next: row['next'] as number,
    ...(last !== null && { last, lastTask: row['last_task'] as string }),
  }
}
