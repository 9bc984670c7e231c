/** Every default of a runner, resolved once; the only file that names the default engine. */

import { type Clock, systemClock, wholeMs } from './clock.js'
import type { Duration } from './duration.js'
import type { Engine, RetentionPolicy } from './engine.js'
import { ERROR_LIMITS } from './error-record.js'
import { UnsupportedByEngineError } from './errors.js'
import { type Json, MAX_BYTES } from './json.js'
import { amounts, checkNeed, type Requirements } from './limits.js'
import { localEngine } from './local/local-engine.js'
import { MemoryStore } from './local/memory-store.js'
import type { Logger } from './logger.js'
import { BUILT_IN_RETRY, mergeRetry, type RetryPolicy, retryPolicy } from './retry-policy.js'
import {
  callable,
  concurrency,
  entries,
  fields,
  flag,
  having,
  label,
  type Rule,
  read,
  required,
  rule,
  span,
  whole,
} from './rules.js'
import type { TaskDefinition, TaskMap } from './task.js'
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
  /** How much there is of what tasks need (`requires`), in all processes together: `{ cpu: 4, gpu: 1 }`. @default nothing */
  readonly resources?: Requirements
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
  /** Numbers in [0, 1), for tests: jitter and ids come from it. @default Math.random, and ids with 84 random bits */
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
  readonly resources: ReadonlyMap<string, number>
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

const SUBJECT = 'bad runner options'
const DAY = 86_400_000

/** The engine that keeps tasks in the memory of this process. */
export function memory(): Engine {
  return localEngine(new MemoryStore())
}

/** @throws {InvalidInputError} naming each option that is wrong */
export function fillOptions(options: RunnerOptions<TaskMap>): FilledOptions {
  const given = read(SUBJECT, options, OPTIONS)
  const { defaults = {}, random } = given
  const retry = mergeRetry(BUILT_IN_RETRY, defaults.retry)
  const resources = new Map(Object.entries(given.resources ?? {}))
  const engine = given.engine ?? memory()
  checkLimits(given.tasks, resources, engine)
  return {
    works: new Map(given.tasks.map(([name, definition]) => [name, new Work(definition, retry, defaults.timeout)])),
    engine,
    concurrency: given.concurrency ?? 10,
    work: given.work ?? true,
    retention: { succeeded: DAY, cancelled: DAY, failed: 14 * DAY, count: undefined, ...given.retention },
    maxPending: given.maxPending ?? Number.POSITIVE_INFINITY,
    resources,
    cancelGrace: given.cancelGrace ?? 5_000,
    limits: { input: MAX_BYTES, output: MAX_BYTES, ...ERROR_LIMITS, ...given.limits },
    context: given.context,
    logger: given.logger,
    clock: given.clock === undefined ? systemClock : wholeMs(given.clock),
    random: random ?? Math.random,
    seeded: random,
  }
}

/** @throws {UnsupportedByEngineError} {InvalidInputError} a task needs more than there is */
function checkLimits(
  tasks: readonly (readonly [string, TaskDefinition])[],
  resources: ReadonlyMap<string, number>,
  { name: engine, capabilities }: Engine,
): void {
  const ability = 'keep keyed concurrency, rate limits and resources'
  if (!capabilities.quotas && (resources.size > 0 || tasks.some(([, { limits }]) => limits !== undefined)))
    throw new UnsupportedByEngineError(engine, ability)
  for (const [name, { limits }] of tasks) {
    if (typeof limits?.requires === 'object')
      checkNeed(limits.requires, resources, SUBJECT, ['tasks', name, 'requires'])
  }
}

type Context = NonNullable<RunnerOptions<TaskMap>['context']>

const definition: Rule<TaskDefinition> = rule(
  (value) =>
    typeof (value as TaskDefinition | null)?.run === 'function' && Object.hasOwn(value as object, 'concurrency'),
  'must be made by defineTask',
)

const OPTIONS = fields({
  tasks: required(entries(label, definition)),
  engine: having<Engine>('an engine', 'start', 'enqueue', 'stop'),
  concurrency,
  work: flag,
  defaults: fields({ retry: retryPolicy, timeout: span }),
  retention: fields({ succeeded: span, cancelled: span, failed: span, count: whole(0) }),
  maxPending: concurrency,
  resources: amounts,
  cancelGrace: span,
  limits: fields({ input: whole(1), output: whole(1), errorMessage: whole(1), errorStack: whole(1) }),
  context: fields({ capture: required(callable<Context['capture']>()), run: callable<NonNullable<Context['run']>>() }),
  logger: having<Logger>('a logger', 'debug', 'info', 'warn', 'error'),
  clock: having<Clock>('a clock', 'now', 'monotonic', 'setTimeout', 'clearTimeout'),
  random: callable<() => number>(),
})
