/**
 * Living with other processes on one file: this one shows that it lives, notices what others commit, and puts back what
 * the dead were running.
 */
import { type Clock, nextTurn, systemClock } from '../clock.js'
import type { StoreHost } from '../local/store.js'
import { extrasOf } from '../record.js'
import type { Database } from './driver.js'
import { ForeignCommits } from './foreign-commits.js'
import type { GroupCommit } from './group-commit.js'
import { isSameAttempt, type SqliteTask } from './rows.js'
import type { TaskTable } from './task-table.js'
import { Workers } from './workers.js'

export interface NeighboursSettings {
  readonly path: string
  /** ms */
  readonly lease: number
  /** The runner's, for the times in records. */
  readonly clock: Clock
  readonly host: StoreHost<SqliteTask>
}

export class Neighbours {
  readonly #table: TaskTable
  readonly #group: GroupCommit
  readonly #running: Map<number, SqliteTask>
  readonly #settings: NeighboursSettings
  readonly #workers: Workers
  #commits: ForeignCommits | undefined
  #timer: unknown
  /** When our counter was last raised. */
  #beatAt = 0
  /** Others have committed, and what they did was not looked at yet. */
  #news = false
  #closed = false

  /** @param running what this process runs, by seq */
  constructor(
    database: Database,
    table: TaskTable,
    group: GroupCommit,
    running: Map<number, SqliteTask>,
    settings: NeighboursSettings,
  ) {
    this.#table = table
    this.#group = group
    this.#running = running
    this.#settings = settings
    this.#workers = new Workers(database, settings.lease)
  }

  /** Under what number this process claims. */
  get worker(): number {
    return this.#workers.id
  }

  async open(): Promise<void> {
    await this.#group.write(() => this.#workers.register())
    this.#table.feed.begin()
    await this.#buryTheDead()
    this.#beatAt = systemClock.monotonic()
    this.#commits = new ForeignCommits(
      this.#settings.path,
      () => this.#look(),
      () => this.#running.size === 0 && this.#group.isIdle,
    )
    this.#sleep()
  }

  // Within the group commit.

  begun(): void {
    this.#commits?.stopWatching()
    if (!this.#table.refresh()) return
    this.#tell()
    // Somebody took us for dead: what is claimed from here on must be claimed by one who lives.
    if (this.#workers.id !== 0 && !this.#workers.isRegistered()) this.#startAnew()
  }

  beforeCommit(): void {
    this.#table.feed.write(this.#workers.id, this.#workers.hasPeers)
  }

  #startAnew(): void {
    this.#workers.register()
    this.#group.after(() => {
      const lost = [...this.#running.values()]
      this.#running.clear()
      this.#settings.host.lost(lost)
    })
  }

  // What others did.

  #look(): void {
    try {
      if (this.#table.refresh()) this.#tell()
    } catch {
      // busy, or worse: whoever works with the file will find out and say so
    }
  }

  /** Others have committed. */
  noticed(): void {
    this.#tell()
  }

  #tell(): void {
    if (this.#news) return
    this.#news = true
    nextTurn(() => {
      this.#news = false
      if (!this.#closed) void this.#catchUp().catch((error: unknown) => this.#fault(error))
    })
  }

  async #catchUp(): Promise<void> {
    const ids = await this.#group.read(() => {
      this.#workers.look()
      return this.#table.feed.news(this.#workers.id)
    })
    const changed = new Set(ids)
    for (const task of [...this.#running.values()]) if (changed.has(task.id)) await this.#checkCancelled(task)
    this.#settings.host.changed(ids)
  }

  async #checkCancelled(task: SqliteTask): Promise<void> {
    const current = await this.#group.read(() => this.#table.bySeq(task.seq))
    if (current === undefined || !isSameAttempt(current, task)) return
    const { cancelRequestedAt, cancelReason, cancelForce } = current.extras ?? {}
    if (cancelRequestedAt === undefined || !this.#running.has(task.seq)) return
    const extras = extrasOf(task)
    if (extras.cancelRequestedAt !== undefined && extras.cancelForce === cancelForce) return
    extras.cancelRequestedAt = cancelRequestedAt
    if (cancelReason !== undefined) extras.cancelReason = cancelReason
    if (cancelForce !== undefined) extras.cancelForce = cancelForce
    this.#settings.host.cancelled(task, {
      ...(cancelReason !== undefined && { reason: cancelReason }),
      ...(cancelForce !== undefined && { force: cancelForce }),
    })
  }

  // Life and death.

  #sleep(): void {
    this.#timer = systemClock.setTimeout(() => void this.#tick(), this.#workers.lookEvery)
    ;(this.#timer as { unref?: () => void }).unref?.()
  }

  async #tick(): Promise<void> {
    try {
      if (systemClock.monotonic() - this.#beatAt >= this.#workers.beatEvery) await this.#beat()
      await this.#buryTheDead()
    } catch (error) {
      this.#fault(error)
    }
    if (!this.#closed) this.#sleep()
  }

  async #beat(): Promise<void> {
    await this.#group.write(() => {
      if (!this.#workers.isRegistered()) return this.#startAnew()
      this.#workers.beat(this.#table.feed.read)
      this.#table.feed.prune()
    })
    this.#beatAt = systemClock.monotonic()
  }

  async #buryTheDead(): Promise<void> {
    const departed = await this.#group.read(() => this.#workers.departed())
    for (const each of departed) {
      const recovered = await this.#group.write(() => this.#workers.bury(each, this.#table, this.#settings.clock.now()))
      for (const { event, record } of recovered ?? []) this.#settings.host.recovered(event, record)
    }
  }

  #fault(error: unknown): void {
    if (!this.#closed) this.#settings.host.fault(error)
  }

  /** Stops looking; what is asked of the group still goes out. @param abandoned handlers of this process still run */
  close(abandoned: boolean): Promise<void> {
    this.#closed = true
    systemClock.clearTimeout(this.#timer)
    this.#commits?.close()
    return this.#group.write(() => this.#workers.leave(abandoned))
  }
}
