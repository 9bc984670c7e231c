/** Every default of a runner, resolved once; the only file that names the default engine. */

import { Checks, type Fields } from './check.js'
import { type Clock, systemClock } from './clock.js'
import type { Duration } from './duration.js'
import type { Engine, RetentionPolicy } from './engine.js'
import { ERROR_LIMITS } from './error-record.js'
import { type Json, MAX_BYTES } from './json.js'
import { isLabel, labelExpected } from './label.js'
import { localEngine } from './local/local-engine.js'
import { MemoryStore } from './local/memory-store.js'
import type { Logger } from './logger.js'
import { BUILT_IN_RETRY, mergeRetry, parseRetry, type RetryPolicy } from './retry-policy.js'
import { concurrencyExpected, isConcurrency, type TaskDefinition, type TaskMap } from './task.js'
import { Work } from './work.js'

export interface RunnerOptions<Tasks extends TaskMap> {
  /** The task definitions, each under the name by which it is submitted. */
  readonly tasks: Tasks
  /** Where tasks live. @default memory() */
  readonly engine?: Engine
  /** Attempts that run at once in this process. @default 10 */
  readonly concurrency?: number
  /** False: this process only submits. @default true */
  readonly work?: boolean
  /** What holds for every task that does not say otherwise. */
  readonly defaults?: {
    /** @default 3 attempts, exponential from 1 s, factor 2, full jitter, at most 1 h */
    readonly retry?: RetryPolicy
    /** How long one attempt may take. @default no limit */
    readonly timeout?: Duration
  }
  /** How long finished tasks are kept. */
  readonly retention?: {
    /** @default '24h' */
    readonly succeeded?: Duration
    /** @default '24h' */
    readonly cancelled?: Duration
    /** @default '14d' */
    readonly failed?: Duration
    /** Most finished tasks. @default 100 000 on memory, no bound on durable engines */
    readonly count?: number
  }
  /** Most tasks that may wait (queued and scheduled); `submit` rejects beyond it. @default no limit */
  readonly maxPending?: number
  /** How long a handler has to stop when it is asked to, before it is `unresponsive`. @default '5s' */
  readonly cancelGrace?: Duration
  /** The largest values, in bytes of JSON, and the longest texts of an error, in bytes of UTF-8. */
  readonly limits?: {
    /** @default 1 MiB */
    readonly input?: number
    /** @default 1 MiB */
    readonly output?: number
    /** @default 4000 */
    readonly errorMessage?: number
    /** @default 8000 */
    readonly errorStack?: number
  }
  /** Carries what surrounds a submit (a request id, a trace) to the handler. */
  readonly context?: {
    /** Called at each submit. */
    readonly capture: () => Json | undefined
    /** Calls `fn`, the handler, within what was captured. */
    readonly run?: <Result>(value: Json | undefined, fn: () => Result) => Result
  }
  /** pino, or anything of its shape. @default none */
  readonly logger?: Logger
  /** For tests. @default the system's */
  readonly clock?: Clock
  /** Numbers in [0, 1), for tests: jitter and ids come from it. @default Math.random, and ids of 128 random bits */
  readonly random?: () => number
}

/** Options with every field filled; spans in ms. */
export interface FilledOptions {
  readonly works: ReadonlyMap<string, Work>
  readonly engine: Engine
  readonly concurrency: number
  readonly work: boolean
  readonly retention: RetentionPolicy
  readonly maxPending: number
  readonly cancelGrace: number
  readonly limits: {
    readonly input: number
    readonly output: number
    readonly errorMessage: number
    readonly errorStack: number
  }
  readonly context: RunnerOptions<TaskMap>['context']
  readonly logger: Logger | undefined
  readonly clock: Clock
  /** For jitter. */
  readonly random: () => number
  /** The source of ids, where it was given. */
  readonly seeded: (() => number) | undefined
}

const DAY = 86_400_000

/** The engine that keeps tasks in the memory of this process. */
export function memory(): Engine {
  return localEngine(new MemoryStore())
}

/** @throws {InvalidInputError} naming each option that is wrong */
export function fillOptions(options: RunnerOptions<TaskMap>): FilledOptions {
  const check = new Checks('bad runner options')
  const given = check.object(options ?? null, [], FIELDS)
  const { tasks, concurrency, work, maxPending, cancelGrace, random } = given
  const defaults = check.object(given.defaults, ['defaults'], ['retry', 'timeout'])
  const retention = check.object(given.retention, ['retention'], ['succeeded', 'cancelled', 'failed', 'count'])
  const limits = check.object(given.limits, ['limits'], ['input', 'output', 'errorMessage', 'errorStack'])
  const context = check.object(given.context, ['context'], ['capture', 'run'])
  if (given.context !== undefined) check.callable(context.capture ?? null, ['context', 'capture'])
  check.callable(context.run, ['context', 'run'])
  const kept = (state: keyof typeof retention, otherwise: number): number =>
    check.span(retention[state], ['retention', state]) ?? otherwise
  const limit = (what: keyof typeof limits, otherwise: number): number =>
    check.whole(limits[what], ['limits', what], 1) ?? otherwise
  const chance = check.callable<() => number>(random, ['random'])
  const filled: Omit<FilledOptions, 'engine'> = {
    works: fillWorks(tasks, defaults, check),
    concurrency: check.that(concurrency, ['concurrency'], isConcurrency, concurrencyExpected) ?? 10,
    work: check.flag(work, ['work']) ?? true,
    retention: {
      succeeded: kept('succeeded', DAY),
      cancelled: kept('cancelled', DAY),
      failed: kept('failed', 14 * DAY),
      count: check.whole(retention.count, ['retention', 'count'], 0),
    },
    maxPending: check.that(maxPending, ['maxPending'], isConcurrency, concurrencyExpected) ?? Number.POSITIVE_INFINITY,
    cancelGrace: check.span(cancelGrace, ['cancelGrace']) ?? 5_000,
    limits: {
      input: limit('input', MAX_BYTES),
      output: limit('output', MAX_BYTES),
      errorMessage: limit('errorMessage', ERROR_LIMITS.errorMessage),
      errorStack: limit('errorStack', ERROR_LIMITS.errorStack),
    },
    context: options?.context,
    logger: check.that(
      given.logger,
      ['logger'],
      isLogger,
      'must have the methods of a logger: debug, info, warn, error',
    ),
    clock:
      check.that(
        given.clock,
        ['clock'],
        isClock,
        'must have the methods of a clock: now, monotonic, setTimeout, clearTimeout',
      ) ?? systemClock,
    random: chance ?? Math.random,
    seeded: chance,
  }
  const engine = check.that(given.engine, ['engine'], isEngine, 'must be an engine, such as memory()')
  check.done()
  return { ...filled, engine: engine ?? memory() }
}

const FIELDS = [
  'tasks',
  'engine',
  'concurrency',
  'work',
  'defaults',
  'retention',
  'maxPending',
  'cancelGrace',
  'limits',
  'context',
  'logger',
  'clock',
  'random',
] as const

function fillWorks(tasks: unknown, { retry, timeout }: Fields, check: Checks): Map<string, Work> {
  const policy = retry === undefined ? undefined : parseRetry(retry, ['defaults', 'retry'], true, check)
  const defaultRetry = mergeRetry(BUILT_IN_RETRY, policy)
  const defaultTimeout = check.span(timeout, ['defaults', 'timeout'])
  const works = new Map<string, Work>()
  for (const [name, definition] of Object.entries(check.object(tasks ?? null, ['tasks']))) {
    check.that(name, ['tasks'], isLabel, `each name ${labelExpected}`)
    const made = check.that(definition ?? null, ['tasks', name], isDefinition, 'must be made by defineTask')
    if (made !== undefined) works.set(name, new Work(made, defaultRetry, defaultTimeout))
  }
  return works
}

function isDefinition(value: unknown): value is TaskDefinition {
  return has(value, ['run']) && isConcurrency((value as TaskDefinition).concurrency)
}

function isLogger(value: unknown): value is Logger {
  return has(value, ['debug', 'info', 'warn', 'error'])
}

function isClock(value: unknown): value is Clock {
  return has(value, ['now', 'monotonic', 'setTimeout', 'clearTimeout'])
}

function isEngine(value: unknown): value is Engine {
  return has(value, ['start', 'enqueue', 'stop'])
}

/** Whether `value` has these methods. */
function has(value: unknown, methods: readonly string[]): boolean {
  return methods.every((method) => typeof (value as Record<string, unknown> | null)?.[method] === 'function')
}
