/**
 * The moments at which a process can be made to kill itself: at the so-manieth statement of a kind, before or after it.
 * Whatever a signal from outside seldom hits (a migration lasts a ms) is hit so.
 */
import { createRequire } from 'node:module'

export const MOMENTS = ['migration', 'submit', 'claim', 'run', 'settle', 'save', 'prune', 'commit'] as const

export type Moment = (typeof MOMENTS)[number]

/** What the statements of each moment look like. */
const STATEMENTS: Readonly<Record<Exclude<Moment, 'run'>, RegExp>> = {
  migration: /^\s*(?:CREATE TABLE|PRAGMA (?:application_id|user_version|journal_mode) =)/,
  submit: /^\s*INSERT INTO tasks\b/,
  claim: /^\s*UPDATE tasks SET state = 2\b/,
  settle: /^\s*UPDATE tasks SET state = \?, run_at/,
  save: /^\s*UPDATE tasks SET saved\b/,
  prune: /^\s*DELETE FROM tasks\b/,
  commit: /^\s*COMMIT\b/,
}

/** Where a process kills itself. */
export interface Strike {
  readonly moment: Moment
  /** How many such moments pass before. */
  readonly after: number
}

interface Prepared {
  run(...values: unknown[]): unknown
  get(...values: unknown[]): unknown
  all(...values: unknown[]): unknown
}

interface Driver {
  exec(sql: string): unknown
  prepare(sql: string): Prepared
}

/** Each moment is two: before it and after it. Calls `die` when the one that is meant has come. */
export class Strikes {
  #left: number
  readonly #strike: Strike
  readonly #die: () => void

  constructor(strike: Strike, die: () => void) {
    this.#left = strike.after
    this.#strike = strike
    this.#die = die
  }

  moment(moment: Moment): void {
    if (moment === this.#strike.moment && this.#left-- === 0) this.#die()
  }

  /** Watches all that any SQLite library here is told to do. */
  install(): void {
    for (const prototype of drivers()) {
      const { exec, prepare } = prototype
      const around = <Answer>(sql: string, work: () => Answer): Answer => {
        this.#statement(sql)
        const answer = work()
        this.#statement(sql)
        return answer
      }
      prototype.exec = function (this: Driver, sql) {
        return around(sql, () => exec.call(this, sql))
      }
      prototype.prepare = function (this: Driver, sql) {
        const statement = prepare.call(this, sql)
        for (const method of ['run', 'get', 'all'] as const) {
          const original = statement[method]
          statement[method] = (...values) => around(sql, () => original.apply(statement, values))
        }
        return statement
      }
    }
  }

  #statement(sql: string): void {
    const { moment } = this.#strike
    if (moment !== 'run' && STATEMENTS[moment].test(sql)) this.moment(moment)
  }
}

function drivers(): Driver[] {
  const builtIn = process.getBuiltinModule?.('node:sqlite') as { DatabaseSync: { prototype: Driver } } | undefined
  const libsql = createRequire(import.meta.url)('libsql') as { prototype: Driver }
  return [...(builtIn === undefined ? [] : [builtIn.DatabaseSync.prototype]), libsql.prototype]
}
