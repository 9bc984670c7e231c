/** Every default of a runner, resolved once; the only file that names the default engine. */
import { type Clock, systemClock } from './clock.js'
import { type Duration, durationExpected, tryDuration } from './duration.js'
import type { Engine, RetentionPolicy } from './engine.js'
import { type InputIssue, InvalidInputError, kindOf, show } from './errors.js'
import { type Json, MAX_BYTES } from './json.js'
import { localEngine } from './local/local-engine.js'
import { MemoryStore } from './local/memory-store.js'
import type { Logger } from './logger.js'
import { BUILT_IN_RETRY, mergeRetry, parseRetry, type RetryPolicy } from './retry-policy.js'
import { concurrencyExpected, isConcurrency, type TaskMap } from './task.js'
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
  /** The largest values, in bytes of JSON, and the longest texts of an error, in characters. */
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

const FIELDS: ReadonlySet<string> = new Set([
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
])

/** The engine that keeps tasks in the memory of this process. */
export function memory(): Engine {
  return localEngine(new MemoryStore())
}

/** @throws {InvalidInputError} naming each option that is wrong */
export function fillOptions(options: RunnerOptions<TaskMap>): FilledOptions {
  const issues: InputIssue[] = []
  const refuse = (path: readonly string[], expected: string, value: unknown): void => {
    issues.push({ message: `${expected}, got ${show(value)}`, path })
  }
  const span = (value: unknown, otherwise: number, ...path: string[]): number => {
    if (value === undefined) return otherwise
    const ms = tryDuration(value)
    if (ms === undefined) refuse(path, durationExpected, value)
    return ms ?? otherwise
  }
  const whole = (value: unknown, otherwise: number, least: number, ...path: string[]): number => {
    if (value === undefined || value === Number.POSITIVE_INFINITY) return value ?? otherwise
    if (Number.isSafeInteger(value) && (value as number) >= least) return value as number
    refuse(path, `must be an integer of at least ${least}`, value)
    return otherwise
  }
  if (typeof options !== 'object' || options === null) {
    throw new InvalidInputError('bad runner options', [
      { message: `must be an object, got ${kindOf(options)}`, path: [] },
    ])
  }
  for (const field of Object.keys(options))
    if (!FIELDS.has(field)) issues.push({ message: 'is not an option of a runner', path: [field] })
  const {
    tasks,
    concurrency = 10,
    work = true,
    defaults = {},
    retention = {},
    limits = {},
    context,
    logger,
    clock = systemClock,
    random,
  } = options
  if (!isConcurrency(concurrency)) refuse(['concurrency'], concurrencyExpected, concurrency)
  if (typeof work !== 'boolean') refuse(['work'], 'must be true or false', work)
  if (context !== undefined && typeof context.capture !== 'function')
    refuse(['context', 'capture'], 'must be a function', context.capture)
  if (context?.run !== undefined && typeof context.run !== 'function')
    refuse(['context', 'run'], 'must be a function', context.run)
  if (random !== undefined && typeof random !== 'function') refuse(['random'], 'must be a function', random)

  const defaultRetry = mergeRetry(
    BUILT_IN_RETRY,
    defaults.retry === undefined ? undefined : parseRetry(defaults.retry, ['defaults', 'retry'], true, issues),
  )
  const defaultTimeout = defaults.timeout === undefined ? undefined : span(defaults.timeout, 0, 'defaults', 'timeout')
  const works = new Map<string, Work>()
  if (typeof tasks !== 'object' || tasks === null) refuse(['tasks'], 'must be an object of task definitions', tasks)
  else {
    for (const [name, definition] of Object.entries(tasks)) {
      if (typeof definition?.run !== 'function') refuse(['tasks', name], 'must be made by defineTask', definition)
      else if (name.length > 256 || /\p{Cc}|\p{Cs}/u.test(name) || name === '')
        refuse(['tasks'], 'names must have 1 to 256 characters and no control character', name)
      else works.set(name, new Work(definition, defaultRetry, defaultTimeout))
    }
  }
  const filled: Omit<FilledOptions, 'engine'> = {
    works,
    concurrency,
    work,
    retention: {
      succeeded: span(retention.succeeded, 86_400_000, 'retention', 'succeeded'),
      cancelled: span(retention.cancelled, 86_400_000, 'retention', 'cancelled'),
      failed: span(retention.failed, 14 * 86_400_000, 'retention', 'failed'),
      count: retention.count === undefined ? undefined : whole(retention.count, 0, 0, 'retention', 'count'),
    },
    maxPending: whole(options.maxPending, Number.POSITIVE_INFINITY, 1, 'maxPending'),
    cancelGrace: span(options.cancelGrace, 5_000, 'cancelGrace'),
    limits: {
      input: whole(limits.input, MAX_BYTES, 1, 'limits', 'input'),
      output: whole(limits.output, MAX_BYTES, 1, 'limits', 'output'),
      errorMessage: whole(limits.errorMessage, 4_000, 1, 'limits', 'errorMessage'),
      errorStack: whole(limits.errorStack, 8_000, 1, 'limits', 'errorStack'),
    },
    context,
    logger,
    clock,
    random: random ?? Math.random,
    seeded: random,
  }
  if (issues.length > 0) throw new InvalidInputError('bad runner options', issues)
  return { ...filled, engine: options.engine ?? memory() }
}
