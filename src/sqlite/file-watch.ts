/**
 * Notices that the file is no longer the one that was opened: removed, replaced, emptied, overwritten. SQLite would go on
 * as if nothing had happened, with what it holds open and remembers, and all that it acknowledged would be gone with this
 * process.
 *
 * The file is never opened by anything but SQLite: on POSIX, whoever closes a file lets go of all locks that his process
 * holds on it. So its identity is asked of the file system, and its contents of a connection that remembers nothing.
 */
import { type BigIntStats, statSync } from 'node:fs'
import { systemClock } from '../clock.js'
import { type Open, problemOf } from './driver.js'
import { asEngineError, UnusableFileError } from './fault.js'

/** ms between two looks at least: one costs about 0.1 ms. */
const EVERY = 250
/** What holds the tasks; the latter two may come later than the first. */
const PARTS = ['', '-wal', '-shm']
/** No SQLite database is smaller, bytes. */
const SMALLEST = 512
/** Both ends of the tasks, and the first page of all else. */
const GLANCE = `SELECT min(seq), max(seq) FROM tasks;${[
  'meta',
  'names',
  'workers',
  'feed',
  'inputs',
  'tags',
  'counts',
  'holds',
]
  .map((table) => `SELECT * FROM ${table} LIMIT 1;`)
  .join('')}`

export class FileWatch {
  readonly #path: string
  readonly #open: Open
  /** Part → device and inode. */
  readonly #known: Map<string, string> = new Map()
  #lookedAt = Number.NEGATIVE_INFINITY

  /** @param path of a file that is open */
  constructor(path: string, open: Open) {
    this.#path = path
    this.#open = open
    this.check()
  }

  /** To be called often. @throws {UnusableFileError} */
  check(): void {
    const now = systemClock.monotonic()
    if (now - this.#lookedAt < EVERY) return
    this.#lookedAt = now
    for (const part of PARTS) this.#checkIdentity(part)
    this.#checkContents()
  }

  #checkIdentity(part: string): void {
    const path = `${this.#path}${part}`
    let stats: BigIntStats | undefined
    try {
      stats = statSync(path, { bigint: true, throwIfNoEntry: false })
    } catch {
      return // nothing is known of it
    }
    const known = this.#known.get(part)
    if (stats === undefined) {
      if (known !== undefined) throw gone(path, 'was removed')
      return
    }
    const identity = `${stats.dev} ${stats.ino}`
    if (known === undefined) this.#known.set(part, identity)
    else if (known !== identity) throw gone(path, 'was replaced by another file')
    if (part === '' && stats.size < SMALLEST) throw gone(path, 'was emptied')
  }

  /** What would a process see that opens it now? */
  #checkContents(): void {
    try {
      const database = this.#open(this.#path)
      try {
        database.exec(GLANCE)
      } finally {
        database.close()
      }
    } catch (error) {
      const problem = problemOf(error)
      if (problem === 'corrupt') throw asEngineError(error, this.#path)
      if (problem === 'foreign') throw gone(this.#path, 'was overwritten')
      // Busy, or too many files are open: whoever needs it will find out and say so.
    }
  }
}

function gone(path: string, what: string): UnusableFileError {
  return new UnusableFileError(
    `${path} ${what} while it was in use, and what stood in it is gone; put a backup in its place if there is one, and start again`,
  )
}
