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
  /** That this process works on; undefined: it only submits. */
  readonly names: readonly string[] | undefined
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
  /** The number up to which the feed was read. */
  #read = 0
  /** Others have committed, and our next group has still to see who they are now. */
  #changed = true
  /** Others have committed, and the feed has still to be read. */
  #unread = false
  #reading = false
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
    this.#workers = new Workers(database, settings.lease, settings.names)
  }

  /** Whether a process that has the file open works on tasks of this name. */
  knows(name: string): boolean {
    return this.#workers.knows(name)
  }

  /** Under what number this process claims. */
  get worker(): number {
    return this.#workers.id
  }

  async open(): Promise<void> {
    await this.#group.write(() => this.#register())
    this.#read = await this.#group.read(() => this.#table.feed.last())
    await this.#buryTheDead()
    this.#beatAt = systemClock.monotonic()
    this.#commits = new ForeignCommits(
      this.#settings.path,
      () => this.#look(),
      () => this.#running.size === 0 && this.#group.isIdle,
    )
    this.#sleep()
  }

  #register(): void {
    const { id } = this.#workers
    this.#workers.register()
    this.#group.undo(() => {
      this.#workers.id = id
    })
  }

  // Within the group commit.

  begun(): void {
    this.#commits?.stopWatching()
    if (this.#table.refresh()) this.noticed()
    if (!this.#changed || this.#workers.id === 0) return
    // Is there a new one, who must be told what this group does? And has one taken us for dead? What is claimed from here
    // on must be claimed by one who lives.
    this.#workers.look()
    if (!this.#workers.isRegistered()) this.#startAnew()
    this.#group.after(() => {
      this.#changed = false
    })
  }

  beforeCommit(): void {
    this.#table.feed.write(this.#workers.id, this.#workers.hasPeers)
  }

  #startAnew(): void {
    const lost = [...this.#running.values()]
    this.#register()
    this.#group.after(() => {
      for (const task of lost) if (this.#running.get(task.seq) === task) this.#running.delete(task.seq)
      this.#settings.host.lost(lost)
      // While we had no row nothing was written for us.
      this.#settings.host.changed('any')
      this.#settings.host.rescheduled?.()
    })
  }

  // What others did.

  #look(): boolean {
    try {
      const news = this.#table.refresh()
      if (news) this.noticed()
      return news
    } catch {
      return false // busy, or worse: whoever works with the file will find out and say so
    }
  }

  /** Others have committed. */
  noticed(): void {
    this.#changed = true
    this.#unread = true
    if (this.#reading) return
    this.#reading = true
    nextTurn(() => void this.#catchUp())
  }

  /** Reads the feed, some of it in a turn of the event loop. */
  async #catchUp(): Promise<void> {
    try {
      while (this.#unread && !this.#closed) {
        this.#unread = false
        this.#unread = (await this.#readSome()) || this.#unread
        await new Promise<void>(nextTurn)
      }
    } catch (error) {
      this.#unread = true // until the next look
      this.#fault(error)
    } finally {
      this.#reading = false
    }
  }

  /** Says whether there is more. */
  async #readSome(): Promise<boolean> {
    const { news, running } = await this.#group.read(() => {
      const news = this.#table.feed.news(this.#read, this.#workers.id)
      const touched = [...this.#running.values()].filter(({ id }) => news.ids.has(id))
      return { news, running: touched.map((task) => ({ task, current: this.#table.bySeq(task.seq) })) }
    })
    this.#read = news.upTo
    for (const { task, current } of running) this.#passOnCancel(task, current)
    this.#settings.host.changed([...news.ids])
    if (news.schedules) this.#settings.host.rescheduled?.()
    return news.more
  }

  /** @param current the task as the file has it */
  #passOnCancel(task: SqliteTask, current: SqliteTask | undefined): void {
    if (current === undefined || !isSameAttempt(current, task) || this.#running.get(task.seq) !== task) return
    const { cancelRequestedAt, cancelReason, cancelForce } = current.extras ?? {}
    if (cancelRequestedAt === undefined) return
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
      if (this.#unread) this.noticed()
      if (systemClock.monotonic() - this.#beatAt >= this.#workers.beatEvery) await this.#beat()
      await this.#buryTheDead()
    } catch (error) {
      this.#fault(error)
    }
    if (!this.#closed) this.#sleep()
  }

  async #beat(): Promise<void> {
    // Where our row is gone, the group has begun with another one.
    await this.#group.write(() => this.#workers.beat(this.#read))
    this.#beatAt = systemClock.monotonic()
    while (await this.#group.write(() => this.#table.feed.prune()));
  }

  async #buryTheDead(): Promise<void> {
    const departed = await this.#group.read(() => this.#workers.departed())
    for (const each of departed) {
      const recovered = await this.#group.write(() => this.#workers.bury(each, this.#table, this.#settings.clock.now()))
      for (const { event, record } of recovered) this.#settings.host.recovered(event, record)
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
    return this.#group.write(() => {
      if (abandoned) this.#workers.abandon()
      else this.#workers.leave(this.#table, this.#settings.clock.now())
    })
  }
}
