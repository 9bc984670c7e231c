/** What of a task leaves over HTTP: redacted, whole or in short. */
import type { Hold, SerializedError, TaskRecord } from '../index.js'
import type { Redact } from './redact.js'

export interface TaskSummary
  extends Omit<TaskRecord, 'input' | 'output' | 'outputError' | 'error' | 'metadata' | 'key' | 'attempts'> {
  readonly error?: ShortError
}

export type ShortError = Pick<SerializedError, 'name' | 'message' | 'code'>

/** Of a message in a list. */
const MOST_MESSAGE = 500
/** Of a progress in a list, in characters of its JSON. */
const MOST_PROGRESS = 2_000

export function summaryOf(task: TaskRecord, redact: Redact): TaskSummary {
  const { input: _i, output: _o, outputError: _e, error, metadata: _m, key: _k, attempts: _a, progress, ...told } = task
  return redact({
    ...told,
    ...(progress !== undefined && isShort(progress) && { progress }),
    ...(error !== undefined && { error: shortError(error) }),
  })
}

function isShort(value: unknown): boolean {
  return typeof value === 'number' || JSON.stringify(value).length <= MOST_PROGRESS
}

function shortError({ name, message, code }: SerializedError): ShortError {
  const told = message.length > MOST_MESSAGE ? `${message.slice(0, MOST_MESSAGE)}…` : message
  return { name, message: told, ...(code !== undefined && { code }) }
}

export function holdView({ name, until, error }: Hold, redact: Redact): unknown {
  return redact({ name, until, error: shortError(error) })
}
