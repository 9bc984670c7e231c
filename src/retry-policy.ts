/**
 * When a failed attempt is tried again.
 *
 * Policies are merged field by field, submit over definition over the runner's defaults over what is built in; a
 * `backoff` is taken as a whole. Full jitter: AWS Architecture Blog, "Exponential Backoff And Jitter" (2015).
 */
import type { Duration } from './duration.js'
import type { StoredBackoff, StoredRetry } from './record.js'
import { callable, fields, flag, mapped, type Rule, required, rule, span, whole } from './rules.js'

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

const backoff: Rule<StoredBackoff> = mapped(
  fields({
    type: required(
      rule<StoredBackoff['type']>(
        (value) => value === 'exponential' || value === 'fixed',
        "must be 'exponential' or 'fixed'",
      ),
    ),
    delay: required(span),
    factor: rule<number>(
      (value) => typeof value === 'number' && value >= 1 && value <= 1_000,
      'must be a number from 1 to 1000',
    ),
    max: span,
    jitter: flag,
  }),
  ({ type, delay, factor = 2, max = HOUR, jitter = type === 'exponential' }) => ({ type, delay, factor, max, jitter }),
)

const data = { attempts: whole(1), maxAge: span, backoff }

/** What a submit may say of retries. */
export const retryOptions: Rule<StoredRetry> = fields(data)
/** What a definition may say of them. */
export const retryPolicy: Rule<RetryLayer> = fields({ ...data, when: callable<(error: unknown) => boolean>() })
