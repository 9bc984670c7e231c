/** Opens the file, and makes it where there is none. */
import { open } from 'node:fs/promises'
import { systemClock } from '../clock.js'
import { EngineError } from '../errors.js'
import { type Database, loadDriver, problemOf } from './driver.js'
import { asEngineError } from './group-commit.js'
import { migrate } from './schema.js'

/**
 * `process`: what is acknowledged survives any end of a process (WAL, synchronous=NORMAL). `power`: a power cut too
 * (FULL: each commit waits for the disk).
 */
export type Durability = 'process' | 'power'

/** ms for which another process may keep us from opening the file. */
const PATIENCE = 10_000
const PAUSE = 10

/** @throws {EngineError} {MissingDependencyError} */
export async function openFile(path: string, durability: Durability): Promise<Database> {
  const openDatabase = await loadDriver()
  await create(path)
  let database: Database | undefined
  for (const since = systemClock.monotonic(); ; ) {
    try {
      database ??= openDatabase(path)
      prepare(database, path, durability)
      return database
    } catch (error) {
      if (problemOf(error) !== 'busy' || systemClock.monotonic() - since > PATIENCE) {
        database?.close()
        throw asEngineError(error, path)
      }
    }
    await new Promise<void>((resolve) => void systemClock.setTimeout(resolve, PAUSE))
  }
}

function prepare(database: Database, path: string, durability: Durability): void {
  database.exec('PRAGMA busy_timeout = 0')
  // Nothing of a foreign file is changed, its journal mode neither: it is looked at first.
  inTransaction(database, () => migrate(database, path))
  database.exec('PRAGMA journal_mode = WAL')
  database.exec(`PRAGMA synchronous = ${durability === 'power' ? 'FULL' : 'NORMAL'}`)
  database.exec('PRAGMA trusted_schema = OFF')
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

/** Makes the file, readable by its owner alone; SQLite gives its -wal and -shm the same mode. */
async function create(path: string): Promise<void> {
  try {
    const file = await open(path, 'ax', 0o600)
    await file.close()
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (code === 'EEXIST') return
    const why = code === 'ENOENT' ? 'its folder does not exist' : message
    throw new EngineError(`${path} cannot be made: ${why}`, { cause: error })
  }
}
