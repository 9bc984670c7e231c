/**
 * Every error that the library rejects with, and the two that a handler may throw to steer its own task.
 *
 * One base class with a stable `code`. An ESM and a CommonJS copy of this file are different classes: tell errors apart
 * by `code`, which is the same in both.
 */
import { tryDuration } from './duration.js'

/** One thing that is wrong with an input, and where. */
export interface InputIssue {
  readonly message: string
  /** The way from the root of the value to the culprit: `['to', 0, 'address']`. */
  readonly path: readonly (string | number)[]
}

interface Cause {
  readonly cause?: unknown
}

/** The base of all errors of this library. */
export class BackgroundRunnerError extends Error {
  override readonly name: string = 'BackgroundRunnerError'
  /** Stable across versions and across the ESM and CommonJS copies. */
  readonly code: string

  constructor(code: string, message: string, options?: Cause) {
    super(message, options)
    this.code = code
  }
}

/** The runner has no task definition of this name. */
export class UnknownTaskError extends BackgroundRunnerError {
  override readonly name: string = 'UnknownTaskError'

  constructor(name: unknown, known: readonly string[]) {
    const list = known.length === 0 ? 'none' : known.map((each) => JSON.stringify(each)).join(', ')
    super('UNKNOWN_TASK', `no task is defined under the name ${show(name)}; this runner knows: ${list}`)
  }
}

/** A value is not what it must be. Nothing was stored. */
export class InvalidInputError extends BackgroundRunnerError {
  override readonly name: string = 'InvalidInputError'
  /** All that is wrong, with paths. */
  readonly issues: readonly InputIssue[]

  /** @param options.paths false: the message names no property, since it may be logged and a name may be data */
  constructor(subject: string, issues: readonly InputIssue[], options: Cause & { readonly paths?: boolean } = {}) {
    const { paths = true } = options
    const told = issues.slice(0, 5).map(({ path, message }) => `${paths ? formatPath(path) : ''}${message}`)
    if (issues.length > told.length) told.push(`and ${issues.length - told.length} more`)
    super('INVALID_INPUT', `${subject}: ${told.join('; ')}`, options)
    this.issues = issues
  }
}

/** No task has this id: it never existed, was removed, or was pruned. */
export class TaskNotFoundError extends BackgroundRunnerError {
  override readonly name: string = 'TaskNotFoundError'

  constructor(id: unknown) {
    super('TASK_NOT_FOUND', `there is no task ${show(id)}`)
  }
}

/** The task is in a state that forbids what was asked. */
export class InvalidStateError extends BackgroundRunnerError {
  override readonly name: string = 'InvalidStateError'

  constructor(message: string, options?: Cause) {
    super('INVALID_STATE', message, options)
  }
}

/** `maxPending` tasks are waiting already. */
export class QueueFullError extends BackgroundRunnerError {
  override readonly name: string = 'QueueFullError'

  constructor(pending: number, maxPending: number) {
    super('QUEUE_FULL', `${pending} tasks are waiting and maxPending is ${maxPending}`)
  }
}

/** The runner is closed, or closes. */
export class RunnerClosedError extends BackgroundRunnerError {
  override readonly name: string = 'RunnerClosedError'

  constructor(message: string = 'the runner is closed') {
    super('RUNNER_CLOSED', message)
  }
}

/** What `result` rejects with when the task failed; `cause` is the task's error as it was recorded. */
export class TaskFailedError extends BackgroundRunnerError {
  override readonly name: string = 'TaskFailedError'
  readonly taskId: string

  constructor(taskId: string, taskName: string, error: { readonly message: string } | undefined) {
    super('TASK_FAILED', `task ${taskName} ${show(taskId)} failed: ${error?.message ?? 'no reason is recorded'}`, {
      cause: error,
    })
    this.taskId = taskId
  }
}

const CANCELLED = 'the task was cancelled'

/** What the error of a cancelled task says. */
export function cancelledMessage(reason: string | undefined): string {
  return reason === undefined ? CANCELLED : `${CANCELLED}: ${reason}`
}

/** The task was cancelled: what `result` rejects with, and the reason of `ctx.signal` after a cancel. */
export class TaskCancelledError extends BackgroundRunnerError {
  override readonly name: string = 'TaskCancelledError'
  readonly reason: string | undefined

  constructor(reason?: string, options?: Cause) {
    super('TASK_CANCELLED', cancelledMessage(reason), options)
    this.reason = reason
  }

  /** The error of `result`, from the one that is kept in the record. */
  static from(recorded: { readonly message: string } | undefined): TaskCancelledError {
    const told = `${CANCELLED}: `
    const at = recorded?.message.indexOf(told) ?? -1
    return new TaskCancelledError(at < 0 ? undefined : recorded?.message.slice(at + told.length), { cause: recorded })
  }
}

/** An attempt took longer than its timeout: the reason of `ctx.signal`, and the attempt's error. */
export class TaskTimeoutError extends BackgroundRunnerError {
  override readonly name: string = 'TaskTimeoutError'
  /** What the handler's own error said, when it gave in to the timeout; kept as `error.details`. */
  details: unknown

  constructor(timeout: number, options?: Cause) {
    super('TASK_TIMEOUT', `the attempt took longer than its timeout of ${timeout} ms`, options)
  }
}

/** `wait` or `result` gave up waiting; the task itself goes on. */
export class WaitTimeoutError extends BackgroundRunnerError {
  override readonly name: string = 'WaitTimeoutError'

  constructor(id: string, timeout: number) {
    super('WAIT_TIMEOUT', `task ${show(id)} did not end within ${timeout} ms`)
  }
}

/** An optional peer dependency is needed and not installed. */
export class MissingDependencyError extends BackgroundRunnerError {
  override readonly name: string = 'MissingDependencyError'

  constructor(dependency: string, purpose: string, options?: Cause) {
    super('MISSING_DEPENDENCY', `${purpose} needs the package ${dependency}: npm install ${dependency}`, options)
  }
}

/** The engine could not do what was asked: its storage or its server is in trouble. */
export class EngineError extends BackgroundRunnerError {
  override readonly name: string = 'EngineError'

  constructor(message: string, options?: Cause) {
    super('ENGINE_ERROR', message, options)
  }
}

/** The engine does not have this ability; its `capabilities` say so. */
export class UnsupportedByEngineError extends BackgroundRunnerError {
  override readonly name: string = 'UnsupportedByEngineError'

  constructor(engine: string, ability: string) {
    super('UNSUPPORTED_BY_ENGINE', `the engine ${engine} cannot ${ability}`)
  }
}

/**
 * How a thrown error steers its task, readable across copies of this module. Errors are not told apart by class here:
 * a handler may throw the CommonJS copy's error into an ESM runner.
 */
const VERDICT: unique symbol = Symbol.for('background-runner.verdict')

/**
 * Throw it from a handler when another attempt cannot help: the task is `failed` at once.
 *
 * @example throw new NonRetryableError('no such mailbox', { code: '550' })
 */
export class NonRetryableError extends BackgroundRunnerError {
  override readonly name: string = 'NonRetryableError'
  /** JSON that is kept as `error.details` in the record. */
  readonly details: unknown

  constructor(message: string, options: { code?: string; details?: unknown; cause?: unknown } = {}) {
    super(options.code ?? 'NON_RETRYABLE', message, options)
    Object.defineProperty(this, VERDICT, { value: 'fail' })
    this.details = options.details
  }
}

/**
 * Throw it from a handler to be run again after `delay`, at no cost: by default no attempt is used up.
 *
 * `hold: true` says that what all tasks of this name need is sick: none of them starts until then, wherever the engine is
 * shared, and then one goes first as a probe.
 *
 * @example throw new RetryLaterError({ delay: '5m' })
 * @example throw new RetryLaterError({ delay: '1m', hold: true, cause: new Error('the login was refused') })
 */
export class RetryLaterError extends BackgroundRunnerError {
  override readonly name: string = 'RetryLaterError'
  /** A `Duration`: ms, or `'5m'`. */
  readonly delay: number | string
  readonly countsAsAttempt: boolean
  readonly hold: boolean

  constructor(options: { delay: number | string; countsAsAttempt?: boolean; hold?: boolean; cause?: unknown }) {
    const { delay, cause } = options
    const why = cause instanceof Error ? `: ${cause.message}` : ''
    super('RETRY_LATER', `to be run again in ${delay}${typeof delay === 'number' ? ' ms' : ''}${why}`, options)
    Object.defineProperty(this, VERDICT, { value: 'later' })
    this.delay = delay
    this.countsAsAttempt = options.countsAsAttempt ?? false
    this.hold = options.hold ?? false
  }
}

/** Whether a thrown value says that another attempt cannot help. */
export function isFatal(thrown: unknown): boolean {
  return verdictOf(thrown) === 'fail'
}

/** What a `RetryLaterError` asks for, its delay in ms; undefined for anything else, and for one that cannot be read. */
export function laterOf(
  thrown: unknown,
): { readonly delay: number; readonly countsAsAttempt: boolean; readonly hold: boolean } | undefined {
  if (verdictOf(thrown) !== 'later') return undefined
  try {
    const { delay: given, countsAsAttempt, hold } = thrown as RetryLaterError
    const delay = tryDuration(given)
    return delay === undefined ? undefined : { delay, countsAsAttempt: countsAsAttempt === true, hold: hold === true }
  } catch {
    return undefined
  }
}

function verdictOf(thrown: unknown): unknown {
  try {
    return typeof thrown === 'object' && thrown !== null && (thrown as { [VERDICT]?: unknown })[VERDICT]
  } catch {
    return undefined // a proxy or a getter that throws steers nothing
  }
}

/** A value as a message shows it: short, with its type, never throwing. */
export function show(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.length > 80 ? `${value.slice(0, 77)}...` : value)
  if (Object.is(value, -0)) return '-0'
  if (typeof value === 'number' || typeof value === 'boolean' || value === undefined || value === null)
    return String(value)
  if (typeof value === 'bigint') return `${value}n`
  return kindOf(value)
}

/** The type of a value in words: `a string`, `an array`, `null`. */
export function kindOf(value: unknown): string {
  if (value === null || value === undefined) return String(value)
  if (typeof value === 'number')
    return Number.isNaN(value) ? 'NaN' : Number.isFinite(value) ? 'a number' : String(value)
  if (typeof value !== 'object') return `a ${typeof value}`
  try {
    if (Array.isArray(value)) return 'an array'
    const name: unknown = value.constructor?.name
    return typeof name === 'string' && name !== '' && name !== 'Object' ? `an instance of ${name}` : 'an object'
  } catch {
    return 'an object'
  }
}

function formatPath(path: readonly (string | number)[]): string {
  if (path.length === 0) return ''
  let text = ''
  for (const step of path) {
    if (typeof step === 'number') text += `[${step}]`
    else if (/^[A-Za-z_$][\w$]*$/.test(step)) text += text === '' ? step : `.${step}`
    else text += `[${show(step)}]`
  }
  return `${text}: `
}
