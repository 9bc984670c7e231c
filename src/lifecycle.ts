/**
 * The life of a task as one table, and the few functions that move a task along it.
 *
 * Every store applies its changes through these functions, so that no engine can know an arrow of its own. They change
 * the task in place and return what happened; persisting it is the store's business.
 */
import type { CancelRequest, NewTask, Outcome, TaskEvent } from './engine.js'
import { cancelledMessage, InvalidStateError, show } from './errors.js'
import {
  type AttemptRecord,
  addToHistory,
  extrasOf,
  type SerializedError,
  type StoredTask,
  type TaskState,
} from './record.js'

/** What can happen to a task. */
type Step =
  | 'due'
  | 'claim'
  | 'succeed'
  | 'fail'
  | 'cancel'
  | 'postpone'
  | 'release'
  | 'crash'
  | 'retry'
  | 'retryLater'
  | 'reprioritise'
  | 'remove'

/** Every arrow there is. What is not here cannot happen. */
const LIFE: Readonly<Record<TaskState, Readonly<Partial<Record<Step, TaskState>>>>> = {
  queued: { claim: 'running', cancel: 'cancelled', reprioritise: 'queued' },
  scheduled: { due: 'queued', cancel: 'cancelled', reprioritise: 'scheduled' },
  running: {
    succeed: 'succeeded',
    fail: 'failed',
    cancel: 'cancelled',
    postpone: 'scheduled',
    release: 'queued',
    crash: 'queued',
  },
  succeeded: { remove: 'succeeded' },
  failed: { retry: 'queued', retryLater: 'scheduled', remove: 'failed' },
  cancelled: { retry: 'queued', retryLater: 'scheduled', remove: 'cancelled' },
}

/** How a task is doing when it is refused something. */
const REFUSED: Readonly<Partial<Record<Step, string>>> = {
  cancel: 'cannot be cancelled',
  retry: 'cannot be retried: only a failed or cancelled task can',
  retryLater: 'cannot be retried: only a failed or cancelled task can',
  reprioritise: 'no longer waits: its priority cannot be set',
  remove: 'has not ended: it cannot be removed',
}

/** The state that `step` leads to. @throws {InvalidStateError} no such arrow */
function next(task: StoredTask, step: Step): TaskState {
  const state = LIFE[task.state][step]
  if (state !== undefined) return state
  throw new InvalidStateError(`task ${show(task.id)} is ${task.state} and ${REFUSED[step] ?? `cannot ${step}`}`)
}

export const FINAL_STATES = ['succeeded', 'failed', 'cancelled'] as const
export const TASK_STATES: readonly TaskState[] = ['queued', 'scheduled', 'running', ...FINAL_STATES]

/** Whether the task has ended (`retry` may revive it). */
export function hasEnded(state: TaskState): boolean {
  return state === 'succeeded' || state === 'failed' || state === 'cancelled'
}

/** When a new task is due. One whose time has passed is due now: it does not overtake what has waited. */
export function dueAt({ delay, runAt }: NewTask, now: number): number {
  return runAt === undefined ? now + delay : Math.max(runAt, now)
}

/** The state in which a task is born. */
export function bornAs(runAt: number, now: number): TaskState {
  return runAt > now ? 'scheduled' : 'queued'
}

/** Its time has come. */
export function becomeDue(task: StoredTask): void {
  task.state = next(task, 'due')
}

/** A worker takes it: an attempt begins. */
export function claim(task: StoredTask, now: number): void {
  task.state = next(task, 'claim')
  task.attempt++
  task.startedAt = now
  task.error = undefined
}

/** A verdict is written down; says which event tells of it. */
export function settle(task: StoredTask, outcome: Outcome, now: number): TaskEvent {
  if (task.extras?.deaths !== undefined) delete task.extras.deaths // any verdict clears a suspect
  const verdict = withCancel(task, outcome)
  switch (verdict.type) {
    case 'succeeded':
      task.state = next(task, 'succeed')
      task.output = verdict.output
      if (verdict.outputError !== undefined) extrasOf(task).outputError = verdict.outputError
      // A plain success is derived from the task's own fields; a history is kept only where there is more to tell.
      if (verdict.timedOut === true || verdict.thrown !== undefined || task.extras?.history !== undefined)
        record(task, verdict, now, verdict.thrown)
      task.finishedAt = now
      return 'succeeded'
    case 'failed':
      task.state = next(task, 'fail')
      if (verdict.maxAttempts !== undefined) task.maxAttempts = verdict.maxAttempts
      record(task, verdict, now, verdict.error)
      task.error = verdict.error
      task.finishedAt = now
      return 'failed'
    case 'cancelled':
      task.state = next(task, 'cancel')
      record(task, verdict, now, verdict.thrown ?? verdict.error)
      task.error = verdict.error
      task.finishedAt = now
      return 'cancelled'
    case 'retry':
      task.state = next(task, 'postpone')
      task.maxAttempts = verdict.maxAttempts
      if (!verdict.countsAsAttempt) doNotCount(task)
      record(task, verdict, now, verdict.error)
      task.error = verdict.error
      task.runAt = verdict.runAt
      return 'retrying'
    case 'released':
      task.state = next(task, 'release')
      doNotCount(task)
      record(task, verdict, now)
      return 'retrying'
  }
}

/** A cancel that was accepted before the verdict is written wins over everything but a success. */
function withCancel(task: StoredTask, outcome: Outcome): Outcome {
  if (task.extras?.cancelRequestedAt === undefined || outcome.type === 'succeeded' || outcome.type === 'cancelled')
    return outcome
  const error = cancelledError(task)
  return {
    type: 'cancelled',
    error,
    ...('error' in outcome && { thrown: outcome.error }),
    ...(outcome.timedOut && { timedOut: true }),
  }
}

/** What a cancel did: ended a waiting task, or asked a running one. */
export function cancel(task: StoredTask, request: CancelRequest, now: number): 'cancelled' | 'asked' {
  const state = next(task, 'cancel')
  const extras = extrasOf(task)
  extras.cancelRequestedAt ??= now
  if (request.reason !== undefined) extras.cancelReason ??= request.reason
  if (request.force === true) extras.cancelForce = true
  if (task.state === 'running') return 'asked'
  task.state = state
  task.error = cancelledError(task)
  task.finishedAt = now
  return 'cancelled'
}

/** A human's word: a new budget of attempts. */
export function retry(task: StoredTask, runAt: number, now: number): void {
  task.state = next(task, runAt > now ? 'retryLater' : 'retry')
  const extras = extrasOf(task)
  const budget = task.maxAttempts - (extras.uncounted ?? 0)
  extras.uncounted = task.attempt
  extras.retries = (extras.retries ?? 0) + 1
  extras.retriedAt = now
  delete extras.deaths
  delete extras.progress
  forgetCancel(task)
  task.maxAttempts = task.attempt + budget
  task.runAt = runAt
  task.finishedAt = -0
  task.error = undefined
}

/** @throws {InvalidStateError} it no longer waits */
export function reprioritise(task: StoredTask, priority: number): void {
  task.state = next(task, 'reprioritise')
  task.priority = priority
}

/** @throws {InvalidStateError} it has not ended */
export function checkRemovable(task: StoredTask): void {
  next(task, 'remove')
}

/** Deaths of its process in a row after which a task is a suspect, and runs beside no other one. */
const SUSPECT = 2
/** Deaths in a row that end a suspect, if it was the only one running. */
const CONVICTED = 3

/** Whether it was running at so many deaths in a row that it must run as the only such task of its process. */
export function isSuspect(task: StoredTask): boolean {
  return (task.extras?.deaths ?? 0) >= SUSPECT
}

/**
 * Its attempt is over without a verdict: its process died, or gave up on it. Back to the queue at no cost.
 *
 * @param death `innocent`: no death is counted (an abandoned attempt, a lease taken from a process that lives);
 *   `counted`: its process died; `alone`: and it was the only suspect running there
 */
export function crash(task: StoredTask, death: 'innocent' | 'counted' | 'alone', now: number): TaskEvent {
  const deaths = (task.extras?.deaths ?? 0) + (death === 'innocent' ? 0 : 1)
  const type = death === 'innocent' ? 'released' : 'crashed'
  if (task.extras?.cancelRequestedAt !== undefined) {
    task.state = next(task, 'cancel')
    record(task, { type }, now)
    task.error = cancelledError(task)
    task.finishedAt = now
    return 'cancelled'
  }
  if (death === 'alone' && deaths >= CONVICTED) {
    task.state = next(task, 'fail')
    task.error = {
      name: 'TaskCrashedError',
      code: 'CRASHED',
      message: `its process died ${deaths} times in a row while it ran`,
    }
    record(task, { type }, now, task.error)
    task.finishedAt = now
    return 'failed'
  }
  task.state = next(task, 'crash')
  record(task, { type }, now)
  doNotCount(task)
  if (deaths > 0) extrasOf(task).deaths = deaths
  return 'stalled'
}

/** The error of a cancelled task: plain data, since where in our code it was made tells nobody anything. */
function cancelledError(task: StoredTask): SerializedError {
  const message = cancelledMessage(task.extras?.cancelReason)
  return { name: 'TaskCancelledError', message, code: 'TASK_CANCELLED' }
}

function doNotCount(task: StoredTask): void {
  const extras = extrasOf(task)
  extras.uncounted = (extras.uncounted ?? 0) + 1
  task.maxAttempts++
}

function forgetCancel(task: StoredTask): void {
  const { extras } = task
  if (extras === undefined) return
  delete extras.cancelRequestedAt
  delete extras.cancelReason
  delete extras.cancelForce
}

function record(
  task: StoredTask,
  verdict: { readonly type: NonNullable<AttemptRecord['outcome']>; readonly timedOut?: boolean },
  now: number,
  error?: SerializedError,
): void {
  const extras = extrasOf(task)
  extras.history = addToHistory(extras.history, {
    number: task.attempt,
    startedAt: task.startedAt,
    finishedAt: now,
    outcome: verdict.type,
    ...(verdict.timedOut === true && { timedOut: true }),
    ...(error !== undefined && { error }),
  })
}
