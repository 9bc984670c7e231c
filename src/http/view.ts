/** What of a task leaves over HTTP: redacted, whole or in short. */
import type { Explanation, Hold, SerializedError, TaskRecord } from '../index.js'
import { Problem, problemOf } from './problem.js'
import { hiddenTexts, type Redact, withoutTexts } from './redact.js'

export interface TaskSummary
  extends Omit<TaskRecord, 'input' | 'output' | 'outputError' | 'error' | 'metadata' | 'key' | 'attempts'> {
  readonly error?: ShortError
}

export type ShortError = Pick<SerializedError, 'name' | 'message' | 'code'>

/** Of a message in a list. */
const MOST_MESSAGE = 500
/** Of a progress in a list, in characters of its JSON. */
const MOST_PROGRESS = 2_000

/** A record as it leaves: without what is hidden, also where its errors quote it. */
export function recordOf(task: TaskRecord, redact: Redact): TaskRecord {
  const shown = redact(task)
  if (shown === task) return task
  const { error, outputError, attempts } = shown
  const told = { ...(error && { error }), ...(outputError && { outputError }), attempts }
  return { ...shown, ...withoutTexts(told, hiddenTexts(task, shown)) }
}

export function summaryOf(task: TaskRecord, redact: Redact): TaskSummary {
  const {
    input: _i,
    output: _o,
    outputError: _e,
    error: _,
    metadata: _m,
    key: _k,
    attempts: _a,
    progress,
    ...told
  } = task
  const error = task.error && recordOf(task, redact).error
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

/** @param task where a reason has a key: the app may have made it of what is hidden */
export function explanationOf(explanation: Explanation, task: TaskRecord | undefined, redact: Redact): Explanation {
  const told = redact(explanation)
  if (task === undefined) return told
  const texts = hiddenTexts(task, redact(task))
  const reasons = told.reasons.map((each) => ('key' in each ? { ...each, key: withoutTexts(each.key, texts) } : each))
  return { ...told, reasons }
}

/** What is wrong with an input is told without what is hidden of it. */
export async function unquoted<T>(work: Promise<T>, input: unknown, redact: Redact): Promise<T> {
  try {
    return await work
  } catch (error) {
    const problem = problemOf(error)
    if (problem?.issues === undefined) throw error
    const { status, code, message, issues } = problem
    let texts: readonly string[]
    try {
      texts = hiddenTexts(input, redact(input))
    } catch {
      throw new Problem(status, code, 'The input is nested too deeply.')
    }
    throw new Problem(status, code, withoutTexts(message, texts), { issues: withoutTexts(issues, texts) })
  }
}
