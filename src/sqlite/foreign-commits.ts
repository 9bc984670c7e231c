/**
 * Notices that another process has committed.
 *
 * While this one works, it asks SQLite every 30 ms (`PRAGMA data_version`, a µs). While it is idle it watches the -wal
 * file, with that question as the net: a timer of 30 ms alone would cost an idle process most of a percent of a core.
 * While others write all the time, being woken by each commit would cost it a fifth of one: then it asks, too.
 * Real time, whatever clock the runner has: other processes have no part in a test's clock.
 */
import { type FSWatcher, watch } from 'node:fs'
import { systemClock } from '../clock.js'

/** ms between two looks while this process works, or where a file cannot be watched. */
const CLOSE_LOOK = 30
/** ms between two looks while the file is watched. */
const WIDE_LOOK = 250

export class ForeignCommits {
  readonly #path: string
  readonly #look: () => boolean
  readonly #isIdle: () => boolean
  #watcher: FSWatcher | undefined
  #unwatchable = false
  #timer: unknown
  #closed = false

  /** @param look asks whether another connection has written, and says so */
  constructor(path: string, look: () => boolean, isIdle: () => boolean) {
    this.#path = path
    this.#look = look
    this.#isIdle = isIdle
    this.#sleep()
  }

  #sleep(): void {
    systemClock.clearTimeout(this.#timer)
    const ms = this.#watcher === undefined ? CLOSE_LOOK : WIDE_LOOK
    this.#timer = systemClock.setTimeout(this.#tick, ms)
    ;(this.#timer as { unref?: () => void }).unref?.()
  }

  #tick: () => void = () => {
    if (this.#closed) return
    // Our own commits touch the file too: it is watched only while there are none.
    if (this.#isIdle()) this.#watch()
    else this.stopWatching()
    if (this.#look()) this.stopWatching()
    this.#sleep()
  }

  #watch(): void {
    if (this.#watcher !== undefined || this.#unwatchable) return
    try {
      const watcher = watch(`${this.#path}-wal`, { persistent: false }, () => {
        if (this.#watcher !== watcher) return
        // The file is written before the commit can be seen: one look now, and one a little later.
        this.#look()
        this.stopWatching()
      })
      watcher.on('error', () => {
        this.#unwatchable = true
        this.stopWatching()
      })
      this.#watcher = watcher
    } catch {
      this.#unwatchable = true
    }
  }

  /** Looks closely instead: this process begins to write, or others do. */
  stopWatching(): void {
    if (this.#watcher === undefined) return
    this.#watcher.close()
    this.#watcher = undefined
    this.#sleep() // what was the net is all there is now
  }

  close(): void {
    this.#closed = true
    this.stopWatching()
    systemClock.clearTimeout(this.#timer)
  }
}
