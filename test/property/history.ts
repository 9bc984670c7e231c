/** Random histories of a runner: what is done to it, step by step. */
import fc from 'fast-check'
import type { Spec } from './model.js'

export type Ending = 'success' | 'failure' | 'fatal' | 'later' | 'anything'
export type Step =
  | { type: 'submit'; spec: Spec }
  | { type: 'submitMany'; specs: readonly Spec[] }
  | { type: 'cancel'; at: number; force: boolean }
  | { type: 'retry'; at: number; delay: number }
  | { type: 'setPriority'; at: number; priority: number }
  | { type: 'remove'; at: number }
  | { type: 'pause' }
  | { type: 'resume' }
  | { type: 'concurrency'; to: number }
  | { type: 'advance'; ms: number }
  | { type: 'end'; at: number; ending: Ending }
  /** Its process dies; `busy`: with a submit and a verdict on their way, which nobody has acknowledged. */
  | { type: 'crash'; busy: boolean; at: number }

const spec: fc.Arbitrary<Spec> = fc.record({
  deaf: fc.boolean(),
  priority: fc.integer({ min: -2, max: 2 }),
  delay: fc.constantFrom(0, 0, 0, 700, 2_300, 600_000),
  attempts: fc.integer({ min: 1, max: 3 }),
  backoff: fc.constantFrom(0, 1_100, 30_000),
  timeout: fc.constantFrom(undefined, undefined, 1_900, 9_000),
})
const at = fc.nat({ max: 30 })
const steps: readonly { readonly weight: number; readonly arbitrary: fc.Arbitrary<Step> }[] = [
  { weight: 6, arbitrary: fc.record({ type: fc.constant('submit' as const), spec }) },
  {
    weight: 1,
    arbitrary: fc.record({ type: fc.constant('submitMany' as const), specs: fc.array(spec, { maxLength: 5 }) }),
  },
  { weight: 3, arbitrary: fc.record({ type: fc.constant('cancel' as const), at, force: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('retry' as const), at, delay: fc.constantFrom(0, 0, 1_300) }) },
  {
    weight: 2,
    arbitrary: fc.record({ type: fc.constant('setPriority' as const), at, priority: fc.integer({ min: -3, max: 3 }) }),
  },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('remove' as const), at }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('pause' as const) }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('resume' as const) }) },
  {
    weight: 1,
    arbitrary: fc.record({ type: fc.constant('concurrency' as const), to: fc.integer({ min: 1, max: 4 }) }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      type: fc.constant('advance' as const),
      ms: fc.constantFrom(0, 10, 500, 1_000, 5_000, 61_000, 601_000),
    }),
  },
  {
    weight: 8,
    arbitrary: fc.record({
      type: fc.constant('end' as const),
      at,
      ending: fc.constantFrom<Ending[]>('success', 'success', 'failure', 'fatal', 'later', 'anything'),
    }),
  },
]
const crash = { weight: 2, arbitrary: fc.record({ type: fc.constant('crash' as const), busy: fc.boolean(), at }) }

export interface History {
  readonly concurrency: number
  readonly steps: readonly Step[]
  /** It is closed in the end, whatever runs; otherwise when all has come to an end. */
  readonly close: boolean
}

/** @param mortal whether its process may die now and then */
export function histories(mortal: boolean): fc.Arbitrary<History> {
  return fc.record({
    concurrency: fc.integer({ min: 1, max: 3 }),
    steps: fc.array(fc.oneof(...steps, ...(mortal ? [crash] : [])), { maxLength: 58, size: 'max' }),
    close: fc.boolean(),
  })
}

/** A failure prints its seed and its history at once; SEED repeats it, SHRINK=1 makes the history short, which takes a while. */
export function parameters<Of = [History]>(part: number, runs: number): fc.Parameters<Of> {
  if (part === 1) console.log(`property seed: SEED=${SEED}`)
  return { numRuns: runs, endOnFailure: process.env['SHRINK'] === undefined, seed: (SEED + part) | 0 }
}

/**
 * On a slow machine fewer histories are lived, of those that nobody asked for by number: no run of all tests has ever to be
 * ended for them.
 */
export function patiently<Of extends unknown[]>(
  live: (...history: Of) => Promise<void>,
): (...history: Of) => Promise<void> {
  const until = isAsked ? Number.POSITIVE_INFINITY : performance.now() + PATIENCE
  return async (...history) => {
    if (performance.now() < until) await live(...history)
  }
}

/** ms */
const PATIENCE = 25_000
const isAsked = process.env['SEED'] !== undefined || process.env['RUNS'] !== undefined

/** ms for one test; none while a history is made short. */
export const TIMEOUT: number = process.env['SHRINK'] === undefined ? 300_000 : 0

const SEED = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31))
