/**
 * Tasks that come after others (local/parents.ts), in the file. A row of `parents`: a task has to end before another.
 *
 * They may be many, so the end of one is told to them in steps. What was not told in the transaction of the end is told in
 * the next ones: the rows that are left say to whom, and `untold` in `meta` of whose end. So whoever has the file open
 * goes on with it, and whoever opens it next if nobody has.
 */
import { cancel, hasEnded } from '../lifecycle.js'
import { afterEnd, type Ended, reasonOf } from '../local/parents.js'
import type { TaskState } from '../record.js'
import type { Statement } from './driver.js'
import { type SqliteTask, STATES } from './rows.js'

/** So many are told in one transaction. */
const STEP = 100
const NOTHING = '[]'

/** Who is told, within the group's transaction, what the end of a task means for those that come after it. */
export interface FamilyHost {
  /** It has ended with another one. */
  ended(task: SqliteTask): void
  /** Some may go on, or there is more to tell. */
  freed(): void
}

/** What it needs of the table `tasks`. */
export interface Members {
  bySeq(seq: number): SqliteTask | undefined
  write(task: SqliteTask, from: TaskState): void
}

export class Families {
  readonly #sql: (text: string) => Statement
  readonly #members: Members
  readonly #host: FamilyHost
  #hasAny: boolean | undefined
  /** Of whose end is still to be told, by seq. The last one first: so they are never many, in a chain of any length. */
  #untold: number[] = []
  /** As the file has it. */
  #stored = NOTHING
  /** How many more may be told in this transaction. */
  #room = STEP
  #isTelling = false

  constructor(sql: (text: string) => Statement, members: Members, host: FamilyHost) {
    this.#sql = sql
    this.#members = members
    this.#host = host
  }

  /** Another connection has written. @param untold as the file has it */
  refresh(untold: string = NOTHING): void {
    this.#hasAny = undefined
    this.#stored = untold
    this.#untold = JSON.parse(untold) as number[]
  }

  /** The transaction came to nothing; `refresh` comes next. */
  forget(): void {
    this.#hasAny = undefined
    this.#room = STEP
  }

  /** Within the group's transaction. */
  beforeCommit(): void {
    this.#room = STEP
    const untold = JSON.stringify(this.#untold)
    if (untold === this.#stored) return
    if (untold === NOTHING) this.#sql("DELETE FROM meta WHERE key = 'untold'").run()
    else this.#sql("REPLACE INTO meta (key, value) VALUES ('untold', ?)").run(untold)
    this.#stored = untold
  }

  /** Whether any task comes after another one: false nearly always. */
  get hasAny(): boolean {
    this.#hasAny ??= this.#sql('SELECT 1 FROM parents LIMIT 1').get() !== undefined
    return this.#hasAny
  }

  /** Whether `tell` has something to do. */
  get isUntold(): boolean {
    return this.#untold.length > 0
  }

  follow({ seq }: SqliteTask, parents: readonly SqliteTask[]): void {
    for (const parent of parents) {
      this.#sql('INSERT INTO parents (parent, child) VALUES (?, ?)').run(parent.seq, seq)
      this.#hasAny = true
    }
  }

  /** Ids of tasks that have to end before it. */
  parentsOf({ seq }: SqliteTask, most: number): string[] {
    return this.#sql(
      'SELECT tasks.id FROM parents JOIN tasks ON tasks.seq = parents.parent WHERE parents.child = ? ORDER BY parents.parent LIMIT ?',
    )
      .all(seq, most)
      .map((row) => row['id'] as string)
  }

  /** It has ended, and its row is written: what comes after it may go on, or ends as well. */
  ended(task: SqliteTask): void {
    if (!this.hasAny) return
    if (task.blocked > 0) this.#sql('DELETE FROM parents WHERE child = ?').run(task.seq)
    if (this.#sql('SELECT 1 FROM parents WHERE parent = ? LIMIT 1').get(task.seq) === undefined) return
    this.#untold.push(task.seq)
    this.tell()
  }

  /** Tells some of what is still to be told, one after the other. */
  tell(): void {
    if (this.#isTelling) return
    this.#isTelling = true
    try {
      for (let seq = this.#untold.at(-1); seq !== undefined && this.#room > 0; seq = this.#untold.at(-1))
        this.#tellOf(seq)
    } finally {
      this.#isTelling = false
    }
    this.#host.freed()
  }

  /** Whether all that come after it know of its end; if not, some more of them are told. */
  areTold({ seq }: SqliteTask): boolean {
    if (this.#untold.includes(seq)) this.tell()
    return !this.#untold.includes(seq)
  }

  /** @param seq of the last one of `#untold` */
  #tellOf(seq: number): void {
    const rows = this.#sql('SELECT child FROM parents WHERE parent = ? LIMIT ?').all(seq, this.#room)
    if (rows.length < this.#room) this.#untold.pop()
    this.#room -= rows.length
    const parent = this.#ended(seq)
    for (const row of rows) {
      const child = this.#members.bySeq(row['child'] as number)
      this.#sql('DELETE FROM parents WHERE parent = ? AND child = ?').run(seq, row['child'] as number)
      if (child === undefined || parent === undefined || hasEnded(child.state)) continue
      if (afterEnd(parent, child) === 'is cancelled') this.cancelAfter(parent, child, parent.finishedAt)
      else this.#members.write({ ...child, blocked: child.blocked - 1 }, child.state)
    }
  }

  #ended(seq: number): (Ended & { readonly finishedAt: number }) | undefined {
    const row = this.#sql('SELECT id, state, finished_at FROM tasks WHERE seq = ?').get(seq)
    return (
      row && {
        id: row['id'] as string,
        state: STATES[row['state'] as number] as TaskState,
        finishedAt: row['finished_at'] as number,
      }
    )
  }

  /** It ends with a task that it comes after. */
  cancelAfter(parent: Ended, child: SqliteTask, now: number): void {
    const from = child.state
    cancel(child, { reason: reasonOf(parent) }, now)
    this.#members.write(child, from)
    this.#host.ended(child)
  }
}
