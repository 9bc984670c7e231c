/**
 * The little that the engine asks of a SQLite library, and the three that can give it: `node:sqlite` where Node has it,
 * otherwise `libsql` or `better-sqlite3`, whichever is installed.
 *
 * Their traps stay in here. libsql ends the process where it is handed a boolean, so parameters are texts, numbers and
 * null only; and a null that is the only one it takes for something else. Nor does it let go of a file that is closed
 * while statements are still about. No driver waits for a lock (`timeout: 0`): waiting would hold the event loop.
 */
import { MissingDependencyError } from '../errors.js'

export type Value = string | number | null
export type Row = Readonly<Record<string, Value>>

export interface Ran {
  /** Rows that it changed. */
  readonly changes: number
  /** The rowid of the last row that was inserted. */
  readonly inserted: number
}

/** A prepared statement. */
export interface Statement {
  run(...values: Value[]): Ran
  get(...values: Value[]): Row | undefined
  all(...values: Value[]): Row[]
}

/** An open file. */
export interface Database {
  /** The library behind it. */
  readonly driver: string
  exec(sql: string): void
  prepare(sql: string): Statement
  close(): void
}

/** Opens a file that exists. */
export type Open = (path: string) => Database

// What the libraries look like, as far as they are used.

interface ForeignStatement {
  /** Rows as arrays; not in node:sqlite. */
  raw?(on: boolean): unknown
  columns?(): readonly { readonly name: string }[]
  run(...values: Value[]): { readonly changes: number | bigint; readonly lastInsertRowid: number | bigint }
  get(...values: Value[]): unknown
  all(...values: Value[]): unknown
}

interface ForeignDatabase {
  exec(sql: string): unknown
  prepare(sql: string): ForeignStatement
  close(): unknown
}

type Constructor = new (path: string, options: object) => ForeignDatabase

/** @throws {MissingDependencyError} none of them is there */
export async function loadDriver(): Promise<Open> {
  const builtIn = loadBuiltIn()
  if (builtIn !== undefined) return opener('node:sqlite', builtIn, {})
  const causes: unknown[] = []
  for (const name of ['libsql', 'better-sqlite3']) {
    try {
      return await load(name)
    } catch (error) {
      causes.push(error)
    }
  }
  throw new MissingDependencyError('libsql', 'sqlite() on a Node without node:sqlite', {
    cause: new AggregateError(causes, 'neither libsql nor better-sqlite3 could be loaded'),
  })
}

/** A name that is no literal: whoever has not installed it can still compile and bundle this. */
async function load(name: string): Promise<Open> {
  const { default: Database } = (await import(name)) as { default: Constructor }
  return opener(name, Database, { timeout: 0 })
}

/** Undefined where this Node has none. Its ExperimentalWarning is about its API, which is our affair and not our users'. */
function loadBuiltIn(): Constructor | undefined {
  const { emitWarning } = process
  try {
    process.emitWarning = (): void => {}
    return process.getBuiltinModule?.('node:sqlite')?.DatabaseSync as Constructor | undefined
  } catch {
    return undefined
  } finally {
    process.emitWarning = emitWarning
  }
}

function opener(driver: string, Database: Constructor, options: object): Open {
  return (path) => {
    const database = new Database(path, options)
    let open = true
    return {
      driver,
      exec: (sql) => void database.exec(sql),
      prepare: (sql) => {
        const statement = database.prepare(sql)
        const toRow = rowMaker(statement)
        return {
          run: (...values) => {
            const { changes, lastInsertRowid } = statement.run(...values)
            return { changes: Number(changes), inserted: Number(lastInsertRowid) }
          },
          get: (...values) => {
            const row = statement.get(...values)
            return row === undefined ? undefined : toRow(row)
          },
          all: (...values) => (statement.all(...values) as unknown[]).map(toRow),
        }
      },
      close: () => {
        if (open) database.close()
        open = false
      },
    }
  }
}

/**
 * Rows as objects. Where a library can give them as arrays, that takes half the time, and libsql adds nothing of its own.
 */
function rowMaker(statement: ForeignStatement): (row: unknown) => Row {
  let names: readonly string[]
  try {
    statement.raw?.(true)
    names = statement.columns?.().map(({ name }) => name) ?? []
  } catch {
    names = [] // it gives no rows
  }
  if (statement.raw === undefined || names.length === 0) return (row) => row as Row
  return (row) => {
    const made: Record<string, Value> = {}
    for (let i = 0; i < names.length; i++) made[names[i] as string] = (row as readonly Value[])[i] as Value
    return made
  }
}

/** What went wrong, whatever library tells it. */
export type Problem = 'busy' | 'full' | 'readonly' | 'corrupt' | 'foreign' | 'unopenable' | 'io' | 'other'

/** SQLite's primary result codes. @see https://www.sqlite.org/rescode.html */
const PROBLEMS: ReadonlyMap<number, Problem> = new Map([
  [5, 'busy'],
  [6, 'busy'],
  [8, 'readonly'],
  [10, 'io'],
  [11, 'corrupt'],
  [13, 'full'],
  [14, 'unopenable'],
  [26, 'foreign'],
])
const BY_NAME: readonly (readonly [RegExp, Problem])[] = [
  [/^SQLITE_(?:BUSY|LOCKED)/, 'busy'],
  [/^SQLITE_READONLY/, 'readonly'],
  [/^SQLITE_IOERR/, 'io'],
  [/^SQLITE_CORRUPT/, 'corrupt'],
  [/^SQLITE_FULL/, 'full'],
  [/^SQLITE_CANTOPEN/, 'unopenable'],
  [/^SQLITE_NOTADB/, 'foreign'],
]

export function problemOf(error: unknown): Problem {
  const { errcode, rawCode, code, message } = (error ?? {}) as Readonly<Record<string, unknown>>
  if (/^no such table\b/.test(String(message))) return 'foreign' // whoever has put it there
  // node:sqlite and libsql give the extended code, better-sqlite3 its name.
  const number = errcode ?? rawCode
  if (typeof number === 'number') return PROBLEMS.get(number & 0xff) ?? 'other'
  const byName = BY_NAME.find(([name]) => name.test(String(code)))
  if (byName !== undefined) return byName[1]
  // libsql tells what keeps it from opening a file at the end of its message alone, behind the path.
  const opening = /^ConnectionFailed\(.*: (\d+)"?\)$/s.exec(String(message))?.[1]
  return opening === undefined ? 'other' : (PROBLEMS.get(Number(opening) & 0xff) ?? 'other')
}
