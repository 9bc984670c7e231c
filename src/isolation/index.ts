/**
 * Handlers in worker threads and child processes: loaded by executor.ts when a definition asks for it, and no sub-path.
 *
 * pool.ts has the workers of one definition, seat.ts is one of them, worker.ts is what runs inside of it.
 */
import Module, { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { BackgroundRunnerError, MissingDependencyError } from '../errors.js'
import type { Executor } from '../executor.js'
import { existing } from '../module-file.js'
import type { Isolation } from '../task.js'
import { Pool } from './pool.js'

/** This file; the CommonJS build knows its place by another name. */
const HERE: string = import.meta.url === undefined ? __filename : fileURLToPath(import.meta.url)
const { resolve } = createRequire(HERE)

/** @throws {MissingDependencyError} tinypool is not installed */
export async function openPool(isolation: Isolation): Promise<Executor> {
  const { Tinypool } = loadTinypool()
  return new Pool(isolation, (options) => new Tinypool(options), workerFile())
}

/** By Node's own loader: that of Jest reads no ESM, and where a bundler took it in it would not find its own files. */
function loadTinypool(): typeof import('tinypool') {
  try {
    return new Module(HERE).require(resolve('tinypool'))
  } catch (cause) {
    throw new MissingDependencyError('tinypool', 'a task with isolation', { cause })
  }
}

/** The file that a worker begins with: beside this one, or in the installed package where this one was bundled. */
function workerFile(): string {
  if (/[\\/]isolation[\\/]index\.\w+$/.test(HERE))
    return fileURLToPath(existing(pathToFileURL(join(HERE, '../worker.js')).href))
  try {
    return join(dirname(resolve('background-runner/package.json')), 'dist/isolation/worker.js')
  } catch (cause) {
    throw new BackgroundRunnerError(
      'WORKER_NOT_FOUND',
      "background-runner was bundled, and its worker is a file: leave it out of the bundle (external: ['background-runner']), or install it as well",
      { cause },
    )
  }
}
