/**
 * Log lines. They carry id, name, state, attempt, duration, error code and message; never input, output, metadata,
 * progress, or a credential.
 */
import type { TaskEvent } from './engine.js'
import { serializeError } from './error-record.js'
import { guarded } from './events.js'
import type { Hold, TaskRecord } from './record.js'

/** What is expected of a logger: pino's shape. One that throws harms no task. */
export interface Logger {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

const LEVELS: Readonly<Record<TaskEvent, keyof Logger | undefined>> = {
  submitted: 'debug',
  started: 'debug',
  progress: undefined,
  retrying: 'warn',
  succeeded: 'info',
  failed: 'error',
  cancelled: 'info',
  stalled: 'warn',
  unresponsive: 'warn',
}

/** One line for one event. */
export function logEvent(logger: Logger, event: TaskEvent, record: TaskRecord): void {
  const level = LEVELS[event]
  if (level === undefined) return
  const { id, name, state, attempt, finishedAt, error } = record
  const last = record.attempts.at(-1)
  write(
    logger,
    level,
    {
      id,
      name,
      state,
      attempt,
      // Of the attempt that ended the task, not of a wait; and no clock that was set back makes it negative.
      ...(last?.finishedAt !== undefined &&
        last.finishedAt === finishedAt && { duration: Math.max(0, finishedAt - last.startedAt) }),
      ...(error !== undefined && { code: error.code, error: error.message }),
    },
    `task ${event}`,
  )
}

/** One line for a hold of a name that has begun, was prolonged, or was lifted. */
export function logHold(logger: Logger, name: string, hold: Hold | undefined): void {
  const more = hold && { until: hold.until, code: hold.error.code, error: hold.error.message }
  write(logger, hold ? 'warn' : 'info', { name, ...more }, hold ? 'task held' : 'task unheld')
}

/** A fault that no listener heard: to the logger, else as a process warning. */
export function logFault(logger: Logger | undefined, fault: unknown, record: TaskRecord | undefined): void {
  const { code, message, stack } = serializeError(fault)
  if (logger !== undefined)
    write(logger, 'error', { id: record?.id, name: record?.name, code, error: message }, 'background runner fault')
  else
    process.emitWarning(message, {
      type: 'BackgroundRunnerWarning',
      ...(code && { code }),
      ...(stack && { detail: stack }),
    })
}

/** Loggers that have thrown: each is told of once, not at every line. */
const broken: WeakSet<Logger> = new WeakSet()

/** One line. */
export function write(logger: Logger, level: keyof Logger, fields: object, message: string): void {
  guarded(
    () => logger[level](fields, message),
    (error) => {
      if (!broken.has(logger)) logFault(undefined, error, undefined)
      broken.add(logger)
    },
  )
}
