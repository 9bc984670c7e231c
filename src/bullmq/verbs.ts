/** Verbs on tasks that are there: asking for them, and steering them. */
import type { CancelRequest, ListPage, ListQuery } from '../engine.js'
import { TaskNotFoundError } from '../errors.js'
import { MOST_AHEAD, MOST_IDS, type Reason } from '../explanation.js'
import * as life from '../lifecycle.js'
import { fromCursor, toCursor } from '../local/cursor.js'
import type { Cancelled } from '../local/store.js'
import { extrasOf, type Hold, type SerializedError, type TaskExtras, type TaskRecord, toRecord } from '../record.js'
import type { Followers } from './followers.js'
import { type BullTask, bullPriority, cancelText, jobOf, nowText, type Row } from './job.js'
import type { World } from './world.js'

/** No task's name has one. */
const LONE_SURROGATE = /\p{Surrogate}/u

export class Verbs {
  readonly #world: World
  readonly #followers: Followers

  constructor(world: World, followers: Followers) {
    this.#world = world
    this.#followers = followers
  }

  async find(id: string): Promise<BullTask | undefined> {
    const asked = this.#world.asking(this.#world.backend.verbs('read', this.#world.clock.now(), { ids: [jobOf(id)] }))
    const [row] = (await asked) as (Row | null)[]
    return row === null || row === undefined ? undefined : this.#world.task(row)
  }

  async list({ states, names, tags, limit, cursor }: ListQuery): Promise<ListPage> {
    let before = cursor === undefined ? Number.MAX_SAFE_INTEGER : fromCursor(cursor)
    const hits: [number, string, string][] = []
    while (before > 1 && hits.length <= limit) {
      const found = (await this.#world.backend.verbs('list', this.#world.clock.now(), {
        states,
        tags,
        queues: names?.filter((name) => !LONE_SURROGATE.test(name)).map((name) => this.#world.queue(name)),
        limit: limit + 1 - hits.length,
        before,
      })) as unknown[]
      const reached = found.pop() as number
      const here = (found as [number, string, string][]).filter(([seq]) => seq >= reached)
      hits.push(...here.sort((a, b) => b[0] - a[0]).slice(0, limit + 1 - hits.length))
      before = hits.length > limit ? 0 : reached
    }
    const page = hits.slice(0, limit)
    const tasks = await this.#world.read(page.map(([, queue, job]) => [queue, job]))
    const last = page.at(-1)
    return { tasks: tasks.map(toRecord), ...(hits.length > limit && last !== undefined && { next: toCursor(last[0]) }) }
  }

  async cancel(id: string, request: CancelRequest, now: number): Promise<Cancelled> {
    return this.#step(id, now, (task) => {
      const effect = life.cancel(task, request, now)
      return [effect === 'asked' ? { op: 'mark' } : { op: 'cancel' }, { effect }]
    }).then(({ task, effect }) => {
      const running = this.#world.running.get(task.job)
      if (running !== undefined) {
        running.cancel = cancelText(task)
        Object.assign(extrasOf(running), JSON.parse(running.cancel) as TaskExtras)
      }
      return { record: toRecord(task), effect }
    })
  }

  async retry(id: string, runAt: number, now: number): Promise<TaskRecord> {
    const { task } = await this.#step(id, now, (draft) => {
      life.retry(draft, runAt, now)
      return [{ op: 'retry', runAt, after: draft.extras?.after?.map(jobOf) }, {}]
    })
    this.#world.brought++
    return toRecord(task)
  }

  async setPriority(id: string, priority: number): Promise<TaskRecord> {
    const { task } = await this.#step(id, this.#world.clock.now(), (draft) => {
      life.reprioritise(draft, priority)
      return [{ op: 'priority', priority: bullPriority(priority) }, {}]
    })
    return toRecord(task)
  }

  async remove(id: string): Promise<boolean> {
    try {
      await this.#step(id, this.#world.clock.now(), (task) => {
        life.checkRemovable(task)
        return [{ op: 'remove' }, {}]
      })
      return true
    } catch (error) {
      if (error instanceof TaskNotFoundError) return false
      throw error
    }
  }

  /** One step of a task's life, by a verb: tried on what was read, written if it is still so. */
  #step<More extends object>(
    id: string,
    now: number,
    take: (task: BullTask) => [object, More],
  ): Promise<{ readonly task: BullTask } & More> {
    return this.#world.asking(this.#tryStep(id, now, take))
  }

  async #tryStep<More extends object>(
    id: string,
    now: number,
    take: (task: BullTask) => [object, More],
  ): Promise<{ readonly task: BullTask } & More> {
    for (;;) {
      const task = await this.find(id)
      if (task === undefined) throw new TaskNotFoundError(id)
      const { state, attempt, queue, job } = task
      const was = { now: task.now, cancel: task.cancel }
      const [operation, more] = take(task)
      const written = (await this.#world.backend.verbs(
        'amend',
        now,
        { ...operation, request: this.#world.request(), queue, id: job, state, attempt },
        was.now,
        was.cancel,
        nowText(task),
        cancelText(task),
      )) as [number] | null
      if (written === null) continue // it has moved on meanwhile
      if (written[0] === 1) void this.#followers.tell()
      return { task, ...more }
    }
  }

  async holds(): Promise<readonly Hold[]> {
    const all = (await this.#world.backend.verbs('holds', this.#world.clock.now(), {})) as [string, string, string][]
    return all.map(([name, until, error]) => ({
      name,
      until: Number(until),
      error: JSON.parse(error) as SerializedError,
    }))
  }

  async pause(paused: boolean): Promise<void> {
    await this.#world.backend.verbs('pause', this.#world.clock.now(), { paused })
  }

  async explain({ queue, job, state }: BullTask): Promise<Reason[]> {
    const [paused, parents, hold, workers, ahead] = (await this.#world.backend.verbs(
      'explain',
      this.#world.clock.now(),
      {
        queue,
        id: job,
      },
    )) as [number, string[], [string, string] | null, number, number]
    const reasons: Reason[] = paused === 1 ? [{ type: 'paused' }] : []
    if (parents.length > 0) reasons.push({ type: 'after', tasks: parents.slice(0, MOST_IDS) })
    if (hold !== null) reasons.push({ type: 'held', until: Number(hold[0]), error: JSON.parse(hold[1]) })
    if (workers === 0) reasons.push({ type: 'worker' })
    if (parents.length > 0 || state === 'scheduled') return reasons
    if (ahead > 0) reasons.push({ type: 'ahead', count: Math.min(ahead, MOST_AHEAD) })
    return reasons
  }
}
