/**
 * The locks of what runs: this process keeps its own, three times a lease, and looks for those of workers that are gone.
 * Who holds a lock is told through it that its task shall stop.
 */
import { type Alarm, after } from '../clock.js'
import { extrasOf, type TaskExtras, toRecord } from '../record.js'
import type { Followers } from './followers.js'
import { type BullTask, cancelText, endOf, idOf, nowText } from './job.js'
import type { World } from './world.js'

/** What was asked to stop is remembered for so many ms: the answer that it runs here may be on its way. */
const EARLY = 1_000

export class Locks {
  readonly #world: World
  readonly #followers: Followers
  /** What was asked to stop before the answer was here that it runs here. */
  readonly #early: Set<string> = new Set()
  #beat: Alarm | undefined
  /** The renewal that is under way. */
  #keeping: { readonly tasks: readonly BullTask[]; readonly since: number } | undefined

  constructor(world: World, followers: Followers) {
    this.#world = world
    this.#followers = followers
  }

  /** It was claimed, and runs here from now on. */
  taken(task: BullTask): void {
    const before = this.#world.running.get(task.job)
    if (before !== undefined) this.lose([before]) // and has come back to the same process
    this.beats()
    this.#world.running.set(task.job, task)
    if (this.#early.delete(task.job)) void this.#world.guard(() => this.#renew([task]))
  }

  /** While anything runs, here or elsewhere, or comes after others, it is kept, or looked after, three times a lease. */
  beats(): void {
    if (this.#beat !== undefined || this.#world.closing || !this.#world.works) return
    this.#beat = after(
      this.#world.clock,
      Math.ceil(this.#world.lease / 3),
      () => {
        this.#beat = undefined
        this.#keep()
        this.#world.guard(() => this.bury())
        this.#world.host.changed([]) // which goes on with it, if anything still runs
      },
      'background',
    )
  }

  /** Keeps the locks of what runs here. Redis does not answer for a whole lease: they are not held any more. */
  #keep(): void {
    const { lease } = this.#world
    if (this.#keeping !== undefined) {
      const { tasks, since } = this.#keeping
      if (this.#world.clock.monotonic() - since >= lease)
        this.lose(tasks.filter((task) => this.#world.running.get(task.job) === task))
    } else if (this.#world.running.size > 0) {
      this.#keeping = { tasks: [...this.#world.running.values()], since: this.#world.clock.monotonic() }
      this.#world
        .guard(() => this.#renew(this.#keeping?.tasks ?? []))
        .finally(() => {
          this.#keeping = undefined
        })
    }
  }

  async #renew(tasks: readonly BullTask[]): Promise<void> {
    const jobs = tasks.map(({ queue, job }) => [queue, job])
    const answers = (await this.#world.backend.work('renew', this.#world.clock.now(), {
      jobs,
      lock: this.#world.lease,
    })) as [number, string][]
    for (const [i, [held, cancel]] of answers.entries()) {
      const task = tasks[i] as BullTask
      if (this.#world.running.get(task.job) !== task) continue
      if (held === 0) this.lose([task])
      else if (cancel !== '' && cancel !== task.cancel) {
        task.cancel = cancel
        const asked = JSON.parse(cancel) as TaskExtras
        Object.assign(extrasOf(task), asked)
        const { cancelReason: reason, cancelForce: force } = asked
        this.#world.host.cancelled(task, { ...(reason !== undefined && { reason }), ...(force && { force }) })
      }
    }
  }

  /** Another worker has them by now, or may have. */
  lose(tasks: readonly BullTask[]): void {
    if (tasks.length === 0) return
    for (const { job } of tasks) this.#world.running.delete(job)
    this.#world.host.lost(tasks)
  }

  /** Puts back what workers that are gone were running, and tells of what other tools have removed. */
  async bury(): Promise<void> {
    const now = this.#world.clock.now()
    const jobs = (await this.#world.backend.work('bury', now, { interval: Math.ceil(this.#world.lease / 5) })) as [
      string,
      string,
    ][]
    const tasks = await this.#world.read(jobs)
    const there = new Set(tasks.map(({ job }) => job))
    const gone = jobs.filter(([, job]) => !there.has(job))
    if (gone.length > 0) this.#world.host.changed(gone.map(([, job]) => idOf(job)))
    for (const task of tasks) {
      const end = endOf(task)
      if (end === undefined) this.#world.host.recovered('stalled', toRecord(task))
      else await this.#endDead(task, end, now)
    }
  }

  async #endDead(task: BullTask, end: 'failed' | 'cancelled', now: number): Promise<void> {
    const { queue, job, state, attempt } = task
    const written = (await this.#world.backend.work(
      'amend',
      now,
      {
        op: end === 'failed' ? 'fail' : 'cancel',
        request: this.#world.request(),
        reason: task.error?.message,
        queue,
        id: job,
        state,
        attempt,
      },
      task.now,
      task.cancel,
      nowText(task),
      cancelText(task),
    )) as [number] | null
    if (written === null) return // somebody has claimed it, and does so
    if (written[0] === 1) void this.#followers.tell()
    this.#world.host.recovered(end, toRecord({ ...task, state: end, finishedAt: now }))
  }

  /** One that runs here was asked to stop, elsewhere. */
  stopAsked(job: string): void {
    const task = this.#world.running.get(job)
    if (task !== undefined) void this.#world.guard(() => this.#renew([task]))
    else {
      this.#early.add(job)
      after(this.#world.clock, EARLY, () => this.#early.delete(job), 'background')
    }
  }

  close(): void {
    this.#beat?.cancel()
  }
}
