/**
 * A fallback: an output that a handler's error carries, for the case that its retries are used up.
 *
 * Where the policy makes no further attempt, the task is then `succeeded` with it, not `failed`: what was reached is
 * enough, if no more can be. An error that is fatal in itself is taken at its word. The symbol is of the global registry:
 * the ESM and the CommonJS copy of this module read each other's errors.
 */
const FALLBACK: unique symbol = Symbol.for('background-runner.fallback')

/** The same error, which now carries `output` (JSON, or undefined for none). */
export function withFallback<Thrown extends object>(error: Thrown, output: unknown): Thrown {
  return Object.defineProperty(error, FALLBACK, { value: output, configurable: true })
}

/** What a thrown value carries; undefined if nothing, or if it cannot be read. */
export function fallbackOf(thrown: unknown): { readonly output: unknown } | undefined {
  try {
    if (typeof thrown !== 'object' || thrown === null || !Object.hasOwn(thrown, FALLBACK)) return undefined
    return { output: (thrown as { readonly [FALLBACK]?: unknown })[FALLBACK] }
  } catch {
    return undefined // a proxy or a getter that throws carries nothing
  }
}
