/**
 * The seam between the runner and where tasks live.
 *
 * The core decides: is the input valid, did the attempt succeed, is it tried again and when, timeout, abort, events.
 * An engine decides: where a task lives, when its turn is, who gets it, what if that process dies. Neither asks the
 * other how.
 *
 *   runner ── enqueue, get, cancel … ──▶ Engine
 *   runner ◀── attempt, changed, idle ── Engine        (through the EngineHost given to `start`)
 *
 * The rules that the types cannot say:
 * - What may be answered at once may be answered without a promise; the runner awaits both.
 * - A method that fails throws or rejects with a `BackgroundRunnerError`; anything else is a bug of the engine.
 * - `changed` is called after the change is persisted, in order for one task, and only for what this process did.
 * - A claim never exceeds the free slots: what is claimed is running, committed as such before its attempt runs.
 * - An outcome is written for the attempt that it belongs to, or not at all: an engine fences out late ones.
 */
import type { Clock } from './clock.js'
import type { Explanation } from './explanation.js'
import type { Json } from './json.js'
import type { NameLimits } from './limits.js'
import type { Hold, SerializedError, StoredTask, TaskExtras, TaskRecord, TaskState } from './record.js'
import type { ScheduleRecord } from './schedule.js'

export type MaybePromise<T> = T | Promise<T>

/** Where tasks live, when their turn is, which process gets them. An engine value belongs to one runner. */
export interface Engine {
  readonly name: string
  readonly capabilities: Capabilities
  /** Opens the storage and begins to take work on a later turn. */
  start(host: EngineHost): MaybePromise<void>
  /**
   * Stores all of `tasks` or none. Idempotent on `id` and `key`: a task that exists is answered with `deduplicated`.
   *
   * @throws {QueueFullError} {InvalidStateError} an id that exists under another name
   * @throws {TaskNotFoundError} a task that one of them comes after is not there
   */
  enqueue(tasks: readonly NewTask[]): MaybePromise<readonly Enqueued[]>
  get(id: string): MaybePromise<TaskRecord | undefined>
  list(query: ListQuery): MaybePromise<ListPage>
  counts(): MaybePromise<TaskCounts>
  /** @throws {TaskNotFoundError} {InvalidStateError} it has ended */
  cancel(id: string, options: CancelRequest): MaybePromise<TaskRecord>
  /** @throws {TaskNotFoundError} {InvalidStateError} it is neither failed nor cancelled */
  retry(id: string, options: { readonly delay: number }): MaybePromise<TaskRecord>
  /** @throws {TaskNotFoundError} {InvalidStateError} it no longer waits */
  setPriority(id: string, priority: number): MaybePromise<TaskRecord>
  /** @throws {InvalidStateError} it has not ended */
  remove(id: string): MaybePromise<boolean>
  /** Names of which nothing starts now (`Outcome.hold`), until they are lifted. local/holds.ts has the rules. */
  holds(): MaybePromise<readonly Hold[]>
  /** Why it does not run now. An engine may do without. @throws {TaskNotFoundError} */
  explain?(id: string): MaybePromise<Explanation>
  /**
   * Stores a schedule. One that is there with the same spec (`specText`) stays as it is; one that has another spec is
   * replaced, and keeps its `last` and `lastTask`. These four are of an engine that keeps schedules.
   */
  putSchedule?(schedule: ScheduleRecord): MaybePromise<void>
  /** False: there was none. */
  removeSchedule?(id: string): MaybePromise<boolean>
  /** All of them, by id. */
  schedules?(): MaybePromise<readonly ScheduleRecord[]>
  /**
   * If the schedule is still as it was read, spec and `next`: sets `next` to `following` and enqueues `task`, in one step;
   * its occurrence is `last` now. Without a task it is passed over. False: another process was faster, or it has changed.
   *
   * @throws {QueueFullError} {InvalidStateError} as `enqueue`, and nothing is changed
   */
  fireSchedule?(schedule: ScheduleRecord, following: number, task: NewTask | undefined): MaybePromise<boolean>
  /** Holds, or releases, the whole engine; what runs goes on. */
  pause(paused: boolean): MaybePromise<void>
  /**
   * Ids that changed, anywhere the engine can see; none where it has missed some, and any may have changed. The listener
   * never throws. Returns what ends it.
   */
  watch(listener: (ids: readonly string[]) => void): () => void
  /** How many attempts may run in this process; may be set while they run. */
  setConcurrency(concurrency: number): void
  /** Takes no more work, waits for what runs, and reports; the other methods still answer. Called once. */
  stop(request: StopRequest): Promise<StopReport>
  /** Lets go of the storage; called once, after `stop`, and nothing after it. */
  close(): MaybePromise<void>
}

/** What an engine can promise beyond the common semantics. */
export interface Capabilities {
  /** Tasks survive the end of the process. */
  readonly durable: boolean
  /** Several processes may work on the same tasks. */
  readonly shared: boolean
  /** Whether `watch` tells of what other processes did. */
  readonly feed: 'all' | 'local'
  /** Whether a number as a definition's `concurrency` holds in all processes together. */
  readonly limits: 'global' | 'process'
  /** It keeps keyed `concurrency`, `rateLimit` and `requires`, for all processes together. */
  readonly quotas: boolean
  /** It keeps schedules, and fires each occurrence once, however many processes there are. */
  readonly schedules: boolean
}

/** What the runner is to its engine. */
export interface EngineHost {
  readonly settings: EngineSettings
  /** One attempt of a task that this engine has marked as running; nothing happens before its `run`. */
  attempt(task: StoredTask, writer: AttemptWriter): EngineAttempt
  /** Whether anybody listens to this event: a record that nobody sees need not be made. */
  hears(event: TaskEvent): boolean
  /** What this process did: the only source of events. */
  changed(event: TaskEvent, record: TaskRecord): void
  /** A verdict of this process has begun or prolonged the hold of a name; undefined: has lifted it. Told after its task's event. */
  hold(name: string, hold: Hold | undefined): void
  /** Another process has changed a schedule. */
  rescheduled?(): void
  /** Nothing is queued, scheduled or running any more, as far as the engine can see. */
  idle(): void
  /**
   * A fault that no caller can be told of.
   *
   * @param forGood what is stored cannot be reached any more, whatever is tried: nobody is kept waiting
   */
  fault(error: unknown, forGood?: boolean): void
}

export interface EngineSettings {
  readonly clock: Clock
  /** Numbers in [0, 1). */
  readonly random: () => number
  /** False: this process only submits. */
  readonly work: boolean
  readonly concurrency: number
  /** The task names that this process can run, each with the limit on its running attempts. */
  readonly names: ReadonlyMap<string, number>
  /** What else limits the tasks of a name; only names of which something does. Keys and needs are in the tasks' extras. */
  readonly limits: ReadonlyMap<string, NameLimits>
  /** How much there is of each resource. */
  readonly resources: ReadonlyMap<string, number>
  /** Most tasks that may wait; Infinity: no limit. */
  readonly maxPending: number
  readonly retention: RetentionPolicy
}

/** How long finished tasks are kept, ms, and how many of them. */
export interface RetentionPolicy {
  readonly succeeded: number
  readonly cancelled: number
  readonly failed: number
  /** Undefined: what the engine finds right. */
  readonly count: number | undefined
}

/** One attempt as its engine sees it. */
export interface EngineAttempt {
  /** Calls the handler and gives the verdict. Called once; never throws, never rejects. */
  run(): Promise<Outcome>
  /** Asks the attempt to end, also before it runs; may be called again, for another reason too. */
  stop(why: StopReason): void
}

export type StopReason =
  | { readonly type: 'cancel'; readonly reason: string | undefined; readonly force: boolean }
  | { readonly type: 'shutdown' }
  /** The lease was lost: another process has the task, whatever comes of this attempt is dropped. */
  | { readonly type: 'lost' }
  /** The engine stops waiting for it: it ends at once as `released`, and what its handler still does is ignored. */
  | { readonly type: 'abandon' }

/** What a running attempt writes through its engine. */
export interface AttemptWriter {
  progress(value: Json): MaybePromise<void>
  save(value: Json): MaybePromise<void>
  /** The handler is called now; told where calls are counted. Only of an engine that keeps quotas. */
  called?(): void
  /** The handler did not end within `cancelGrace` of being asked to. */
  unresponsive(): void
}

/** The verdict on one attempt, decided by the core, written down by the engine (lifecycle.ts applies it). */
export type Outcome = Verdict & {
  /** The timeout fired, whatever came of it. */
  readonly timedOut?: boolean
  /** No attempt of this name is to start until then (epoch ms), whatever becomes of this task. */
  readonly hold?: number
}

export type Verdict =
  /** `thrown` is what the handler rejected with, where the output is the fallback that it carried. */
  | {
      readonly type: 'succeeded'
      readonly output: Json | undefined
      readonly outputError?: SerializedError
      readonly thrown?: SerializedError
    }
  /** Again at `runAt` (epoch ms). `maxAttempts` is the budget as the definition gives it now. */
  | {
      readonly type: 'retry'
      readonly error: SerializedError
      readonly runAt: number
      readonly countsAsAttempt: boolean
      readonly maxAttempts: number
    }
  | { readonly type: 'failed'; readonly error: SerializedError; readonly maxAttempts?: number }
  /** `thrown` is what the handler rejected with, kept in the history. */
  | { readonly type: 'cancelled'; readonly error: SerializedError; readonly thrown?: SerializedError }
  /** Shutdown took it back: queued again, no attempt used. */
  | { readonly type: 'released' }

/** A task as the runner submits it: validated, copied, complete. */
export interface NewTask {
  readonly id: string
  /** Rises with each submission of the runner. */
  readonly order: number
  /** The id was made for this task, of its order (ids.ts), and not given by the caller: no other task has it. */
  readonly idIsNew: boolean
  readonly name: string
  readonly input: Json | undefined
  readonly priority: number
  /** ms from now until it is due; 0: at once */
  readonly delay: number
  /** Epoch ms at which it is due, instead of `delay`. */
  readonly runAt: number | undefined
  readonly maxAttempts: number
  /** The engine's to keep: key, tags, metadata, what else most tasks do not have. */
  readonly extras: TaskExtras | undefined
}

export interface Enqueued {
  readonly id: string
  /** A task with this id or key existed; nothing was stored. */
  readonly deduplicated: boolean
}

export interface CancelRequest {
  readonly reason?: string
  /** Give up on a handler that does not listen. */
  readonly force?: boolean
}

export interface ListQuery {
  readonly states?: readonly TaskState[]
  readonly names?: readonly string[]
  /** A task that has all of them. */
  readonly tags?: readonly string[]
  readonly limit: number
  /** The `next` of the page before. */
  readonly cursor?: string
}

/** One page, newest first. */
export interface ListPage {
  readonly tasks: readonly TaskRecord[]
  /** The cursor of the next page; absent on the last one. */
  readonly next?: string
}

/** How many tasks are in each state. */
export type TaskCounts = Record<TaskState, number>

/** What can happen to a task, as events tell it. */
export type TaskEvent =
  | 'submitted'
  | 'started'
  | 'progress'
  | 'retrying'
  | 'succeeded'
  | 'failed'
  | 'cancelled'
  | 'stalled'
  | 'unresponsive'

export interface StopRequest {
  /** Work off what is due before stopping. */
  readonly drain: boolean
  /** From here on attempts are asked to stop. */
  readonly deadline: AbortSignal
  /** From here on what still runs is abandoned. */
  readonly giveUp: AbortSignal
}

/** What became of the tasks while closing. */
export interface StopReport {
  /** Ended since `close` was called. */
  readonly completed: number
  /** Handed back: queued again, no attempt used. */
  readonly returned: number
  /** Still running when the runner gave up on them. */
  readonly abandoned: number
  /** Waiting, without these two. */
  readonly pending: number
}
