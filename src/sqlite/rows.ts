/** A row of `tasks` as a task, and back. */
import type { Json } from '../json.js'
import type { SerializedError, StoredTask, TaskExtras, TaskState } from '../record.js'
import type { Database, Row, Value } from './driver.js'

/** By number, as they are stored. */
export const STATES: readonly TaskState[] = ['queued', 'scheduled', 'running', 'succeeded', 'failed', 'cancelled']

export function stateNumber(state: TaskState): number {
  return STATES.indexOf(state)
}

/** A task as it is read from the file. */
export interface SqliteTask extends StoredTask {
  readonly seq: number
  /** The worker that runs it, or ran it last. */
  worker: number | null
  /** Where it stands or runs, if it is under limits. */
  lane: number | null
  /** How many tasks have to end before it. */
  blocked: number
}

/** @param name of the task, @param input where it is kept apart */
export function toTask(row: Row, name: string, input: Value): SqliteTask {
  return {
    seq: row['seq'] as number,
    id: row['id'] as string,
    name,
    state: STATES[row['state'] as number] as TaskState,
    input: parsed(input),
    output: parsed(row['output']),
    error: parsed(row['error']) as SerializedError | undefined,
    attempt: row['attempt'] as number,
    maxAttempts: row['max_attempts'] as number,
    priority: row['priority'] as number,
    createdAt: row['created_at'] as number,
    runAt: row['run_at'] as number,
    startedAt: row['started_at'] as number,
    finishedAt: row['finished_at'] as number,
    worker: row['worker'] as number | null,
    lane: row['lane'] as number | null,
    blocked: row['blocked'] as number,
    extras: toExtras(row),
  }
}

/** What there is to know of a task that waits. */
const WAITING =
  'seq, name, input, id, priority, run_at, attempt, max_attempts, created_at, lane, key, progress, saved, extras'
export const SEQ = 0
export const NAME = 1
export const INPUT = 2

/** The values of one. */
export type WaitingRow = readonly [
  seq: number,
  name: number,
  input: string | null,
  id: string,
  priority: number,
  runAt: number,
  attempt: number,
  maxAttempts: number,
  createdAt: number,
  lane: number | null,
  key: string | null,
  progress: string | null,
  saved: string | null,
  extras: string | null,
]

/**
 * A query for tasks that wait, which come as one text and in no order: a driver takes longer to hand out a row than SQLite to
 * find it.
 *
 * @param from what comes after FROM
 */
export function waitingRows(database: Database, from: string): (...values: Value[]) => WaitingRow[] {
  const statement = database.prepare(
    `SELECT json_group_array(json_array(${WAITING})) AS found FROM (SELECT ${WAITING} FROM ${from})`,
  )
  return (...values) => JSON.parse(statement.get(...values)?.['found'] as string) as WaitingRow[]
}

/** One that may be claimed: nobody runs it, nobody has asked it to stop, and no other has to end before it. */
export function toWaitingTask(row: WaitingRow, name: string, input: Value): SqliteTask {
  const [seq, , , id, priority, runAt, attempt, maxAttempts, createdAt, lane, key, progress, saved, extras] = row
  const isPlain = key === null && progress === null && saved === null && extras === null
  return {
    seq,
    id,
    name,
    state: 'queued',
    input: parsed(input),
    output: undefined,
    error: undefined,
    attempt,
    maxAttempts,
    priority,
    createdAt,
    runAt,
    startedAt: 0,
    finishedAt: 0,
    worker: null,
    lane,
    blocked: 0,
    extras: isPlain ? undefined : toExtras({ key, progress, saved, extras }),
  }
}

function toExtras(row: Row): TaskExtras | undefined {
  const extras = (parsed(row['extras']) ?? {}) as TaskExtras
  if (isThere(row['key'])) extras.key = row['key'] as string
  if (isThere(row['progress'])) extras.progress = parsed(row['progress']) as Json
  if (isThere(row['saved'])) extras.saved = parsed(row['saved']) as Json
  if (isThere(row['cancel_requested_at'])) extras.cancelRequestedAt = row['cancel_requested_at'] as number
  if (isThere(row['cancel_reason'])) extras.cancelReason = parsed(row['cancel_reason']) as string
  if (isThere(row['cancel_force'])) extras.cancelForce = true
  return Object.keys(extras).length === 0 ? undefined : extras
}

function isThere(value: Value | undefined): boolean {
  return value !== null && value !== undefined
}

/** What has no column of its own. */
export function extrasText(extras: TaskExtras | undefined): string | null {
  if (extras === undefined) return null
  const {
    key: _key,
    progress: _progress,
    saved: _saved,
    cancelRequestedAt: _at,
    cancelReason: _reason,
    cancelForce: _force,
    ...rest
  } = extras
  const json = JSON.stringify(rest)
  return json === '{}' ? null : json
}

/** JSON text, or nothing. */
export function text(value: unknown): string | null {
  return value === undefined ? null : JSON.stringify(value)
}

function parsed(json: Value | undefined): Json | undefined {
  return json === null || json === undefined ? undefined : (JSON.parse(json as string) as Json)
}

/** A copy on which a step of its life can be tried. */
export function draftOf(task: SqliteTask): SqliteTask {
  return { ...task, extras: task.extras && { ...task.extras } }
}

/** Whether `current`, as the file has it, is the attempt that `task` stands for. */
export function isSameAttempt(current: SqliteTask, task: SqliteTask): boolean {
  return current.state === 'running' && current.worker === task.worker && current.attempt === task.attempt
}
