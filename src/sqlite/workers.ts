/**
 * The processes that have the file open: who lives, who is gone, and what the dead were running.
 *
 * Each has a row and raises its counter every third of a lease. One whose counter has not moved for a lease, on the
 * observer's own monotonic clock, is taken for dead; no wall clock is compared between processes. Where the boot, the pid
 * namespace and the pid show that the process is gone, nobody waits that long. Its tasks go back to the queue, and its
 * row goes; should it live after all (it was stopped, or its event loop held), it finds its row gone, lets go of what it
 * runs, and goes on under a new number.
 */
import { systemClock } from '../clock.js'
import type { TaskEvent } from '../engine.js'
import { crash, isSuspect } from '../lifecycle.js'
import { type TaskRecord, toRecord } from '../record.js'
import type { Database, Row, Statement } from './driver.js'
import { isAlive, type ProcessIdentity, thisProcess } from './process-identity.js'
import type { TaskTable } from './task-table.js'

/** ms between two looks at the pids of others. */
const PID_LOOK = 1_000

/** A worker that is gone, and how that is known. */
export interface Departed {
  readonly id: number
  readonly beat: number
  /** Whether its process has died, as far as can be known: what it ran is then one crash older. */
  readonly crashed: boolean
}

/** A task that was put back, or ended, because its worker is gone. */
export interface Recovered {
  readonly event: TaskEvent
  readonly record: TaskRecord
}

export class Workers {
  /** Our own row. */
  id = 0
  /** Whether others have the file open. */
  hasPeers = false
  readonly #here: ProcessIdentity = thisProcess()
  readonly #lease: number
  readonly #register: Statement
  readonly #beat: Statement
  readonly #others: Statement
  readonly #own: Statement
  readonly #still: Statement
  readonly #leave: Statement
  readonly #abandon: Statement
  /** Counter of each other worker, and for how many ms we have seen it stand there. */
  readonly #seen: Map<number, { readonly beat: number; stood: number }> = new Map()
  #lookedAt = 0
  /** Of all who have the file open. */
  #shortestLease: number

  readonly #names: readonly string[] | undefined
  readonly #working: Statement

  /** @param lease ms @param names that this process works on; undefined: it only submits */
  constructor(database: Database, lease: number, names: readonly string[] | undefined) {
    this.#lease = lease
    this.#names = names
    this.#working = database.prepare('SELECT names FROM workers WHERE names IS NOT NULL AND closed = 0')
    this.#shortestLease = lease
    this.#register = database.prepare(
      'INSERT INTO workers (boot, pid, pid_started, lease, names, seen) VALUES (?, ?, ?, ?, ?, (SELECT coalesce(max(n), 0) FROM feed))',
    )
    this.#beat = database.prepare('UPDATE workers SET beat = beat + 1, seen = ? WHERE id = ?')
    this.#others = database.prepare('SELECT * FROM workers WHERE id <> ?')
    this.#own = database.prepare('SELECT 1 FROM workers WHERE id = ?')
    this.#still = database.prepare('SELECT 1 FROM workers WHERE id = ? AND beat = ?')
    this.#leave = database.prepare('DELETE FROM workers WHERE id = ?')
    this.#abandon = database.prepare('UPDATE workers SET closed = 1, beat = beat + 1 WHERE id = ?')
  }

  /** ms between two calls of `departed`: a lease that is over is noticed within a sixth of it. */
  get lookEvery(): number {
    return Math.min(PID_LOOK, this.#shortestLease / 6)
  }

  get beatEvery(): number {
    return this.#lease / 3
  }

  // Within a transaction that writes.

  register(): void {
    const { boot, pid, started } = this.#here
    const names = this.#names && JSON.stringify(this.#names)
    this.id = this.#register.run(boot, pid, started, this.#lease, names ?? null).inserted
  }

  /** Whether a process that has the file open works on tasks of this name. */
  knows(name: string): boolean {
    return this.#working.all().some((row) => (JSON.parse(row['names'] as string) as string[]).includes(name))
  }

  /** Whether our row is still there. */
  isRegistered(): boolean {
    return this.#own.get(this.id) !== undefined
  }

  /** @param seen how far the feed was read */
  beat(seen: number): void {
    this.#beat.run(seen, this.id)
  }

  /** Our row goes, and what was claimed but not begun any more goes back. */
  leave(table: TaskTable, now: number): void {
    this.#putBack(this.id, false, table, now)
    this.#leave.run(this.id)
  }

  /** Our row stays, as that of one who left handlers behind. */
  abandon(): void {
    this.#abandon.run(this.id)
  }

  /** Puts back what a departed worker was running; nothing if it has moved since it was looked at, or is gone. */
  bury({ id, beat, crashed }: Departed, table: TaskTable, now: number): Recovered[] {
    if (this.#still.get(id, beat) === undefined) return []
    this.#leave.run(id)
    return this.#putBack(id, crashed, table, now)
  }

  #putBack(id: number, crashed: boolean, table: TaskTable, now: number): Recovered[] {
    return table.runningOf(id).map((task) => {
      const event = crash(task, crashed ? (isSuspect(task) ? 'alone' : 'counted') : 'innocent', now)
      table.write(task, 'running', now)
      return { event, record: toRecord(task) }
    })
  }

  // Reading.

  /** Looks whether there are others at all. */
  look(): Row[] {
    const rows = this.#others.all(this.id)
    this.hasPeers = rows.length > 0
    this.#shortestLease = Math.min(this.#lease, ...rows.map((row) => row['lease'] as number))
    return rows
  }

  /** Looks at the others: who is gone? */
  departed(): Departed[] {
    const now = systemClock.monotonic()
    const since = now - this.#lookedAt
    this.#lookedAt = now
    const rows = this.look()
    for (const id of this.#seen.keys()) if (!rows.some((row) => row['id'] === id)) this.#seen.delete(id)
    return rows.flatMap((row) => this.#judge(row, since) ?? [])
  }

  /** @param since ms since the look before */
  #judge(row: Row, since: number): Departed | undefined {
    const id = row['id'] as number
    const beat = row['beat'] as number
    const lease = row['lease'] as number
    const closed = row['closed'] === 1
    const process = {
      boot: row['boot'] as string | null,
      pid: row['pid'] as number,
      started: row['pid_started'] as string | null,
    }
    const alive = isAlive(process, this.#here)
    if (alive === false) return { id, beat, crashed: !closed }
    const seen = this.#seen.get(id)
    if (seen === undefined || seen.beat !== beat) {
      this.#seen.set(id, { beat, stood: 0 })
      return undefined
    }
    // What held us (a stopped machine, a locked file) may have held the other too: it gets the time to move.
    seen.stood += Math.min(since, lease / 3)
    return seen.stood > lease ? { id, beat, crashed: !closed && alive !== true } : undefined
  }
}
