/** Opens the file, and makes it where there is none. */
import { existsSync, statSync } from 'node:fs'
import { open, realpath } from 'node:fs/promises'
import { pathToFileURL } from 'node:url'
import { systemClock } from '../clock.js'
import { EngineError } from '../errors.js'
import { type Database, loadDriver, type Open, problemOf } from './driver.js'
import { asEngineError } from './fault.js'
import { FileWatch } from './file-watch.js'
import { migrate, refuseForeign } from './schema.js'

/**
 * `process`: what is acknowledged survives any end of a process (WAL, synchronous=NORMAL). `power`: a power cut too
 * (FULL: each commit waits for the disk).
 */
export type Durability = 'process' | 'power'

/** ms for which another process may keep us from opening the file. */
const PATIENCE = 10_000
const PAUSE = 10

export interface OpenFile {
  /** Where it really stands: SQLite puts the -wal file there, not beside a symbolic link. */
  readonly path: string
  readonly database: Database
  readonly watch: FileWatch
}

/** @throws {EngineError} {MissingDependencyError} */
export async function openFile(name: string, durability: Durability): Promise<OpenFile> {
  const openDatabase = await loadDriver()
  await create(name)
  const path = await follow(name)
  for (const since = systemClock.monotonic(); ; ) {
    let database: Database | undefined
    try {
      lookFirst(path, openDatabase)
      database = openDatabase(path)
      prepare(database, path, durability)
      return { path, database, watch: new FileWatch(path, openDatabase) }
    } catch (error) {
      database?.close()
      if (problemOf(error) !== 'busy' || systemClock.monotonic() - since > PATIENCE) throw asEngineError(error, path)
    }
    await new Promise<void>((resolve) => void systemClock.setTimeout(resolve, PAUSE))
  }
}

/** Makes the file, readable by its owner alone; SQLite gives its -wal and -shm the same mode. */
async function create(path: string): Promise<void> {
  try {
    const file = await open(path, 'ax', 0o600)
    await file.close()
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (code === 'EEXIST') return
    const why =
      code === 'ENOENT'
        ? 'its folder does not exist; make it first'
        : code === 'EACCES' || code === 'EROFS' || code === 'EPERM'
          ? 'its folder cannot be written; let this user write it, or choose another path'
          : message
    throw new EngineError(`${path} cannot be made: ${why}`, { cause: error })
  }
}

async function follow(path: string): Promise<string> {
  try {
    return await realpath(path)
  } catch (error) {
    throw new EngineError(`${path} cannot be made: it is a link to a file that is not there`, { cause: error })
  }
}

/**
 * Looks at the file without a trace: not a lock, no -wal; opened as usual, a -wal that another application has left
 * behind would be written into its database.
 *
 * @throws {EngineError} it is a foreign one
 */
function lookFirst(path: string, openDatabase: Open): void {
  // What is interrupted has to be mended first, and looked at then.
  if (statSync(path).size === 0 || existsSync(`${path}-journal`)) return
  let database: Database
  try {
    database = openDatabase(`${pathToFileURL(path).href}?immutable=1`)
  } catch {
    return // better-sqlite3 knows no such paths; and what is wrong with the file, the next one will find out
  }
  try {
    refuseForeign(database, path, existsSync(`${path}-wal`))
  } catch (error) {
    // Without locks it may be read while others write it, and then look damaged: whether it is, the next one will find out.
    if (error instanceof EngineError) throw error
  } finally {
    database.close()
  }
}

function prepare(database: Database, path: string, durability: Durability): void {
  database.exec('PRAGMA busy_timeout = 0')
  // Nothing of a foreign file is changed, its journal mode neither: it is looked at first.
  inTransaction(database, () => migrate(database, path))
  const mode = database.prepare('PRAGMA journal_mode = WAL').get()?.['journal_mode']
  if (mode !== 'wal')
    throw new EngineError(`${path}: its file system is not fit for SQLite's -wal file; choose a path on a local disk`)
  database.exec(`PRAGMA synchronous = ${durability === 'power' ? 'FULL' : 'NORMAL'}`)
  database.exec('PRAGMA trusted_schema = OFF')
  database.exec('SELECT * FROM meta') // from here on there is a -wal
}

function inTransaction(database: Database, work: () => void): void {
  database.exec('BEGIN IMMEDIATE')
  try {
    work()
    database.exec('COMMIT')
  } catch (error) {
    try {
      database.exec('ROLLBACK')
    } catch {
      // SQLite has rolled it back
    }
    throw error
  }
}
