/**
 * The seam below the local engine: where the backlog lives. A store keeps tasks and their order; the engine above it
 * keeps slots, attempts, timers and events.
 *
 * What may be answered at once may be answered without a promise: the memory store never makes one. Within one store,
 * things happen in the order in which they were asked.
 */
import type { Clock } from '../clock.js'
import type {
  CancelRequest,
  Capabilities,
  EngineSettings,
  Enqueued,
  ListPage,
  ListQuery,
  MaybePromise,
  NewTask,
  Outcome,
  RetentionPolicy,
  TaskCounts,
  TaskEvent,
} from '../engine.js'
import type { Reason } from '../explanation.js'
import type { Json } from '../json.js'
import type { Hold, StoredTask, TaskRecord } from '../record.js'
import type { ScheduleRecord } from '../schedule.js'

/** Which names may start another attempt now. */
export interface Admission {
  readonly open: readonly string[]
  /** An attempt of this name starts. */
  take(name: string): void
  /** It does not, after all: the transaction that marked it as running came to nothing. */
  give(name: string): void
}

/** A store keeps tasks of its own type; the engine hands back what it was given. */
export interface Store<Task extends StoredTask = StoredTask> {
  readonly name: string
  readonly capabilities: Capabilities
  open(settings: StoreSettings<Task>): MaybePromise<void>
  /**
   * Stores all or none; tells which tasks are new, in the order of `tasks`. One that comes after others waits until those
   * have ended, or is cancelled when one does not succeed: the host is told so by `recovered`.
   *
   * @throws {QueueFullError} {InvalidStateError} {TaskNotFoundError}
   */
  insert(tasks: readonly NewTask[], now: number): MaybePromise<readonly Inserted<Task>[]>
  /**
   * Takes the best due task whose name is admitted and not held and whose limits have room, and tells `take` in the step that
   * marks it as running; `open` is asked anew for each claim. Undefined if there is none, all is paused, or not all that is
   * due is claimable yet.
   */
  claim(admission: Admission, now: number): MaybePromise<Task | undefined>
  /**
   * Writes a verdict down, once for each claim, and what it means for a hold of the name (holds.ts); undefined, and nothing
   * is written, if another worker has taken it over.
   */
  settle(task: Task, outcome: Outcome, now: number): MaybePromise<TaskEvent | SettledWithHold | undefined>
  /** The handler of a task with a rate limit is called. Only of a store that keeps quotas. */
  called?(task: Task, now: number): MaybePromise<void>
  progress(task: Task, value: Json): MaybePromise<void>
  save(task: Task, value: Json): MaybePromise<void>
  find(id: string): MaybePromise<Task | undefined>
  list(query: ListQuery): MaybePromise<ListPage>
  counts(): MaybePromise<TaskCounts>
  /** The verbs answer with the record as they wrote it. @throws {TaskNotFoundError} {InvalidStateError} */
  cancel(id: string, request: CancelRequest, now: number): MaybePromise<Cancelled>
  retry(id: string, runAt: number, now: number): MaybePromise<TaskRecord>
  setPriority(id: string, priority: number): MaybePromise<TaskRecord>
  remove(id: string): MaybePromise<boolean>
  pause(paused: boolean): MaybePromise<void>
  /**
   * What keeps a task that waits, beside its time, as far as the store knows. A store may do without.
   *
   * @param names that may start an attempt in this process
   * @param running what runs in this process
   */
  explain?(task: Task, names: readonly string[], running: readonly Task[], now: number): MaybePromise<Reason[]>
  /** The names that are held. */
  holds(): MaybePromise<readonly Hold[]>
  /** Of a store that keeps schedules; as the engine has them. */
  putSchedule?(schedule: ScheduleRecord): MaybePromise<void>
  removeSchedule?(id: string): MaybePromise<boolean>
  schedules?(): MaybePromise<readonly ScheduleRecord[]>
  /** Gives what it has inserted; undefined: it is not as it was read. */
  fireSchedule?(
    schedule: ScheduleRecord,
    following: number,
    task: NewTask | undefined,
    now: number,
  ): MaybePromise<readonly Inserted<Task>[] | undefined>
  /** Whether anybody watches now: a store that has to ask for news may spare itself that. */
  watched?(on: boolean): void
  /** Removes some of what is over the retention; tells which, and whether there is more. */
  prune(policy: RetentionPolicy, now: number): MaybePromise<Pruned>
  /**
   * Makes claimable what is due by now, and what comes after tasks that have ended, some of it at a time (nothing is claimed
   * until all of it is); tells how many tasks may be claimed and when the next becomes due.
   */
  outlook(now: number): MaybePromise<Outlook>
  /**
   * `abandoned` tasks are still running. They are claimable again after the next open, where the store is shared once
   * their process is gone or a lease is over; no death is counted.
   */
  close(abandoned: readonly Task[]): MaybePromise<void>
}

export interface StoreSettings<Task extends StoredTask = StoredTask> {
  readonly maxPending: number
  /** The names of tasks that this process can run. */
  readonly names: readonly string[]
  readonly limits: EngineSettings['limits']
  readonly resources: EngineSettings['resources']
  /** False: this process claims nothing. */
  readonly work: boolean
  readonly clock: Clock
  /** Numbers in [0, 1). */
  readonly random: () => number
  /** Whom a store that others write too tells what they did. */
  readonly host: StoreHost<Task>
}

/** What the engine is to a store that several processes share. */
export interface StoreHost<Task extends StoredTask = StoredTask> {
  /** Something has changed elsewhere, or by the end of another task: these tasks, or any; and what there is to do. */
  changed(ids: readonly string[] | 'any'): void
  /** A schedule has changed elsewhere. */
  rescheduled?(): void
  /** A task that runs here was asked to stop elsewhere; `task` is what `claim` gave. */
  cancelled(task: Task, request: CancelRequest): void
  /** These run here no more: another process took this one for dead and has put them back. */
  lost(tasks: readonly Task[]): void
  /** This process has put back, or ended, what a process that died was running; or ended what came after another task. */
  recovered(event: TaskEvent, record: TaskRecord): void
  /**
   * A fault that no caller can be told of.
   *
   * @param forGood what is stored cannot be reached any more, whatever is tried: nothing is tried any more
   */
  fault(error: unknown, forGood?: boolean): void
}

export interface Inserted<Task> extends Enqueued {
  readonly task: Task
}

/** A verdict that has changed the hold of its name. */
export interface SettledWithHold {
  readonly event: TaskEvent
  /** As it is now; undefined: it was lifted. */
  readonly hold: Hold | undefined
}

export interface Cancelled {
  readonly record: TaskRecord
  /** `asked`: it runs, and its attempt has to be told. */
  readonly effect: 'cancelled' | 'asked'
}

export interface Pruned {
  readonly ids: readonly string[]
  readonly more: boolean
}

export interface Outlook {
  /** Due tasks of names that this process can run, without those that are held; none while there is `more` or all is paused. */
  readonly ready: number
  /** Epoch ms at which the next scheduled task is due, one that is held may go as a probe, or a rate limit has room again. */
  readonly nextDue: number | undefined
  /** Nothing is queued, scheduled or running. */
  readonly idle: boolean
  /** More is due, or comes after what has ended, than was made claimable in one go: look again next turn. */
  readonly more: boolean
}
