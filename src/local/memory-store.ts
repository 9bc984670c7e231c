/** Tasks in the memory of this process: nothing outlives it, and every answer is at once. */
import type {
  CancelRequest,
  Capabilities,
  ListPage,
  ListQuery,
  MaybePromise,
  NewTask,
  Outcome,
  RetentionPolicy,
  TaskCounts,
  TaskEvent,
} from '../engine.js'
import { QueueFullError, TaskNotFoundError } from '../errors.js'
import { MOST_AHEAD, MOST_IDS, type Reason } from '../explanation.js'
import type { Json } from '../json.js'
import * as life from '../lifecycle.js'
import { isLimited } from '../limits.js'
import {
  extrasOf,
  type Hold,
  type SerializedError,
  type StoredTask,
  type TaskExtras,
  type TaskRecord,
  type TaskState,
  toRecord,
} from '../record.js'
import { type ScheduleRecord, specText } from '../schedule.js'
import { Backlog, comesBefore, dueBefore, type Waiting } from './backlog.js'
import { ById } from './by-id.js'
import { Chain } from './chain.js'
import { fromCursor, toCursor } from './cursor.js'
import { earliest } from './earliest.js'
import { getOrMake } from './get-or-make.js'
import { Heap } from './heap.js'
import { Holds } from './holds.js'
import { rehearse, sameTask } from './identity.js'
import type { Lane, Laned, MemoryLanes } from './memory-lanes.js'
import { afterEnd, checkParents, isOver, reasonOf } from './parents.js'
import type { Admission, Cancelled, Inserted, Outlook, Pruned, SettledWithHold, Store, StoreSettings } from './store.js'
import { Times } from './times.js'

/** Finished tasks kept by default: without a bound a long-lived process would fill up. */
const DEFAULT_COUNT = 100_000
/** What may be many goes in steps of this many, so that none of them holds the event loop. */
const STEP = 1_000
/** The end of one that comes after another costs more: so many are told of in one go. */
const TOLD = 200

/**
 * One class with every field in place, so that all tasks share a shape. Each byte and each object counts: of what a task costs,
 * most is that its memory is new, and is copied and marked by the garbage collector.
 */
class MemoryTask implements StoredTask, Waiting<MemoryTask>, Laned<MemoryTask> {
  readonly id: string
  readonly name: string
  readonly input: Json | undefined
  /** Rises with each submission. */
  readonly order: number
  state: TaskState
  output: Json | undefined = undefined
  error: SerializedError | undefined = undefined
  attempt = 0
  maxAttempts: number
  priority: number
  extras: TaskExtras | undefined
  /** Its times: see times.ts. */
  readonly #times: number[]
  readonly #row: number
  /** Where it is in the heap of its level or of the scheduled tasks. */
  slot = -1
  /** Its neighbours in the backlog; after its end, those among the finished. */
  previous: MemoryTask | undefined = undefined
  next: MemoryTask | undefined = undefined
  /** Ids of tasks that have to end before it. */
  waitsFor: Set<string> | undefined = undefined
  /** Where it stands, if it is under limits. */
  lane: Lane<MemoryTask> | undefined = undefined

  constructor(from: NewTask, runAt: number, now: number, order: number, times: Times) {
    this.id = from.id
    this.name = from.name
    this.input = from.input
    this.order = order
    this.state = life.bornAs(runAt, now)
    this.maxAttempts = from.maxAttempts
    this.priority = from.priority
    this.extras = from.extras
    this.#row = times.row()
    this.#times = times.block
    this.#times[this.#row] = now
    this.#times[this.#row + 1] = runAt
  }

  get createdAt(): number {
    return this.#times[this.#row] as number
  }

  get runAt(): number {
    return this.#times[this.#row + 1] as number
  }
  set runAt(time: number) {
    this.#times[this.#row + 1] = time
  }

  get startedAt(): number {
    return this.#times[this.#row + 2] as number
  }
  set startedAt(time: number) {
    this.#times[this.#row + 2] = time
  }

  get finishedAt(): number {
    return this.#times[this.#row + 3] as number
  }
  set finishedAt(time: number) {
    this.#times[this.#row + 3] = time
  }
}

type MemorySettings = Pick<StoreSettings, 'maxPending' | 'limits' | 'resources'> & Partial<Pick<StoreSettings, 'host'>>

export class MemoryStore implements Store<MemoryTask> {
  readonly name = 'memory'
  readonly capabilities: Capabilities = {
    durable: false,
    shared: false,
    feed: 'all',
    limits: 'global',
    quotas: true,
    schedules: true,
  }
  readonly #tasks: ById<MemoryTask> = new ById()
  readonly #times: Times = new Times()
  /** name → key → task */
  readonly #keys: Map<string, Map<string, MemoryTask>> = new Map()
  readonly #backlogs: Map<string, Backlog<MemoryTask>> = new Map()
  /** What waits or runs under limits, where there are any. */
  #lanes: MemoryLanes<MemoryTask> | undefined
  readonly #scheduled: Heap<MemoryTask> = new Heap<MemoryTask>(dueBefore)
  /** id → tasks that come after it. */
  readonly #children: Map<string, Set<MemoryTask>> = new Map()
  /** What has ended → those that are still to be told so. */
  readonly #untold: Map<MemoryTask, Set<MemoryTask>> = new Map()
  /** Queued tasks that wait for others to end. */
  #blocked = 0
  #host: StoreSettings['host'] | undefined
  /** In the order of their end. */
  readonly #finished = {
    succeeded: new Chain<MemoryTask>(),
    failed: new Chain<MemoryTask>(),
    cancelled: new Chain<MemoryTask>(),
  }
  readonly #counts: TaskCounts = { queued: 0, scheduled: 0, running: 0, succeeded: 0, failed: 0, cancelled: 0 }
  readonly #holds: Holds<MemoryTask> = new Holds(
    ({ task, attempt }) => task.state === 'running' && task.attempt === attempt,
  )
  readonly #schedules: Map<string, ScheduleRecord> = new Map()
  /** Of the task that was stored last. */
  #order = 0
  #paused = false
  #maxPending = Number.POSITIVE_INFINITY

  open({ maxPending, limits, resources, host }: MemorySettings): MaybePromise<void> {
    this.#maxPending = maxPending
    this.#host = host
    return limits.size + resources.size > 0 ? this.#openLanes(limits, resources) : undefined
  }

  async #openLanes(limits: StoreSettings['limits'], resources: StoreSettings['resources']): Promise<void> {
    const { MemoryLanes } = await import('./memory-lanes.js')
    this.#lanes = new MemoryLanes(limits, resources)
  }

  insert(tasks: readonly NewTask[], now: number): readonly Inserted<MemoryTask>[] {
    const first = tasks[0]
    if (
      tasks.length === 1 &&
      first !== undefined &&
      first.extras?.key === undefined &&
      first.extras?.after === undefined
    )
      return [this.#insertOne(first, now)]
    this.#checkRoom(rehearse(tasks, (task) => this.#existing(task)))
    checkParents(
      tasks,
      (id) => this.#tasks.get(id),
      (task) => this.#existing(task),
    )
    return tasks.map((task) => this.#insertOne(task, now))
  }

  #insertOne(from: NewTask, now: number): Inserted<MemoryTask> {
    // An id that was made for it is new: looking for it would cost as much as storing it.
    const existing = from.idIsNew && from.extras === undefined ? undefined : this.#existing(from)
    if (existing !== undefined) return { id: existing.id, deduplicated: true, task: existing }
    this.#checkRoom(1)
    this.#order = Math.max(this.#order + 1, from.order)
    const task = new MemoryTask(from, life.dueAt(from, now), now, this.#order, this.#times)
    this.#tasks.add(task, from.idIsNew)
    const key = from.extras?.key
    if (key !== undefined) {
      getOrMake(this.#keys, from.name, () => new Map<string, MemoryTask>()).set(key, task)
    }
    this.#counts[task.state]++
    if (from.extras?.after !== undefined) this.#follow(task, from.extras.after)
    this.#place(task)
    if (from.extras?.after !== undefined) this.#meetParents(task, from.extras.after, now)
    return { id: task.id, deduplicated: false, task }
  }

  /** It comes after those of these that have not ended. */
  #follow(task: MemoryTask, after: readonly string[]): void {
    const waitsFor = after.filter((id) => !isOver(this.#tasks.get(id)))
    task.waitsFor = waitsFor.length > 0 ? new Set(waitsFor) : undefined
    for (const id of waitsFor) getOrMake(this.#children, id, () => new Set()).add(task)
  }

  /** Of its parents one may have ended already, and not well. */
  #meetParents(task: MemoryTask, after: readonly string[], now: number): void {
    for (const id of after) {
      const parent = this.#tasks.get(id) as MemoryTask
      if (isOver(parent) && afterEnd(parent, task) === 'is cancelled') {
        this.#cancelAfter(parent, task, now)
        return
      }
    }
  }

  /** Says whether that ends it. */
  #cancelAfter(parent: MemoryTask, child: MemoryTask, now: number): boolean {
    if (life.hasEnded(child.state)) return false
    const from = child.state
    life.cancel(child, { reason: reasonOf(parent) }, now)
    this.#moved(child, from)
    this.#leaveParents(child)
    const record = toRecord(child)
    queueMicrotask(() => this.#host?.recovered('cancelled', record)) // after what brought it about
    return true
  }

  /** It has ended: what comes after it may go on, or ends as well. */
  #ended(parent: MemoryTask, now: number): void {
    if (this.#children.size === 0) return
    const children = this.#children.get(parent.id)
    if (children === undefined) return
    this.#children.delete(parent.id)
    this.#untold.set(parent, children)
    if (this.#untold.size === 1) this.#tell(now)
  }

  /** Tells some of what is still to be told, one after the other: a chain may be of any length. */
  #tell(now: number): void {
    let room = TOLD
    for (const [parent, children] of this.#untold) {
      for (const child of children) {
        if (room-- === 0) break
        children.delete(child)
        if (afterEnd(parent, child) === 'goes on') this.#unblock(child, parent.id)
        else if (this.#cancelAfter(parent, child, now)) this.#ended(child, now)
      }
      if (children.size > 0) break
      this.#untold.delete(parent)
    }
    this.#host?.changed([]) // more than one may go on, or there is more to tell
  }

  #unblock(child: MemoryTask, parent: string): void {
    child.waitsFor?.delete(parent)
    if (child.waitsFor === undefined || child.waitsFor.size > 0) return
    child.waitsFor = undefined
    if (child.state !== 'queued') return
    this.#blocked--
    this.#place(child)
    this.#host?.changed([child.id]) // more may begin than one
  }

  #leaveParents(child: MemoryTask): void {
    for (const id of child.waitsFor ?? []) this.#children.get(id)?.delete(child)
    child.waitsFor = undefined
  }

  #existing(task: NewTask): MemoryTask | undefined {
    const key = task.extras?.key
    const byKey = key === undefined ? undefined : this.#keys.get(task.name)?.get(key)
    const byId = this.#tasks.get(task.id)
    return sameTask(task, byId, byKey)
  }

  #checkRoom(more: number): void {
    const pending = this.#counts.queued + this.#counts.scheduled
    if (more > 0 && pending + more > this.#maxPending) throw new QueueFullError(pending, this.#maxPending)
  }

  claim(admission: Admission, now: number): MemoryTask | undefined {
    if (this.#paused) return undefined
    if (this.#untold.size > 0 || !this.#promote(now)) return undefined // a better one may be due
    let best: MemoryTask | undefined
    for (const name of admission.open) {
      const first = this.#backlogs.get(name)?.first
      if (first === undefined || (this.#holds.size > 0 && this.#holds.keeps(name, now))) continue
      if (best === undefined || comesBefore(first, best)) best = first
    }
    const lane = this.#bestLane(admission, now)
    if (lane !== undefined && (best === undefined || comesBefore(lane.first, best))) best = lane.first
    if (best === undefined) return undefined
    admission.take(best.name)
    const from = best.state
    life.claim(best, now)
    this.#moved(best, from)
    if (this.#holds.size > 0) this.#holds.begins(best, best)
    return best
  }

  /** Where the best of the tasks under limits stands. */
  #bestLane({ open }: Admission, now: number): Lane<MemoryTask> | undefined {
    if (this.#lanes === undefined || this.#lanes.size === 0) return undefined
    this.#lanes.advance(now)
    return this.#lanes.best(open, (name) => this.#holds.size > 0 && this.#holds.keeps(name, now))
  }

  called(task: MemoryTask, now: number): void {
    this.#lanes?.called(task, now)
  }

  settle(task: MemoryTask, outcome: Outcome, now: number): TaskEvent | SettledWithHold {
    const from = task.state
    const event = life.settle(task, outcome, now)
    this.#moved(task, from)
    if (life.hasEnded(task.state)) this.#ended(task, now)
    if (this.#holds.size === 0 && outcome.hold === undefined) return event
    return this.#holds.judge(event, task, task, outcome)
  }

  holds(): readonly Hold[] {
    return this.#holds.list()
  }

  progress(task: MemoryTask, value: Json): void {
    extrasOf(task).progress = value
  }

  save(task: MemoryTask, value: Json): void {
    extrasOf(task).saved = value
  }

  find(id: string): MemoryTask | undefined {
    return this.#tasks.get(id)
  }

  list(query: ListQuery): ListPage {
    const before = query.cursor === undefined ? Number.POSITIVE_INFINITY : fromCursor(query.cursor)
    const { states, names, tags } = query
    const tasks: TaskRecord[] = []
    let last: MemoryTask | undefined
    for (const task of this.#tasks.before(before)) {
      if (states !== undefined && !states.includes(task.state)) continue
      if (names !== undefined && !names.includes(task.name)) continue
      if (tags !== undefined && !tags.every((tag) => task.extras?.tags?.includes(tag))) continue
      if (tasks.length === query.limit) return { tasks, next: toCursor((last as MemoryTask).order) }
      tasks.push(toRecord(task))
      last = task
    }
    return { tasks }
  }

  counts(): TaskCounts {
    return { ...this.#counts }
  }

  cancel(id: string, request: CancelRequest, now: number): Cancelled {
    const task = this.#get(id)
    const from = task.state
    const effect = life.cancel(task, request, now)
    this.#moved(task, from)
    if (effect === 'cancelled') {
      this.#leaveParents(task)
      this.#ended(task, now)
    }
    return { record: toRecord(task), effect }
  }

  retry(id: string, runAt: number, now: number): TaskRecord {
    const task = this.#get(id)
    const from = task.state
    while (this.#untold.size > 0) this.#tell(now) // of its end, and to it, while it is what it was
    life.retry(task, runAt, now)
    if (task.extras?.after !== undefined) this.#follow(task, task.extras.after)
    this.#moved(task, from)
    return toRecord(task)
  }

  setPriority(id: string, priority: number): TaskRecord {
    const task = this.#get(id)
    const { state, priority: from } = task
    life.reprioritise(task, priority)
    this.#moved(task, state, from)
    return toRecord(task)
  }

  remove(id: string): boolean {
    const task = this.#tasks.get(id)
    if (task === undefined) return false
    life.checkRemovable(task)
    this.#forget(task)
    return true
  }

  putSchedule(schedule: ScheduleRecord): void {
    const before = this.#schedules.get(schedule.id)
    if (before !== undefined && specText(before) === specText(schedule)) return
    const { last, lastTask } = before ?? {}
    this.#schedules.set(schedule.id, { ...schedule, ...(last !== undefined && { last, lastTask: lastTask as string }) })
  }

  removeSchedule(id: string): boolean {
    return this.#schedules.delete(id)
  }

  schedules(): readonly ScheduleRecord[] {
    return [...this.#schedules.values()].sort((a, b) => (a.id < b.id ? -1 : 1))
  }

  fireSchedule(
    schedule: ScheduleRecord,
    following: number,
    task: NewTask | undefined,
    now: number,
  ): readonly Inserted<MemoryTask>[] | undefined {
    const { id, next } = schedule
    const current = this.#schedules.get(id)
    if (current?.next !== next || specText(current) !== specText(schedule)) return undefined
    const inserted = task === undefined ? [] : this.insert([task], now)
    this.#schedules.set(id, {
      ...current,
      next: following,
      ...(task !== undefined && { last: next, lastTask: task.id }),
    })
    return inserted
  }

  pause(paused: boolean): void {
    this.#paused = paused
  }

  explain(task: MemoryTask, names: readonly string[], running: readonly MemoryTask[], now: number): Reason[] {
    const reasons: Reason[] = this.#paused ? [{ type: 'paused' }] : []
    if (task.waitsFor !== undefined) reasons.push({ type: 'after', tasks: [...task.waitsFor].slice(0, MOST_IDS) })
    if (this.#holds.keeps(task.name, now)) reasons.push(...this.#holds.reasons(task.name))
    if (task.waitsFor !== undefined || task.state === 'scheduled') return reasons
    this.#lanes?.advance(now)
    const isKept = (name: string): boolean => this.#holds.keeps(name, now)
    if (task.lane !== undefined && this.#lanes !== undefined)
      reasons.push(...this.#lanes.explain(task, names, isKept, running))
    const backlog = task.lane?.backlog ?? this.#backlogs.get(task.name)
    const count = backlog?.countBefore(task, MOST_AHEAD) ?? 0
    if (count > 0) reasons.push({ type: 'ahead', count })
    return reasons
  }

  prune(policy: RetentionPolicy, now: number): Pruned {
    const ids: string[] = []
    const excess = (): boolean => this.#finishedCount() > (policy.count ?? DEFAULT_COUNT)
    while (ids.length < STEP) {
      let oldest: MemoryTask | undefined
      for (const state of life.FINAL_STATES) {
        const { head } = this.#finished[state]
        if (head === undefined) continue
        const { finishedAt } = head
        if (finishedAt + policy[state] <= now) {
          oldest = head
          break
        }
        if (excess() && finishedAt < (oldest?.finishedAt ?? Number.POSITIVE_INFINITY)) oldest = head
      }
      if (oldest === undefined) return { ids, more: false }
      this.#forget(oldest)
      ids.push(oldest.id)
    }
    return { ids, more: true }
  }

  outlook(now: number): Outlook {
    const all = this.#promote(now)
    const { queued, scheduled, running } = this.#counts
    const lanes = this.#lanes
    lanes?.advance(now)
    const free = queued - this.#blocked - (lanes === undefined ? 0 : lanes.size - lanes.ready())
    const next = earliest(this.#scheduled.first?.runAt, lanes?.nextRoom)
    const waiting = (name: string): number => (this.#backlogs.get(name)?.size ?? 0) + (lanes?.ready(name) ?? 0)
    const { ready, nextDue } = this.#holds.sift(now, free, next, waiting)
    return {
      more: !all,
      ready: this.#paused || !all ? 0 : ready,
      nextDue: all ? nextDue : undefined,
      idle: all && queued + scheduled + running === 0, // the end of what ended just now is still to be heard of
    }
  }

  close(): void {
    this.#tasks.clear()
  }

  #get(id: string): MemoryTask {
    const task = this.#tasks.get(id)
    if (task === undefined) throw new TaskNotFoundError(id)
    return task
  }

  #finishedCount(): number {
    return this.#counts.succeeded + this.#counts.failed + this.#counts.cancelled
  }

  /** Puts a task that lifecycle.ts has changed where it belongs now. */
  #moved(task: MemoryTask, from: TaskState, priority: number = task.priority): void {
    if (from === task.state && priority === task.priority) return
    this.#unplace(task, from, priority)
    this.#counts[from]--
    this.#counts[task.state]++
    this.#place(task)
  }

  #place(task: MemoryTask): void {
    switch (task.state) {
      case 'queued':
        if (task.waitsFor !== undefined) {
          this.#blocked++
          return
        }
        if (this.#lanes !== undefined && isLimited(task.extras)) return this.#lanes.push(task)
        return getOrMake(this.#backlogs, task.name, () => new Backlog<MemoryTask>()).push(task)
      case 'scheduled':
        return this.#scheduled.push(task)
      case 'running':
        return
      default:
        return this.#finished[task.state].push(task)
    }
  }

  #unplace(task: MemoryTask, from: TaskState, priority: number): void {
    switch (from) {
      case 'queued':
        if (task.waitsFor !== undefined) {
          this.#blocked--
          return
        }
        if (task.lane === undefined) return this.#backlogs.get(task.name)?.remove(task, priority)
        if (task.state === 'running') return this.#lanes?.take(task)
        this.#lanes?.remove(task, priority)
        task.lane = undefined
        return
      case 'scheduled':
        return this.#scheduled.remove(task)
      case 'running':
        if (task.lane !== undefined) this.#lanes?.release(task)
        task.lane = undefined
        return
      default:
        return this.#finished[from].remove(task)
    }
  }

  /** Makes what is due claimable, or may go on, at most a step of it; says whether that was all. */
  #promote(now: number): boolean {
    if (this.#untold.size > 0) {
      this.#tell(now)
      return false
    }
    for (let n = 0; n < STEP; n++) {
      const { first } = this.#scheduled
      if (first === undefined || first.runAt > now) return true
      life.becomeDue(first)
      this.#moved(first, 'scheduled')
    }
    return (this.#scheduled.first?.runAt ?? Number.POSITIVE_INFINITY) > now
  }

  #forget(task: MemoryTask): void {
    this.#unplace(task, task.state, task.priority)
    this.#counts[task.state]--
    this.#tasks.delete(task)
    const key = task.extras?.key
    if (key !== undefined) {
      const keys = this.#keys.get(task.name)
      keys?.delete(key)
      if (keys?.size === 0) this.#keys.delete(task.name)
    }
  }
}
