/**
 * An error on its way between a runner and a worker: as it will be recorded, and with what a retry policy may look at.
 *
 * It arrives as an Error of its kind. What steers a task keeps its meaning; of its other own properties those that are
 * plain values come along (`status`, `errno`).
 */
import { type ErrorLimits, read, serializeError } from '../error-record.js'
import { isFatal, laterOf, NonRetryableError, RetryLaterError } from '../errors.js'
import type { SerializedError } from '../record.js'

export interface CarriedError {
  readonly record: SerializedError
  readonly own: Readonly<Record<string, string | number | boolean | null>>
  readonly fatal: boolean
  readonly later: ReturnType<typeof laterOf>
}

const MOST_PROPERTIES = 32
const LONGEST_PROPERTY = 1_000

export function carried(thrown: unknown, limits?: ErrorLimits): CarriedError {
  return { record: serializeError(thrown, limits), own: ownOf(thrown), fatal: isFatal(thrown), later: laterOf(thrown) }
}

function ownOf(thrown: unknown): CarriedError['own'] {
  if (typeof thrown !== 'object' || thrown === null) return {}
  try {
    const plain = Object.keys(thrown)
      .slice(0, MOST_PROPERTIES)
      .map((key) => [key, read(thrown, key)] as const)
      .filter(([, value]) => value === null || isPlain(value))
    return Object.fromEntries(plain) as CarriedError['own']
  } catch {
    return {} // a proxy that does not tell its keys
  }
}

function isPlain(value: unknown): boolean {
  if (typeof value === 'string') return value.length <= LONGEST_PROPERTY
  return typeof value === 'number' || typeof value === 'boolean'
}

const KINDS = new Map<string, ErrorConstructor>(
  [TypeError, RangeError, SyntaxError, ReferenceError, EvalError, URIError].map((kind) => [kind.name, kind]),
)

/** The error as it arrives. */
export function revived({ record, own, fatal, later }: CarriedError): Error {
  const { name, message, code, stack, cause, details } = record
  const error = fatal
    ? new NonRetryableError(message)
    : later !== undefined
      ? new RetryLaterError(later)
      : new (KINDS.get(name) ?? Error)(message)
  const given = { message, name, stack, code: own['code'] ?? code, details }
  for (const [key, value] of Object.entries({ ...own, ...given })) put(error, key, value)
  if (cause !== undefined) put(error, 'cause', revived({ record: cause, own: {}, fatal: false, later: undefined }))
  return error
}

/** Not by assignment: a name such as `__proto__` is data. One that is undefined is taken away. */
function put(error: Error, key: string, value: unknown): void {
  if (value === undefined) Reflect.deleteProperty(error, key)
  else Object.defineProperty(error, key, { value, configurable: true, enumerable: key === 'code', writable: true })
}
