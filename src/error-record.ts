/**
 * Whatever a handler threw, as bounded plain JSON. Handlers may throw anything: undefined, a frozen object, an error
 * whose getters throw; reading it never throws here.
 */
import { kindOf, show } from './errors.js'
import { type Json, snapshot } from './json.js'
import type { SerializedError } from './record.js'

/** The longest texts that are kept of an error, in bytes of UTF-8. */
export interface ErrorLimits {
  readonly errorMessage: number
  readonly errorStack: number
}

export const ERROR_LIMITS: ErrorLimits = { errorMessage: 4_000, errorStack: 8_000 }
const MAX_NAME = 256
/** A chain of causes is followed this far. */
const MAX_CAUSES = 5

export function serializeError(
  thrown: unknown,
  limits: ErrorLimits = ERROR_LIMITS,
  depth: number = 0,
): SerializedError {
  const { errorMessage, errorStack } = limits
  if (typeof thrown !== 'object' || thrown === null)
    return { name: 'Error', message: cutText(primitiveMessage(thrown), errorMessage) }
  const code = read(thrown, 'code')
  const stack = read(thrown, 'stack')
  const cause = depth < MAX_CAUSES ? read(thrown, 'cause') : undefined
  const details = detailsOf(read(thrown, 'details'))
  return {
    name: text(read(thrown, 'name'), MAX_NAME) ?? 'Error',
    message: text(read(thrown, 'message'), errorMessage) ?? `${kindOf(thrown)} was thrown`,
    ...((typeof code === 'string' || typeof code === 'number') && { code: cutText(String(code), MAX_NAME) }),
    ...(typeof stack === 'string' && { stack: cutText(stack, errorStack) }),
    ...(cause !== undefined && cause !== null && { cause: serializeError(cause, limits, depth + 1) }),
    ...(details !== undefined && { details }),
  }
}

function primitiveMessage(thrown: unknown): string {
  return typeof thrown === 'string' && thrown !== '' ? thrown : `${show(thrown)} was thrown`
}

function text(value: unknown, max: number): string | undefined {
  return typeof value === 'string' && value !== '' ? cutText(value, max) : undefined
}

/** At most `max` bytes of UTF-8, never half a character. */
export function cutText(value: string, max: number): string {
  if (Buffer.byteLength(value) <= max) return value
  const kept = Buffer.from(value)
    .subarray(0, Math.max(0, max - 3))
    .toString()
  return `${kept.replace(/\uFFFD+$/, '')}…`
}

/** A property of whatever was thrown; undefined where there is none, or it cannot be read. */
export function read(from: unknown, property: string): unknown {
  try {
    return (from as Record<string, unknown>)[property]
  } catch {
    return undefined
  }
}

function detailsOf(value: unknown): Json | undefined {
  if (value === undefined) return undefined
  const taken = snapshot(value)
  // What cannot be kept is not lost in silence.
  return 'value' in taken ? taken.value : `not kept: ${taken.issues[0]?.message}`
}
