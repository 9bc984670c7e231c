/** SQLite files that are measured on: made beside the benchmarks, on their disk, and removed again. */
import { mkdtemp, rm } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { library } from './library.mjs'

/** A folder for temporary files may be in memory, where a disk costs nothing. */
const FOLDER = fileURLToPath(new URL('./node_modules/.files-', import.meta.url))

/** What SQLite calls the two durabilities. */
export const SYNCHRONOUS = { process: 'NORMAL', power: 'FULL' }

/** What an adapter keeps. @param own the one that it has, or those that it can be asked for @param asked one of them */
export function durabilityOf(own, asked) {
  return Array.isArray(own) ? asked : own
}

/** Calls `measure` with the path of a file that is not there yet, in a folder of its own. */
export async function withFile(measure) {
  const folder = await mkdtemp(FOLDER)
  try {
    return await measure(join(folder, 'tasks.db'))
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** Opens a file with the driver that the library takes on this Node, the very same files of it. */
export async function openDatabase(path) {
  const builtIn = process.getBuiltinModule?.('node:sqlite')
  if (builtIn !== undefined) return new builtIn.DatabaseSync(path)
  const { default: Database } = await import(pathToFileURL(createRequire(library).resolve('libsql')).href)
  return new Database(path)
}

/** Which driver this process has loaded; where it is none of those that are installed, it is Node's own. */
export function driverInUse() {
  process.report.excludeNetwork = true
  const { sharedObjects } = process.report.getReport()
  const loaded = ['better-sqlite3', 'libsql'].filter((name) =>
    sharedObjects.some((file) => file.includes(`/${name}`) || file.includes(`/@${name}/`)),
  )
  return loaded.join(' and ') || 'node:sqlite'
}

const STATES = { queued: 0, succeeded: 3 }

/**
 * Puts tasks into a file, half of them ended, half waiting: by SQL, since it is the file that is of interest; by the
 * library it would take a minute.
 */
export async function fill(path, rows) {
  const library = await import('./adapters/background-runner-sqlite.mjs')
  const maker = await library.createRunner({ path, work: false })
  await maker.submit({ standing: true }, { priority: -1 })
  await maker.close()
  const database = await openDatabase(path)
  const [now, half] = [Date.now(), rows / 2]
  database.exec(`
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = OFF;
    PRAGMA cache_size = -400000;
    BEGIN;
    WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ${rows})
    INSERT INTO tasks (id, name, state, priority, run_at, attempt, max_attempts, created_at, started_at, finished_at, input)
    SELECT substr(hex(randomblob(16)), 1, 22), 1, iif(n % 2 = 0, ${STATES.succeeded}, ${STATES.queued}), -1, ${now},
      iif(n % 2 = 0, 1, 0), 3, ${now}, iif(n % 2 = 0, ${now}, 0), iif(n % 2 = 0, ${now}, 0), '{"standing":true}'
    FROM numbers;
    INSERT INTO counts (name, state, n) VALUES (1, ${STATES.succeeded}, ${half}), (1, ${STATES.queued}, ${half})
      ON CONFLICT DO UPDATE SET n = n + excluded.n;
    COMMIT;
    PRAGMA wal_checkpoint(TRUNCATE);
  `)
  database.close()
}
