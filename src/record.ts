/**
 * What is stored of a task, and what of it is shown.
 *
 * `StoredTask` is what an engine keeps: a few fields that every task has, and `extras` for what most never have, so that
 * a plain task stays small. `TaskRecord` is the plain-JSON view that users get, always a copy.
 */
import { copyJson, type Json } from './json.js'

export type TaskState = 'queued' | 'scheduled' | 'running' | 'succeeded' | 'failed' | 'cancelled'

/** An error as it is kept: plain JSON, bounded in size. */
export interface SerializedError {
  readonly name: string
  readonly message: string
  readonly code?: string
  readonly stack?: string
  readonly cause?: SerializedError
  readonly details?: Json
}

/** One line of a task's history. */
export interface AttemptRecord {
  /** 1 for the first execution; only rises. */
  readonly number: number
  /** Epoch ms. */
  readonly startedAt: number
  /** Epoch ms; absent while it runs. */
  readonly finishedAt?: number
  /** The verdict; `crashed`: its process died. Absent while it runs. */
  readonly outcome?: 'succeeded' | 'retry' | 'failed' | 'cancelled' | 'released' | 'crashed'
  /** The timeout fired, whatever came of it. */
  readonly timedOut?: true
  readonly error?: SerializedError
}

/** The truth about one task, as plain JSON. Times are epoch ms. */
export interface TaskRecord {
  readonly id: string
  /** The key of its definition in `tasks`. */
  readonly name: string
  readonly state: TaskState
  /** As it was submitted. */
  readonly input?: Json
  readonly output?: Json
  /** Why a task that succeeded has no output: it was not JSON, or too large. */
  readonly outputError?: SerializedError
  /** Why it failed, was cancelled, or is tried again. */
  readonly error?: SerializedError
  /** Executions so far, the running one included. */
  readonly attempt: number
  /** The attempt at which the present budget ends. */
  readonly maxAttempts: number
  readonly priority: number
  readonly progress?: Json
  readonly metadata?: Json
  readonly tags?: readonly string[]
  readonly key?: string
  readonly createdAt: number
  /** When it is, or was last, due. */
  readonly runAt: number
  /** When the latest attempt began. */
  readonly startedAt?: number
  /** When the task ended. */
  readonly finishedAt?: number
  readonly cancelRequestedAt?: number
  /** The first and the last 20 attempts, oldest first. */
  readonly attempts: readonly AttemptRecord[]
}

/** A name of which no attempt starts until then, and then one first as a probe. */
export interface Hold {
  readonly name: string
  /** Epoch ms; it may have passed, and nobody has answered yet. */
  readonly until: number
  /** What the attempt threw that asked for it. */
  readonly error: SerializedError
}

/** A retry policy as a submit may give it: data only. */
export interface StoredRetry {
  readonly attempts?: number
  /** ms */
  readonly maxAge?: number
  readonly backoff?: StoredBackoff
}

/** A backoff with every field filled; spans in ms. */
export interface StoredBackoff {
  readonly type: 'exponential' | 'fixed'
  readonly delay: number
  readonly factor: number
  readonly max: number
  readonly jitter: boolean
}

/** What most tasks never have. */
export interface TaskExtras {
  key?: string
  metadata?: Json
  tags?: readonly string[]
  /** What `context.capture` gave at submit. */
  context?: Json
  /** ms, from the submit */
  timeout?: number
  /** Its key for `concurrency.by`. */
  slot?: string
  /** Its key for `rateLimit.by`; '' where there is none. */
  rate?: string
  /** What it needs of the resources. */
  requires?: Readonly<Record<string, number>>
  /** Tasks that have to end before it. */
  after?: readonly string[]
  /** It runs all the same where one of those does not succeed. */
  onParentFailure?: 'run'
  retry?: StoredRetry
  progress?: Json
  saved?: Json
  outputError?: SerializedError
  cancelRequestedAt?: number
  cancelReason?: string
  cancelForce?: boolean
  /** Attempts that did not count against the budget. */
  uncounted?: number
  /** Manual retries, and when the last of them was. */
  retries?: number
  retriedAt?: number
  /** Deaths of its process in a row, without a verdict between. */
  deaths?: number
  /** Attempts that cannot be derived from the fields of the task. */
  history?: readonly AttemptRecord[]
}

/** A task as an engine keeps it. Only lifecycle.ts changes its state. */
export interface StoredTask {
  readonly id: string
  readonly name: string
  state: TaskState
  readonly input: Json | undefined
  output: Json | undefined
  error: SerializedError | undefined
  attempt: number
  maxAttempts: number
  priority: number
  readonly createdAt: number
  runAt: number
  /** 0: not yet */
  startedAt: number
  /** 0: not yet */
  finishedAt: number
  extras: TaskExtras | undefined
}

/** History keeps this many of the first and of the last attempts. */
const HISTORY_ENDS = 20

/** Adds a line to a history, dropping from its middle. */
export function addToHistory(history: readonly AttemptRecord[] | undefined, entry: AttemptRecord): AttemptRecord[] {
  const all = history === undefined ? [entry] : [...history, entry]
  if (all.length > 2 * HISTORY_ENDS) all.splice(HISTORY_ENDS, 1)
  return all
}

/** The extras, made on first need. */
export function extrasOf(task: StoredTask): TaskExtras {
  task.extras ??= {}
  return task.extras
}

/** The history as a copy, with the attempt that is still derived from the task's own fields. */
export function attemptsOf(task: StoredTask): AttemptRecord[] {
  const { state, attempt: number, startedAt, finishedAt } = task
  const history = task.extras?.history
  const known = history === undefined ? [] : copyJson([...history])
  if (number === 0 || (known.at(-1)?.number ?? 0) >= number) return known
  const last: AttemptRecord =
    state === 'running' ? { number, startedAt } : { number, startedAt, finishedAt, outcome: 'succeeded' }
  return known.length === 0 ? [last] : addToHistory(known, last)
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] }

/** The record of a task: a copy that changes nothing. */
export function toRecord(task: StoredTask): TaskRecord {
  const { extras } = task
  const record: Mutable<TaskRecord> = {
    id: task.id,
    name: task.name,
    state: task.state,
    attempt: task.attempt,
    maxAttempts: task.maxAttempts,
    priority: task.priority,
    createdAt: task.createdAt,
    runAt: task.runAt,
    attempts: attemptsOf(task),
  }
  if (task.input !== undefined) record.input = copyJson(task.input)
  if (task.output !== undefined) record.output = copyJson(task.output)
  if (task.error !== undefined) record.error = copyJson(task.error)
  if (task.startedAt !== 0) record.startedAt = task.startedAt
  if (task.finishedAt !== 0) record.finishedAt = task.finishedAt
  if (extras !== undefined) {
    if (extras.outputError !== undefined) record.outputError = copyJson(extras.outputError)
    if (extras.progress !== undefined) record.progress = copyJson(extras.progress)
    if (extras.metadata !== undefined) record.metadata = copyJson(extras.metadata)
    if (extras.tags !== undefined) record.tags = [...extras.tags]
    if (extras.key !== undefined) record.key = extras.key
    if (extras.cancelRequestedAt !== undefined) record.cancelRequestedAt = extras.cancelRequestedAt
  }
  return record
}
