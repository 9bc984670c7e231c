/**
 * Tasks as BullMQ's jobs: the store behind `bullmq()`.
 *
 * A task is a job of the queue of its name, and moves by BullMQ's own scripts, within ours (lua.ts). Here is what the engine
 * asks for, and how the parts that answer hang together.
 */
import { type Alarm, after, nextTurn } from '../clock.js'
import type {
  CancelRequest,
  Capabilities,
  ListPage,
  ListQuery,
  NewTask,
  Outcome,
  RetentionPolicy,
  TaskCounts,
  TaskEvent,
} from '../engine.js'
import type { Reason } from '../explanation.js'
import type { Json } from '../json.js'
import type {
  Admission,
  Cancelled,
  Inserted,
  Outlook,
  Pruned,
  SettledWithHold,
  Store,
  StoreSettings,
} from '../local/store.js'
import type { Hold, TaskRecord } from '../record.js'
import type { ScheduleRecord } from '../schedule.js'
import { Attempts } from './attempts.js'
import { Followers } from './followers.js'
import { type BullTask, idOf } from './job.js'
import { Locks } from './locks.js'
import { Lookout } from './lookout.js'
import { News } from './news.js'
import { Schedules } from './schedules.js'
import { Submissions } from './submissions.js'
import { Verbs } from './verbs.js'
import { type BullSettings, World } from './world.js'

/** So many finished tasks are removed in one script. */
const STEP = 500
/** A process that closes waits this long until what it gives up on is marked, ms. */
const FAREWELL = 1_000

export class BullStore implements Store<BullTask> {
  readonly name = 'bullmq'
  readonly capabilities: Capabilities = {
    durable: true,
    shared: true,
    feed: 'all',
    limits: 'process',
    quotas: false,
    schedules: true,
  }
  readonly #world: World
  readonly #followers: Followers
  readonly #locks: Locks
  readonly #lookout: Lookout
  readonly #news: News
  readonly #submissions: Submissions
  readonly #attempts: Attempts
  readonly #verbs: Verbs
  readonly #schedules: Schedules
  /** One after the other: what the one has put back, and was begun again, the other would put back once more. */
  #handingBack: Promise<void> = Promise.resolve()

  constructor(settings: BullSettings) {
    const world = new World(settings)
    this.#world = world
    this.#followers = new Followers(world)
    this.#locks = new Locks(world, this.#followers)
    this.#lookout = new Lookout(world)
    this.#news = new News(world, this.#locks)
    this.#submissions = new Submissions(world, this.#followers)
    this.#attempts = new Attempts(world, this.#followers, this.#locks, this.#lookout)
    this.#verbs = new Verbs(world, this.#followers)
    this.#schedules = new Schedules(world, this.#submissions)
  }

  async open({ clock, maxPending, names, work, host }: StoreSettings<BullTask>): Promise<void> {
    const world = this.#world
    Object.assign(world, { clock, host, names, works: work })
    this.#submissions.open(maxPending)
    await world.backend.open(clock, {
      heard: (channel, message) => this.#news.heard(channel, message),
      back: () => {
        if (world.closing) return
        host.changed('any')
        this.#handingBack = this.#handingBack.then(() => world.guard(() => this.#attempts.handBackUnknown()))
      },
      fault: (error) => host.fault(error),
    })
    await this.#news.open()
    if (work) await this.#locks.bury()
  }

  // Submitting.

  insert(tasks: readonly NewTask[], now: number): Promise<readonly Inserted<BullTask>[]> {
    return this.#submissions.insert(tasks, now)
  }

  putSchedule(schedule: ScheduleRecord): Promise<void> {
    return this.#schedules.put(schedule)
  }

  removeSchedule(id: string): Promise<boolean> {
    return this.#schedules.remove(id)
  }

  schedules(): Promise<readonly ScheduleRecord[]> {
    return this.#schedules.all()
  }

  fireSchedule(
    schedule: ScheduleRecord,
    following: number,
    task: NewTask | undefined,
    now: number,
  ): Promise<readonly Inserted<BullTask>[] | undefined> {
    return this.#schedules.fire(schedule, following, task, now)
  }

  // Working.

  claim(admission: Admission, now: number): Promise<BullTask | undefined> {
    return this.#attempts.claim(admission, now)
  }

  settle(task: BullTask, outcome: Outcome, now: number): Promise<TaskEvent | SettledWithHold | undefined> {
    return this.#attempts.settle(task, outcome, now)
  }

  progress(task: BullTask, value: Json): Promise<void> {
    return this.#attempts.progress(task, value)
  }

  save(task: BullTask, value: Json): Promise<void> {
    return this.#attempts.save(task, value)
  }

  // Asking, and steering.

  find(id: string): Promise<BullTask | undefined> {
    return this.#verbs.find(id)
  }

  list(query: ListQuery): Promise<ListPage> {
    return this.#verbs.list(query)
  }

  explain(task: BullTask): Promise<Reason[]> {
    return this.#verbs.explain(task)
  }

  holds(): Promise<readonly Hold[]> {
    return this.#verbs.holds()
  }

  cancel(id: string, request: CancelRequest, now: number): Promise<Cancelled> {
    return this.#verbs.cancel(id, request, now)
  }

  retry(id: string, runAt: number, now: number): Promise<TaskRecord> {
    return this.#verbs.retry(id, runAt, now)
  }

  setPriority(id: string, priority: number): Promise<TaskRecord> {
    return this.#verbs.setPriority(id, priority)
  }

  remove(id: string): Promise<boolean> {
    return this.#verbs.remove(id)
  }

  pause(paused: boolean): Promise<void> {
    return this.#verbs.pause(paused)
  }

  watched(on: boolean): void {
    this.#news.watched(on)
  }

  // Keeping house.

  async counts(): Promise<TaskCounts> {
    // What was asked before is done before: it goes in several steps, and over several connections.
    while (this.#world.asked.size > 0) {
      await Promise.allSettled(this.#world.asked)
      await new Promise<void>(nextTurn)
    }
    const sums = (await this.#world.backend.verbs('counts', this.#world.clock.now(), {})) as number[]
    const [queued = 0, scheduled = 0, running = 0, succeeded = 0, failed = 0, cancelled = 0] = sums
    // Others have brought work: whoever waits for its end has to be told of that.
    if (this.#world.isIdle && queued + scheduled + running > 0) {
      this.#world.idleAt = -1
      nextTurn(() => this.#world.host.changed([]))
    }
    return { queued, scheduled, running, succeeded, failed, cancelled }
  }

  async prune({ succeeded, failed, cancelled, count }: RetentionPolicy, now: number): Promise<Pruned> {
    const gone = (await this.#world.backend.work('prune', now, {
      succeeded: now - succeeded,
      failed: Math.floor(now - failed),
      cancelled: now - cancelled,
      count,
      most: STEP,
    })) as string[]
    return { ids: gone.map(idOf), more: gone.length > 0 }
  }

  async outlook(now: number): Promise<Outlook> {
    const queues = this.#world.names.map((name) => this.#world.queue(name))
    const brought = this.#world.brought
    const [ready, next, busy, more, telling, followed] = (await this.#world.backend.work('outlook', now, {
      queues,
    })) as [number, number | '', number, number, number, number?]
    if (busy === 3 || followed === 1 || this.#world.running.size > 0) this.#locks.beats()
    if (telling > 0) void this.#followers.tell()
    // What a submit has brought may have ended before the submit is answered.
    if (busy === 0 && this.#world.asked.size > 0) await Promise.allSettled(this.#world.asked)
    const isIdle = busy === 0 && telling === 0 && !this.#followers.isTelling
    this.#world.idleAt = isIdle ? brought : -1
    const { declinedUntil } = this.#attempts
    const isDeclined = declinedUntil > now
    if (ready === 0) this.#lookout.lookOut()
    else this.#lookout.expectClaim()
    return {
      ready: isDeclined ? 0 : ready,
      nextDue: isDeclined
        ? Math.min(declinedUntil, next === '' ? Number.POSITIVE_INFINITY : next)
        : next === ''
          ? undefined
          : next,
      idle: this.#world.isIdle,
      more: more === 1,
    }
  }

  async close(abandoned: readonly BullTask[]): Promise<void> {
    const { backend, clock } = this.#world
    this.#world.closing = true
    this.#locks.close()
    this.#news.close()
    if (abandoned.length > 0) {
      const jobs = abandoned.map(({ queue, job }) => [queue, job])
      let alarm: Alarm | undefined
      const late = new Promise<void>((resolve) => {
        alarm = after(clock, FAREWELL, resolve)
      })
      const told = backend.verbs('leave', clock.now(), { jobs }).catch(() => {}) // a death will be counted
      await Promise.race([told, late])
      alarm?.cancel()
    }
    backend.close()
  }
}
