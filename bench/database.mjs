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
