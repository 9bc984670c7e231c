/** A BullMQ job as a task, and back. */
import type { NewTask } from '../engine.js'
import type { Json } from '../json.js'
import * as life from '../lifecycle.js'
import { reasonOf } from '../local/parents.js'
import { extrasOf, type SerializedError, type StoredTask, type TaskExtras, type TaskState } from '../record.js'

/** BullMQ's priority 0 stands outside of the order, and smaller ones go first. */
const MIDDLE = 1_048_576

export function bullPriority(priority: number): number {
  return MIDDLE - priority
}

/** A task as it is read from Redis. */
export interface BullTask extends StoredTask {
  readonly queue: string
  /** Of BullMQ: ids of tasks would meet the names of its keys. */
  readonly job: string
  /** `br:now` and `br:cancel` as they were read; '' where there is none. */
  now: string
  cancel: string
  /** Attempts have died since the last verdict, and nothing says so but `br:died`. */
  died: boolean
}

/** `{ queue, job, state, fields }`, as scripts answer; the fields one after the other. */
export type Row = readonly [queue: string, job: string, state: string, fields: readonly string[]]

/** BullMQ names keys by colons; and the last dot is where the task's name begins, also if the base has some. */
export function queueOf(base: string, name: string): string {
  return `${base}.${encodeURIComponent(name).replaceAll('.', '%2E')}`
}

export function jobOf(id: string): string {
  return `t-${id}`
}

export function idOf(job: string): string {
  return job.startsWith('t-') ? job.slice(2) : job
}

/** What was submitted and no verdict changes. */
const SUBMITTED = [
  'key',
  'metadata',
  'tags',
  'context',
  'timeout',
  'slot',
  'rate',
  'requires',
  'after',
  'onParentFailure',
  'retry',
] as const satisfies readonly (keyof TaskExtras)[]
/** What has a field of its own. */
const APART = ['saved', 'progress', 'cancelRequestedAt', 'cancelReason', 'cancelForce'] as const
const NOT_NOW: ReadonlySet<string> = new Set([...SUBMITTED, ...APART])

/** `br` of a new task; '' where there is nothing to say. */
export function submittedText({ extras }: NewTask): string {
  if (extras === undefined) return ''
  const kept = Object.fromEntries(SUBMITTED.map((key) => [key, extras[key]]).filter(([, value]) => value !== undefined))
  return Object.keys(kept).length === 0 ? '' : JSON.stringify(kept)
}

/** What `br:now` holds. */
interface Now {
  readonly maxAttempts?: number
  readonly runAt?: number
  readonly startedAt?: number
  readonly error?: SerializedError
  readonly extras?: TaskExtras
}

/** `br:now` of a task; '' where BullMQ's fields say it all. */
export function nowText(task: StoredTask): string {
  const entries = Object.entries(task.extras ?? {}).filter(([key, value]) => !NOT_NOW.has(key) && value !== undefined)
  if (entries.length === 0 && task.error === undefined) return ''
  const now: Now = {
    maxAttempts: task.maxAttempts,
    runAt: task.runAt,
    ...(task.startedAt !== 0 && { startedAt: task.startedAt }),
    ...(task.error !== undefined && { error: task.error }),
    ...(entries.length > 0 && { extras: Object.fromEntries(entries) }),
  }
  return JSON.stringify(now)
}

/** `br:cancel` of a task. */
export function cancelText({ extras }: StoredTask): string {
  if (extras?.cancelRequestedAt === undefined) return ''
  const { cancelRequestedAt, cancelReason, cancelForce } = extras
  return JSON.stringify({ cancelRequestedAt, cancelReason, cancelForce })
}

/** A task that was just stored. */
export function newTask(from: NewTask, queue: string, now: number): BullTask {
  const runAt = life.dueAt(from, now)
  return {
    id: from.id,
    name: from.name,
    state: life.bornAs(runAt, now),
    input: from.input,
    output: undefined,
    error: undefined,
    attempt: 0,
    maxAttempts: from.maxAttempts,
    priority: from.priority,
    createdAt: now,
    runAt,
    startedAt: 0,
    finishedAt: 0,
    extras: from.extras,
    queue,
    job: jobOf(from.id),
    now: '',
    cancel: '',
    died: false,
  }
}

/** The name of the tasks of a queue: a job that somebody else has added there may be called anything. */
export function nameOf(base: string, queue: string): string {
  return decodeURIComponent(queue.slice(base.length + 1))
}

/** A job as its task is now. @param base before the names of its queues */
export function toTask([queue, job, state, flat]: Row, base: string): BullTask {
  const fields: Record<string, string> = {}
  for (let i = 0; i < flat.length; i += 2) fields[flat[i] as string] = flat[i + 1] as string
  const opts = parsed(fields['opts'] ?? '{}') as { readonly attempts?: number; readonly delay?: number }
  const now = (parsed(fields['br:now']) ?? {}) as Now
  const createdAt = Number(fields['timestamp'])
  const extras = {
    ...(parsed(fields['br']) as TaskExtras | undefined),
    ...now.extras,
    ...(parsed(fields['br:cancel']) as TaskExtras | undefined),
  }
  if (fields['progress'] !== undefined) extras.progress = parsed(fields['progress']) as Json
  if (fields['br:saved'] !== undefined) extras.saved = parsed(fields['br:saved']) as Json
  const task: BullTask = {
    id: idOf(job),
    name: nameOf(base, queue),
    state: state as TaskState,
    input: fields['data'] === '' ? undefined : parsed(fields['data']),
    output: undefined,
    error: state === 'running' ? undefined : now.error,
    attempt: Number(fields['ats'] ?? 0),
    maxAttempts: now.maxAttempts ?? opts.attempts ?? 1,
    priority: MIDDLE - Number(fields['priority'] ?? MIDDLE),
    createdAt,
    runAt: now.runAt ?? createdAt + (opts.delay ?? 0),
    startedAt: Number(fields['processedOn'] ?? now.startedAt ?? 0),
    finishedAt: Number(fields['finishedOn'] ?? 0),
    extras: Object.keys(extras).length === 0 ? undefined : extras,
    queue,
    job,
    now: fields['br:now'] ?? '',
    cancel: fields['br:cancel'] ?? '',
    died: fields['br:died'] !== undefined,
  }
  if (state === 'succeeded') {
    const output = fields['returnvalue']
    if (output !== undefined && (output !== 'null' || fields['br:null'] !== undefined)) task.output = parsed(output)
  }
  if (fields['br:died'] !== undefined) died(task, fields['br:died'])
  if (fields['br:end'] !== undefined && state === 'cancelled') endedAfter(task, fields['br:end'])
  return task
}

/** Attempts that ended with their process, on which no verdict has been written since. */
function died(task: BullTask, lines: string): void {
  const { state, attempt, startedAt, finishedAt } = task
  for (const line of lines.split(',')) {
    const [number, began, kind, at] = line.split(':')
    task.state = 'running'
    task.attempt = Number(number)
    task.startedAt = Number(began)
    life.crash(task, kind === 'left' ? 'innocent' : life.isSuspect(task) ? 'alone' : 'counted', Number(at))
  }
  Object.assign(task, { state, attempt, startedAt, finishedAt })
  if (state === 'running') task.error = undefined
}

/** What its process died of is to be written down as its end: convicted, or cancelled before. */
export function endOf(task: BullTask): 'failed' | 'cancelled' | undefined {
  // Without deaths it was put there by BullMQ, which knows of no such end: somebody wants it to run again.
  if (task.state !== 'queued' || !task.died) return undefined
  if (task.extras?.cancelRequestedAt !== undefined) return 'cancelled'
  return task.error?.code === 'CRASHED' ? 'failed' : undefined
}

/** What it came after has not succeeded. */
function endedAfter(task: BullTask, end: string): void {
  const [state, job] = end.split(' ')
  const parent = { id: idOf(job as string), state: state as TaskState | 'removed' }
  const { finishedAt } = task
  task.state = 'queued'
  life.cancel(task, { reason: reasonOf(parent) }, finishedAt)
  extrasOf(task).cancelRequestedAt = finishedAt
}

function parsed(json: string | undefined): Json | undefined {
  return json === undefined || json === '' ? undefined : (JSON.parse(json) as Json)
}
