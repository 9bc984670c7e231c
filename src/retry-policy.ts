/**
 * When a failed attempt is tried again.
 *
 * Policies are merged field by field, submit over definition over the runner's defaults over what is built in; a
 * `backoff` is taken as a whole. Full jitter: AWS Architecture Blog, "Exponential Backoff And Jitter" (2015).
 */
import { type Duration, durationExpected, tryDuration } from './duration.js'
import { type InputIssue, show } from './errors.js'
import type { StoredBackoff, StoredRetry } from './record.js'

export interface Backoff {
  readonly type: 'exponential' | 'fixed'
  /** Before the second attempt. */
  readonly delay: Duration
  /** Exponential: each delay is this times the one before. @default 2 */
  readonly factor?: number
  /** No delay is longer. @default '1h' */
  readonly max?: Duration
  /** A random delay between 0 and the computed one. @default true for exponential, false for fixed */
  readonly jitter?: boolean
}

/** A retry policy as a submit gives it: data only. */
export interface RetryOptions {
  /** Executions in all, the first included. @default 3 */
  readonly attempts?: number
  /** Since the submit (or the last manual retry): after it no further attempt is made. @default no limit */
  readonly maxAge?: Duration
  /** @default { type: 'exponential', delay: '1s' } */
  readonly backoff?: Backoff
}

/** A retry policy as a definition gives it. */
export interface RetryPolicy extends RetryOptions {
  /** Whether this error is worth another attempt. @default every error */
  readonly when?: (error: unknown) => boolean
}

/** A policy with every field filled; spans in ms. */
export interface FilledRetry {
  readonly attempts: number
  readonly maxAge: number
  readonly backoff: StoredBackoff
  readonly when: ((error: unknown) => boolean) | undefined
}

const HOUR = 3_600_000

export const BUILT_IN_RETRY: FilledRetry = {
  attempts: 3,
  maxAge: Number.POSITIVE_INFINITY,
  backoff: { type: 'exponential', delay: 1_000, factor: 2, max: HOUR, jitter: true },
  when: undefined,
}

/** A layer of policy, parsed. */
export type RetryLayer = StoredRetry & { readonly when?: (error: unknown) => boolean }

/** `over` laid upon `under`, field by field. */
export function mergeRetry(under: FilledRetry, over: RetryLayer | undefined): FilledRetry {
  if (over === undefined) return under
  return {
    attempts: over.attempts ?? under.attempts,
    maxAge: over.maxAge ?? under.maxAge,
    backoff: over.backoff ?? under.backoff,
    when: over.when ?? under.when,
  }
}

/** ms before the attempt after the `used`-th of the budget. `random` gives numbers in [0, 1). */
export function backoffDelay(backoff: StoredBackoff, used: number, random: () => number): number {
  const grown = backoff.type === 'fixed' ? backoff.delay : backoff.delay * backoff.factor ** (used - 1)
  const delay = Math.min(grown, backoff.max)
  return Math.round(backoff.jitter ? random() * delay : delay)
}

/** Parses a policy; pushes what is wrong with it into `issues`. `allowWhen`: in a definition only. */
export function parseRetry(
  value: unknown,
  path: readonly string[],
  allowWhen: boolean,
  issues: InputIssue[],
): RetryLayer {
  const refuse = (steps: readonly string[], message: string): undefined => {
    issues.push({ message, path: [...path, ...steps] })
    return undefined
  }
  if (typeof value !== 'object' || value === null) {
    refuse([], `must be an object, got ${show(value)}`)
    return {}
  }
  const { attempts, maxAge, backoff, when, ...unknown } = value as Record<string, unknown>
  for (const field of Object.keys(unknown)) refuse([field], 'is not a field of a retry policy')
  const layer: { -readonly [K in keyof RetryLayer]: RetryLayer[K] } = {}
  if (attempts !== undefined) {
    if (Number.isSafeInteger(attempts) && (attempts as number) >= 1) layer.attempts = attempts as number
    else refuse(['attempts'], `must be an integer of at least 1, got ${show(attempts)}`)
  }
  if (maxAge !== undefined) {
    const ms = tryDuration(maxAge)
    if (ms === undefined) refuse(['maxAge'], `${durationExpected}, got ${show(maxAge)}`)
    else layer.maxAge = ms
  }
  if (backoff !== undefined) {
    const parsed = parseBackoff(backoff, (step, message) =>
      refuse(step === undefined ? ['backoff'] : ['backoff', step], message),
    )
    if (parsed !== undefined) layer.backoff = parsed
  }
  if (when !== undefined) {
    if (!allowWhen) refuse(['when'], 'is allowed in a definition only: a submit is data')
    else if (typeof when === 'function') layer.when = when as (error: unknown) => boolean
    else refuse(['when'], `must be a function, got ${show(when)}`)
  }
  return layer
}

function parseBackoff(
  value: unknown,
  refuse: (step: string | undefined, message: string) => void,
): StoredBackoff | undefined {
  if (typeof value !== 'object' || value === null) {
    refuse(undefined, `must be an object, got ${show(value)}`)
    return undefined
  }
  const {
    type,
    delay,
    factor = 2,
    max = HOUR,
    jitter = type === 'exponential',
    ...unknown
  } = value as Record<string, unknown>
  const delayMs = tryDuration(delay)
  const maxMs = tryDuration(max)
  let good = true
  const check = (ok: boolean, step: string, message: string): void => {
    if (ok) return
    good = false
    refuse(step, message)
  }
  for (const field of Object.keys(unknown)) check(false, field, 'is not a field of a backoff')
  check(type === 'exponential' || type === 'fixed', 'type', `must be 'exponential' or 'fixed', got ${show(type)}`)
  check(delayMs !== undefined, 'delay', `${durationExpected}, got ${show(delay)}`)
  check(
    typeof factor === 'number' && factor >= 1 && factor <= 1_000,
    'factor',
    `must be a number from 1 to 1000, got ${show(factor)}`,
  )
  check(maxMs !== undefined, 'max', `${durationExpected}, got ${show(max)}`)
  check(typeof jitter === 'boolean', 'jitter', `must be true or false, got ${show(jitter)}`)
  if (!good) return undefined
  return { type, delay: delayMs, factor, max: maxMs, jitter } as StoredBackoff
}
