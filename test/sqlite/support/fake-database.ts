/** A database that does as it is told: what is written in a transaction is there after its COMMIT, and faults are scripted. */
import type { Database, Statement } from '../../../src/sqlite/driver.js'

/** As node:sqlite throws it. */
function sqliteError(errcode: number, message: string): Error {
  return Object.assign(new Error(message), { code: 'ERR_SQLITE_ERROR', errcode })
}
export const busy = (): Error => sqliteError(5, 'database is locked')
export const full = (): Error => sqliteError(13, 'database or disk is full')
export const corrupt = (): Error => sqliteError(11, 'database disk image is malformed')
export const constraint = (): Error => sqliteError(19, 'constraint failed')

type When = 'BEGIN IMMEDIATE' | 'COMMIT' | 'ROLLBACK'

export class FakeDatabase implements Database {
  readonly driver = 'fake'
  /** What has been committed, in order. */
  committed: string[] = []
  /** What was written without a transaction. */
  readonly strays: string[] = []
  /** Every statement that was run. */
  readonly log: string[] = []
  /** What the next runs of a statement throw; undefined: nothing. */
  readonly faults: Record<When, (Error | undefined)[]> = { 'BEGIN IMMEDIATE': [], COMMIT: [], ROLLBACK: [] }
  #open: string[] | undefined

  exec(sql: string): void {
    this.#run(sql)
  }

  prepare(sql: string): Statement {
    return {
      run: () => {
        this.#run(sql)
        return { changes: 0, inserted: 0 }
      },
      get: () => undefined,
      all: () => [],
    }
  }

  close(): void {}

  /** Without a transaction it is there at once, as in SQLite: whatever comes of the rest. */
  write(what: string): string {
    if (this.#open === undefined) this.strays.push(what)
    else this.#open.push(what)
    return what
  }

  get isOpen(): boolean {
    return this.#open !== undefined
  }

  #run(sql: string): void {
    this.log.push(sql)
    const fault = this.faults[sql as When]?.shift()
    if (fault !== undefined) throw fault
    if (sql === 'BEGIN IMMEDIATE') {
      if (this.#open !== undefined) throw sqliteError(1, 'cannot start a transaction within a transaction')
      this.#open = []
    } else {
      if (this.#open === undefined) throw sqliteError(1, `cannot ${sql}: no transaction is active`)
      if (sql === 'COMMIT') this.committed.push(...this.#open)
      this.#open = undefined
    }
  }
}
