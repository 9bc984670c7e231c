/**
 * Handlers in worker threads and child processes: loaded by executor.ts when a definition asks for it, and no sub-path.
 *
 * pool.ts has the workers of one definition, seat.ts is one of them, worker.ts is what runs inside of it.
 */
import { existsSync } from 'node:fs'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { BackgroundRunnerError, MissingDependencyError } from '../errors.js'
import type { Executor } from '../executor.js'
import { existing } from '../module-file.js'
import type { Isolation } from '../task.js'
import { Pool } from './pool.js'

/** @throws {MissingDependencyError} tinypool is not installed */
export async function openPool(isolation: Isolation): Promise<Executor> {
  const { Tinypool } = await loadTinypool()
  return new Pool(isolation, (options) => new Tinypool(options), workerFile())
}

async function loadTinypool(): Promise<typeof import('tinypool')> {
  try {
    return await import('tinypool')
  } catch (cause) {
    throw new MissingDependencyError('tinypool', 'a task with isolation', { cause })
  }
}

/** The file that a worker begins with. */
function workerFile(): string {
  // The CommonJS build knows its place by another name.
  const here = import.meta.url ?? pathToFileURL(__filename).href
  const file = fileURLToPath(existing(new URL('./worker.js', here).href))
  if (existsSync(file)) return file
  throw new BackgroundRunnerError(
    'WORKER_NOT_FOUND',
    `${file} is not there: background-runner was bundled; leave it out of the bundle (external: ['background-runner'])`,
  )
}
