/**
 * Checkpoints: what stands in the -wal file is copied into the database, so that the former can begin anew.
 *
 * SQLite would do it within whatever commit comes to 1 000 pages, and hold that one's answer for it. Here it is done
 * between two groups. It is passive: it waits for nobody, and what another process still reads it leaves to the next.
 *
 * Most of its time SQLite waits until the -wal file is on the disk, which has to be before the database is touched. So
 * that is asked of the system first, off the event loop; what was committed meanwhile is little.
 */
import { open } from 'node:fs/promises'
import type { Database, Statement } from './driver.js'

/** Pages in the -wal file at which a checkpoint is worth it, as SQLite itself finds. */
const PAGES = 1_000
/** Pages at which it is time that the file begins anew. */
const MANY_PAGES = 4 * PAGES
/** Bytes to which the -wal file is cut when it begins anew: while somebody reads for long it may grow past all measure. */
const LARGEST = 16 * 1_048_576
/** How many commits that may be is learnt from the checkpoint before. */
const FEWEST_COMMITS = 8
const MOST_COMMITS = 1_000

export class Checkpoints {
  readonly #checkpoint: Statement
  readonly #truncate: Statement
  readonly #restart: Statement
  #commits = 0
  #pages = 0
  #wanted = 50
  readonly #path: string
  #isSyncing = false
  #isClosed = false

  /** @param path of the database */
  constructor(database: Database, path: string) {
    this.#path = path
    database.exec('PRAGMA wal_autocheckpoint = 0')
    database.exec(`PRAGMA journal_size_limit = ${LARGEST}`)
    this.#checkpoint = database.prepare('PRAGMA wal_checkpoint(PASSIVE)')
    this.#truncate = database.prepare('PRAGMA wal_checkpoint(TRUNCATE)')
    this.#restart = database.prepare('PRAGMA wal_checkpoint(RESTART)')
  }

  /** To be called after each commit. */
  committed(): void {
    if (++this.#commits < this.#wanted || this.#isSyncing) return
    this.#isSyncing = true
    void this.#sync().then(() => {
      this.#isSyncing = false
      if (!this.#isClosed) this.#copy()
    })
  }

  /** Never rejects: where it cannot be done, SQLite does it. */
  async #sync(): Promise<void> {
    try {
      // To close it lets go of no lock: SQLite has none on this file.
      const file = await open(`${this.#path}-wal`)
      await file.datasync().finally(() => file.close())
    } catch {
      // Windows wants to write what it syncs
    }
  }

  #copy(): void {
    try {
      // Where several processes write all the time, there is always one that has written since: they are kept from it.
      const checkpoint = this.#pages > MANY_PAGES ? this.#restart : this.#checkpoint
      this.#pages = Number(checkpoint.get()?.['log'])
      const wanted = Math.round((this.#commits * PAGES) / this.#pages)
      this.#wanted = Math.min(Math.max(wanted, FEWEST_COMMITS), MOST_COMMITS)
    } catch {
      // busy, or the disk is full: the next one may do
    }
    this.#commits = 0
  }

  /** All of it, if nobody else reads or writes just now. */
  all(): void {
    try {
      this.#truncate.get()
    } catch {
      // somebody does: whoever closes last will do it
    }
  }

  /** The database is about to be. */
  close(): void {
    this.#isClosed = true
  }
}
