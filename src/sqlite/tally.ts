/**
 * What would be dear to ask the file for each time: how many tasks of each name are in each state, whether all is paused,
 * when the next scheduled task is due. Kept in memory, written with each group, and read again when another connection
 * has written.
 */
import type { TaskCounts } from '../engine.js'
import type { TaskState } from '../record.js'
import type { Database, Statement } from './driver.js'
import { UnusableFileError } from './fault.js'
import { STATES, stateNumber } from './rows.js'
import { VERSION } from './schema.js'

const ALIKE = STATES.length

export class Tally {
  readonly #version: Statement
  readonly #counts: Statement
  readonly #add: Statement
  readonly #meta: Statement
  readonly #nextDue: Statement
  readonly #suspects: Statement
  /** name × state → how many. */
  #held: Map<number, number> = new Map()
  /** Since the last commit. */
  #added: Map<number, number> = new Map()
  #seen: unknown
  #due: number | undefined
  #dueIsKnown = false
  paused = false
  /** The turn of those under limits that was last. */
  turn = 0
  /** Of whose end is still to be told: see families.ts. */
  untold: string | undefined
  /** Whether a suspect may be waiting. */
  suspects = false

  constructor(database: Database) {
    this.#version = database.prepare('PRAGMA data_version')
    this.#counts = database.prepare('SELECT name, state, n FROM counts WHERE n > 0')
    this.#add = database.prepare(
      `INSERT INTO counts (name, state, n) SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(?) WHERE true
       ON CONFLICT DO UPDATE SET n = n + excluded.n`,
    )
    this.#meta = database.prepare('SELECT key, value FROM meta')
    this.#suspects = database.prepare(
      'SELECT 1 FROM tasks INDEXED BY tasks_suspect WHERE state = 0 AND suspect = 1 LIMIT 1',
    )
    this.#nextDue = database.prepare(
      'SELECT run_at FROM tasks INDEXED BY tasks_due WHERE state = 1 ORDER BY run_at LIMIT 1',
    )
  }

  /** Reads again what another connection may have changed; says whether one has. @param also is to be read again then */
  refresh(also: () => void): boolean {
    const version = this.#version.get()?.['data_version']
    if (version === this.#seen) return false
    also()
    this.#held = new Map(
      this.#counts.all().map((row) => [(row['name'] as number) * ALIKE + (row['state'] as number), row['n'] as number]),
    )
    const meta = new Map(this.#meta.all().map(({ key, value }) => [key, value]))
    if (Number(meta.get('readable_from')) > VERSION)
      throw new UnusableFileError(
        'a newer version of background-runner has migrated the database: this one must not write it',
      )
    this.paused = meta.get('paused') === 1
    this.turn = Number(meta.get('turn'))
    this.untold = meta.get('untold') as string | undefined
    this.suspects = this.#suspects.get() !== undefined
    this.#dueIsKnown = false
    this.#seen = version
    return true
  }

  /** A task of this name has come to a state, or has left it. */
  count(name: number, state: TaskState, by: 1 | -1): void {
    const at = name * ALIKE + stateNumber(state)
    this.#held.set(at, (this.#held.get(at) ?? 0) + by)
    this.#added.set(at, (this.#added.get(at) ?? 0) + by)
  }

  /** How many tasks of this name are in this state. */
  of(name: number, state: TaskState): number {
    return this.#held.get(name * ALIKE + stateNumber(state)) ?? 0
  }

  total(): TaskCounts {
    const counts: TaskCounts = { queued: 0, scheduled: 0, running: 0, succeeded: 0, failed: 0, cancelled: 0 }
    for (const [at, n] of this.#held) counts[STATES[at % ALIKE] as TaskState] += n
    return counts
  }

  /** Epoch ms at which the next scheduled task is due. */
  get nextDue(): number | undefined {
    if (!this.#dueIsKnown) {
      this.#due = this.#nextDue.get()?.['run_at'] as number | undefined
      this.#dueIsKnown = true
    }
    return this.#due
  }

  /** A task is scheduled for this time. */
  schedules(runAt: number): void {
    if (this.#dueIsKnown && (this.#due === undefined || runAt < this.#due)) this.#due = runAt
  }

  /** A scheduled task has become due, was cancelled, or is gone. */
  unschedules(): void {
    this.#dueIsKnown = false
  }

  /** Writes what was counted, within the group's transaction. */
  write(): void {
    if (this.#added.size === 0) return
    const changed = [...this.#added].filter(([, n]) => n !== 0)
    if (changed.length > 0)
      this.#add.run(JSON.stringify(changed.map(([at, n]) => [Math.floor(at / ALIKE), at % ALIKE, n])))
    this.#added.clear()
  }

  /** The transaction came to nothing: what was counted in it is forgotten. */
  forget(): void {
    this.#added.clear()
    this.#seen = undefined
  }
}
