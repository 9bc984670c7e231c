/** What the cases of a suite say again and again. */
import assert from 'node:assert/strict'
import { inspect } from 'node:util'
import { runInNewContext } from 'node:vm'
import type { Logger, StandardSchema, TaskHandle, TaskRecord } from '../../index.js'

/**
 * Fails unless `promise` rejects with an error of this code; gives the error. Classes differ between copies, codes do not.
 *
 * @param given what was refused, where a test tries several things
 */
export async function refused(
  promise: Promise<unknown>,
  code: string,
  ...given: readonly unknown[]
): Promise<Error & Record<string, unknown>> {
  const words = given.map((each) => `${inspect(each, { breakLength: 120 })}: `.slice(0, 200)).join('')
  const error = await rejection(promise, `an error of code ${code}`, words)
  assert.ok(error instanceof Error, `${words}it rejects with an Error, not with ${inspect(error)}`)
  assert.equal(codeOf(error), code, `${words}it rejects with code ${code}, not with ${codeOf(error)}: ${error.message}`)
  return error as Error & Record<string, unknown>
}

/** Fails unless `promise` rejects with this very `error`. */
export async function refusedWith(promise: Promise<unknown>, error: unknown): Promise<void> {
  const actual = await rejection(promise, inspect(error))
  assert.ok(actual === error, `it rejects with the very error ${inspect(error)}, not with ${inspect(actual)}`)
}

async function rejection(promise: Promise<unknown>, expected: string, words = ''): Promise<unknown> {
  let value: unknown
  try {
    value = await promise
  } catch (error) {
    return error
  }
  assert.fail(`${words}it rejects with ${expected}, but it resolved with ${inspect(value, { depth: 1 })}`)
}

/** As `assert.equal`, for values that say nothing by themselves: the message has both, and what they are. */
export function same(actual: unknown, expected: unknown, what: string): void {
  assert.equal(actual, expected, `${what}: ${inspect(actual)}, expected: ${inspect(expected)}`)
}

/** Fails if `record` has one of these fields, also if it is undefined. */
export function lacks(record: object, ...fields: readonly string[]): void {
  for (const field of fields)
    assert.ok(!(field in record), `it has no ${field}, but here it has: ${inspect(record, { breakLength: 120 })}`)
}

/** The paths of an InvalidInputError, as `a.0.b`, sorted. */
export function pathsOf(error: Record<string, unknown>): string[] {
  const issues = error['issues'] as readonly { readonly path: readonly (string | number)[]; readonly message: string }[]
  for (const issue of issues) assert.ok(issue.message.length > 0, 'each issue has a message')
  // Of our realm, whatever realm the schema that made them is of.
  return Array.from(issues, (issue) => issue.path.join('.')).sort()
}

/** A retry policy without jitter. */
export function every(delay: number, attempts = 3): { attempts: number; backoff: { type: 'fixed'; delay: number } } {
  return { attempts, backoff: { type: 'fixed', delay } }
}

/** The ids of handles or records. */
export function ids(tasks: readonly { readonly id: string }[]): string[] {
  return tasks.map(({ id }) => id)
}

/** The one of `tasks` at `index`, which must be there. */
export function nth<Item>(items: readonly Item[], index: number): Item {
  const item = items[index]
  if (item === undefined) assert.fail(`there is no item ${index}`)
  return item
}

/** A Standard Schema made by hand. */
export function schema(validate: StandardSchema['~standard']['validate']): StandardSchema {
  return { '~standard': { version: 1, vendor: 'conformance', validate } }
}

/** `source`, an expression, as another realm makes it: its promises and errors are not instances of ours. */
export function foreign<Value>(source: string): Value {
  return runInNewContext(`(${source})`) as Value
}

/** A logger that remembers its lines. */
export function recorder(): { readonly logger: Logger; readonly lines: Line[] } {
  const lines: Line[] = []
  const line =
    (level: string) =>
    (fields: object, message: string): void =>
      void lines.push({ level, fields: { ...fields }, message })
  return { lines, logger: { debug: line('debug'), info: line('info'), warn: line('warn'), error: line('error') } }
}

export interface Line {
  readonly level: string
  readonly fields: Record<string, unknown>
  readonly message: string
}

/** The truth about a task that must exist. */
export async function recordOf(task: TaskHandle): Promise<TaskRecord> {
  const record = await task.status()
  if (record === undefined) assert.fail('the task is not there')
  return record
}

/** The code of an error, in whatever copy of the library it was made. */
export function codeOf(error: unknown): string {
  return String((error as { readonly code?: unknown } | undefined)?.code)
}
