/**
 * Tasks in one SQLite file: the store behind `sqlite()`.
 *
 * What is written goes through the group commit, what is read goes straight to the file. A step of a task's life is tried
 * on a draft, written, and taken over once it is committed, so that a transaction that comes to nothing leaves no trace.
 */

import { nextTurn } from '../clock.js'
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
import { InvalidStateError, QueueFullError, show, TaskNotFoundError } from '../errors.js'
import { MOST_AHEAD, MOST_IDS, type Reason } from '../explanation.js'
import type { Json } from '../json.js'
import * as life from '../lifecycle.js'
import { earliest } from '../local/earliest.js'
import { rehearse, sameTask } from '../local/identity.js'
import { checkParents } from '../local/parents.js'
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
import { extrasOf, type Hold, type TaskRecord, toRecord } from '../record.js'
import type { ScheduleRecord } from '../schedule.js'
import { andThen } from '../thenable.js'
import { Checkpoints } from './checkpoint.js'
import type { Database } from './driver.js'
import { GroupCommit, Later } from './group-commit.js'
import { comesBefore } from './lane-table.js'
import { listPage } from './list.js'
import { Neighbours } from './neighbours.js'
import { type Durability, openFile } from './open.js'
import { draftOf, isSameAttempt, type SqliteTask } from './rows.js'
import { ScheduleTable } from './schedule-table.js'
import { TaskTable } from './task-table.js'

/** So many scheduled tasks become due, or finished ones go, in one transaction. */
const STEP = 200

export interface SqliteSettings {
  readonly path: string
  readonly durability: Durability
  /** ms */
  readonly lease: number
}

/** What a verdict has come to: its event, or undefined if it was refused. */
type Verdict = Later<TaskEvent | SettledWithHold | undefined>

export class SqliteStore implements Store<SqliteTask> {
  readonly name = 'sqlite'
  readonly capabilities: Capabilities = {
    durable: true,
    shared: true,
    feed: 'all',
    limits: 'process',
    quotas: true,
    schedules: true,
  }
  readonly #settings: SqliteSettings
  #database!: Database
  #table!: TaskTable
  #schedules!: ScheduleTable
  #group!: GroupCommit
  #checkpoints!: Checkpoints
  #maxPending = Number.POSITIVE_INFINITY
  #names: readonly string[] = []
  /** What this process runs, by seq. */
  readonly #running: Map<number, SqliteTask> = new Map()
  /** How many ended with others, and are told so on the next turn. */
  #telling = 0
  #neighbours!: Neighbours

  constructor(settings: SqliteSettings) {
    this.#settings = settings
  }

  async open({
    clock,
    random,
    maxPending,
    names,
    limits,
    resources,
    work,
    host,
  }: StoreSettings<SqliteTask>): Promise<void> {
    const { durability, lease } = this.#settings
    this.#maxPending = maxPending
    this.#names = names
    const { path, database, watch } = await openFile(this.#settings.path, durability)
    this.#database = database
    this.#table = new TaskTable(
      database,
      { limits, resources, clock },
      {
        ended: (task) => {
          const record = toRecord(task)
          this.#telling++
          const told = (): void => {
            this.#telling--
            host.recovered('cancelled', record)
          }
          this.#group.after(() => nextTurn(told)) // after what brought it about
          this.#group.undo(() => this.#telling--)
        },
        freed: () => this.#group.after(() => host.changed([])),
      },
    )
    this.#schedules = new ScheduleTable(database, () => this.#table.feed.addSchedules())
    this.#checkpoints = new Checkpoints(database, path)
    this.#group = new GroupCommit(database, path, random, {
      check: () => watch.check(),
      begun: () => this.#neighbours.begun(),
      beforeCommit: () => {
        this.#table.beforeCommit()
        this.#neighbours.beforeCommit()
      },
      committed: () => this.#checkpoints.committed(),
      rolledBack: () => this.#table.forget(),
      lost: (error) => host.fault(error, true),
    })
    this.#neighbours = new Neighbours(database, this.#table, this.#group, this.#running, {
      path,
      lease,
      clock,
      host,
      names: work ? names : undefined,
    })
    try {
      await this.#neighbours.open()
      if (work && (limits.size > 0 || this.#table.lanes.hasAny))
        await this.#group.write(() => this.#table.lanes.openAll())
    } catch (error) {
      await this.close([])
      throw error
    }
  }

  // Submitting.

  insert(tasks: readonly NewTask[], now: number): Promise<readonly Inserted<SqliteTask>[]> {
    return this.#group.write(() => this.#insert(tasks, now))
  }

  #insert(tasks: readonly NewTask[], now: number): readonly Inserted<SqliteTask>[] {
    const one = tasks.length === 1 && tasks[0]?.idIsNew === true && tasks[0].extras?.key === undefined
    checkParents(
      tasks,
      (id) => this.#table.byId(id),
      (task) => this.#existing(task),
    )
    this.#checkRoom(one ? 1 : rehearse(tasks, (task) => this.#existing(task)))
    return tasks.map((task) => this.#insertOne(task, now))
  }

  #insertOne(from: NewTask, now: number): Inserted<SqliteTask> {
    const existing = this.#existing(from)
    if (existing !== undefined) return { id: existing.id, deduplicated: true, task: existing }
    return { id: from.id, deduplicated: false, task: this.#table.insert(from, now) }
  }

  #existing(task: NewTask): SqliteTask | undefined {
    const key = task.extras?.key
    if (task.idIsNew && key === undefined) return undefined // an id that was made for it is new
    return sameTask(task, this.#table.byId(task.id), key === undefined ? undefined : this.#table.byKey(task.name, key))
  }

  #checkRoom(more: number): void {
    if (more === 0 || this.#maxPending === Number.POSITIVE_INFINITY) return
    const { queued, scheduled } = this.#table.tally.total()
    if (queued + scheduled + more > this.#maxPending) throw new QueueFullError(queued + scheduled, this.#maxPending)
  }

  // Schedules.

  putSchedule(schedule: ScheduleRecord): Promise<void> {
    return this.#group.write(() => this.#schedules.put(schedule))
  }

  removeSchedule(id: string): Promise<boolean> {
    return this.#group.write(() => this.#schedules.remove(id))
  }

  schedules(): MaybePromise<readonly ScheduleRecord[]> {
    return this.#read(() => this.#schedules.all())
  }

  fireSchedule(
    schedule: ScheduleRecord,
    following: number,
    task: NewTask | undefined,
    now: number,
  ): Promise<readonly Inserted<SqliteTask>[] | undefined> {
    return this.#group.write(() => {
      if (!this.#schedules.isAsRead(schedule)) return undefined
      const inserted = task === undefined ? [] : this.#insert([task], now)
      this.#schedules.fired(schedule, following, task?.id)
      return inserted
    })
  }

  // Working.

  claim(admission: Admission, now: number): Promise<SqliteTask | undefined> {
    return this.#group.write(() => {
      if (this.#table.tally.paused || !this.#promote(now)) return undefined
      const task = this.#best(admission.open, now)
      if (task === undefined) return undefined
      life.claim(task, now)
      task.worker = this.#neighbours.worker
      this.#table.claim(task)
      if (this.#table.holds.size > 0) this.#table.holds.begins(task, task.seq)
      admission.take(task.name)
      this.#running.set(task.seq, task)
      this.#group.undo(() => {
        admission.give(task.name)
        this.#running.delete(task.seq)
      })
      return task
    })
  }

  /** The best of the names that are admitted. A suspect runs beside no other one. */
  #best(names: readonly string[], now: number): SqliteTask | undefined {
    let best: SqliteTask | undefined
    const suspects = this.#mayStartSuspects()
    const isKept = (name: string): boolean => this.#isHeld(name, now)
    for (const name of names) {
      if (isKept(name)) continue
      for (const suspect of suspects ? [false, true] : [false]) {
        const first = suspect ? this.#suspect(name) : this.#table.best(name, false)
        if (first === undefined) continue
        if (best === undefined || comesBefore(first, best)) best = first
      }
    }
    const { lanes } = this.#table
    const limited = lanes.hasAny ? lanes.best(names, isKept, this.#keptForSuspects(now)) : undefined
    return limited !== undefined && (best === undefined || comesBefore(limited, best)) ? limited : best
  }

  #isHeld(name: string, now: number): boolean {
    const { holds } = this.#table
    return holds.size > 0 && holds.keeps(name, now)
  }

  #mayStartSuspects(): boolean {
    return this.#table.tally.suspects && ![...this.#running.values()].some(life.isSuspect)
  }

  /** Resources, so that small tasks do not starve a big one that is a suspect. */
  #keptForSuspects(now: number): string[] {
    if (!this.#mayStartSuspects()) return []
    return this.#names.flatMap((name) => {
      const first = this.#isHeld(name, now) ? undefined : this.#table.best(name, true)
      return first === undefined ? [] : this.#table.lanes.keeps(first)
    })
  }

  /** The suspect of a name that goes next, if its limits let it. */
  #suspect(name: string): SqliteTask | undefined {
    const first = this.#table.best(name, true)
    return first !== undefined && this.#table.lanes.admits(first) ? first : undefined
  }

  settle(task: SqliteTask, outcome: Outcome, now: number): Promise<TaskEvent | SettledWithHold | undefined> {
    const insists = true
    return this.#group.write(() => {
      const verdict: Verdict = new Later()
      this.#judge(task, task, outcome, now, verdict)
      return verdict
    }, insists)
  }

  /** @param known the task as it is in the file, as far as this process knows */
  #judge(task: SqliteTask, known: SqliteTask, outcome: Outcome, now: number, verdict: Verdict): void {
    const { holds } = this.#table
    const draft = draftOf(known)
    const event = life.settle(draft, outcome, now)
    const isOfHolds = holds.size > 0 || outcome.hold !== undefined
    this.#table.settle(draft, known, (isWritten) => {
      const current = isWritten ? undefined : this.#table.bySeq(task.seq)
      if (current !== undefined && isSameAttempt(current, task))
        return this.#judge(task, current, outcome, now, verdict) // it was cancelled elsewhere
      if (!isWritten) return
      this.#group.after(() => Object.assign(task, draft))
      verdict.answer = isOfHolds ? holds.judge(event, draft, draft.seq, outcome) : event
    })
    // Under a new number this process may run it again already.
    if (this.#running.get(task.seq) === task) {
      // At once: the claim that is asked for with this verdict may be for a suspect, which runs beside no other one.
      this.#running.delete(task.seq)
      this.#group.undo(() => this.#running.set(task.seq, task))
    }
    if (isOfHolds) this.#table.flush() // the claim may be of a name that this holds, or lets go
  }

  called(task: SqliteTask, now: number): Promise<void> {
    return this.#group.write(() => this.#table.lanes.called(task, now))
  }

  progress(task: SqliteTask, value: Json): Promise<void> {
    const json = JSON.stringify(value)
    return this.#group.write(() => {
      this.#table.put(task, 'progress', json) // or it is no longer ours: nobody misses the progress of a lost attempt
    })
  }

  save(task: SqliteTask, value: Json): Promise<void> {
    const json = JSON.stringify(value)
    return this.#group.write(() => {
      if (!this.#table.put(task, 'saved', json))
        throw new InvalidStateError(
          `attempt ${task.attempt} of task ${show(task.id)} was taken over by another process: it can save no more`,
        )
      this.#group.after(() => {
        extrasOf(task).saved = value
      })
    })
  }

  // Asking.

  find(id: string): MaybePromise<SqliteTask | undefined> {
    return this.#read(() => this.#table.byId(id))
  }

  list(query: ListQuery): MaybePromise<ListPage> {
    return this.#read(() => listPage(this.#table, query))
  }

  counts(): MaybePromise<TaskCounts> {
    return this.#read(() => this.#table.tally.total())
  }

  #read<Answer>(work: () => Answer): MaybePromise<Answer> {
    return this.#group.read(() => {
      this.#table.flush()
      if (this.#table.refresh()) this.#neighbours.noticed()
      return work()
    })
  }

  // Steering.

  cancel(id: string, request: CancelRequest, now: number): Promise<Cancelled> {
    return this.#step(id, (task) => {
      const effect = life.cancel(task, request, now)
      return () => {
        const running = this.#running.get(task.seq)
        if (running !== undefined) running.extras = task.extras
        return { record: toRecord(task), effect }
      }
    })
  }

  retry(id: string, runAt: number, now: number): Promise<TaskRecord> {
    return this.#step(id, (task) => {
      if (!this.#table.families.areTold(task)) return undefined
      life.retry(task, runAt, now)
      return () => toRecord(task)
    })
  }

  setPriority(id: string, priority: number): Promise<TaskRecord> {
    return this.#step(id, (task) => {
      life.reprioritise(task, priority)
      return () => toRecord(task)
    })
  }

  /** One step of a task's life, by a verb. @param take undefined: not yet, what comes after the task is told of its end first */
  async #step<Answer>(id: string, take: (task: SqliteTask) => (() => Answer) | undefined): Promise<Answer> {
    for (;;) {
      const answer = await this.#group.write(() => {
        const task = this.#table.byId(id)
        if (task === undefined) throw new TaskNotFoundError(id)
        const from = task.state
        const taken = take(task)
        if (taken !== undefined) this.#table.write(task, from)
        return taken
      })
      if (answer !== undefined) return answer()
    }
  }

  async remove(id: string): Promise<boolean> {
    for (;;) {
      const removed = await this.#group.write(() => {
        const task = this.#table.byId(id)
        if (task === undefined) return false
        life.checkRemovable(task)
        if (!this.#table.families.areTold(task)) return undefined
        this.#table.remove(task)
        return true
      })
      if (removed !== undefined) return removed
    }
  }

  holds(): MaybePromise<readonly Hold[]> {
    return this.#read(() => this.#table.holds.list())
  }

  pause(paused: boolean): Promise<void> {
    return this.#group.write(() => this.#table.setPaused(paused))
  }

  explain(
    found: SqliteTask,
    names: readonly string[],
    _running: readonly SqliteTask[],
    now: number,
  ): MaybePromise<Reason[]> {
    return this.#read(() => {
      const { tally, holds, lanes } = this.#table
      const isKept = (name: string): boolean => holds.keeps(name, now)
      const task = this.#table.bySeq(found.seq) // it may have begun or ended since it was found, and its lane be gone
      if (task === undefined || (task.state !== 'queued' && task.state !== 'scheduled')) return []
      const reasons: Reason[] = tally.paused ? [{ type: 'paused' }] : []
      if (task.blocked > 0) reasons.push({ type: 'after', tasks: this.#table.families.parentsOf(task, MOST_IDS) })
      if (isKept(task.name)) reasons.push(...holds.reasons(task.name))
      if (!this.#neighbours.knows(task.name)) reasons.push({ type: 'worker' })
      if (task.blocked > 0 || task.state === 'scheduled') return reasons
      reasons.push(...lanes.explain(task, names, isKept, now))
      const count = this.#table.countAhead(task, MOST_AHEAD)
      if (count > 0) reasons.push({ type: 'ahead', count })
      return reasons
    })
  }

  // Keeping house.

  prune(policy: RetentionPolicy, now: number): Promise<Pruned> {
    return this.#group.write(() => {
      const over = life.FINAL_STATES.flatMap((state) => this.#table.finished(state, now - policy[state], STEP))
      const most = over.length > 0 ? over.slice(0, STEP) : this.#excess(policy)
      const gone = most.filter((task) => this.#table.families.areTold(task))
      for (const task of gone) this.#table.remove(task)
      return { ids: gone.map(({ id }) => id), more: gone.length > 0 }
    })
  }

  /** The oldest of those that are too many. */
  #excess({ count = Number.POSITIVE_INFINITY }: RetentionPolicy): SqliteTask[] {
    const { succeeded, failed, cancelled } = this.#table.tally.total()
    const excess = Math.min(succeeded + failed + cancelled - count, STEP)
    if (excess <= 0) return []
    return life.FINAL_STATES.flatMap((state) => this.#table.finished(state, Number.MAX_SAFE_INTEGER, excess))
      .sort((a, b) => a.finishedAt - b.finishedAt || a.seq - b.seq)
      .slice(0, excess)
  }

  outlook(now: number): MaybePromise<Outlook> {
    return andThen(
      this.#read(() => (this.#isDue(now) ? undefined : this.#lookOnly(now))),
      (outlook) => outlook ?? this.#group.write(() => this.#look(this.#promote(now), now)),
    )
  }

  /** Undefined where that takes a transaction that writes. */
  #lookOnly(now: number): Outlook | undefined {
    const outlook = this.#look(true, now)
    return this.#table.lanes.unfinished ? undefined : outlook
  }

  #look(all: boolean, now: number): Outlook {
    this.#table.flush()
    const { tally, holds, lanes } = this.#table
    const { queued, scheduled, running } = tally.total()
    const limited =
      lanes.hasAny && lanes.mayGo(this.#names, (name) => this.#isHeld(name, now), this.#keptForSuspects(now))
    const waiting = (name: string): number => (this.#names.includes(name) ? this.#ready(name, limited) : 0)
    const due = this.#names.reduce((sum, name) => sum + this.#ready(name, limited), 0)
    const room = lanes.hasAny ? (tally.suspects ? lanes.nextCall : lanes.nextRoom) : undefined
    const next = earliest(tally.nextDue, room)
    const { ready, nextDue } = holds.sift(now, due, next, waiting)
    return {
      more: !all,
      ready: tally.paused || !all ? 0 : ready,
      nextDue: all ? nextDue : undefined,
      idle: all && queued + scheduled + running + this.#telling === 0,
    }
  }

  /** How many tasks of a name may be claimed, about. @param limited whether any under limits may */
  #ready(name: string, limited: boolean): number {
    const waiting = this.#table.waiting(name)
    const { lanes, tally } = this.#table
    if (waiting === 0 || !(lanes.hasAny || this.#table.families.hasAny) || this.#table.hasReady(name)) return waiting
    if (tally.suspects && this.#suspect(name) !== undefined) return waiting
    return limited ? Math.min(waiting, lanes.ready(name)) : 0
  }

  #isDue(now: number): boolean {
    const { tally, lanes, families } = this.#table
    return (
      families.isUntold ||
      (tally.nextDue ?? Number.POSITIVE_INFINITY) <= now ||
      (lanes.hasAny && (lanes.unfinished || lanes.isDue(now)))
    )
  }

  /** Makes what is due claimable, or may go on, at most a step of it; says whether that was all. */
  #promote(now: number): boolean {
    if (!this.#isDue(now)) return true
    const { lanes, families } = this.#table
    if (families.isUntold) {
      families.tell()
      return false
    }
    for (const task of this.#table.due(now, STEP)) {
      life.becomeDue(task)
      this.#table.write(task, 'scheduled')
    }
    if (lanes.hasAny) {
      lanes.advance(now)
      lanes.park(this.#names)
    }
    return !this.#isDue(now)
  }

  async close(abandoned: readonly SqliteTask[]): Promise<void> {
    const left = this.#neighbours.close(abandoned.length > 0)
    left.catch(() => {}) // the lease will tell
    // libsql leaves the -wal where it is: without this the file alone would be no backup after a clean end.
    if (await this.#group.close()) this.#checkpoints.all()
    this.#checkpoints.close()
    this.#database.close()
  }
}
