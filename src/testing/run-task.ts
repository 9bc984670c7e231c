/**
 * `runTask`: one attempt of one definition, through the code of production.
 *
 * A real runner checks the input and makes the attempt; below it, in place of an engine, stands one that keeps nothing and
 * hands the attempt back to the test. So the schema, `setup`, the timeout, the retry policy and the verdict are the real
 * ones, and there is no queue.
 */
import { inspect } from 'node:util'
import {
  type AttemptRecord,
  BackgroundRunner,
  type Duration,
  type Engine,
  type EngineHost,
  type InputOf,
  InvalidInputError,
  type Json,
  type Logger,
  type NewTask,
  type Outcome,
  type OutputOf,
  type StopReport,
  type StoredTask,
  type TaskContext,
  type TaskDefinition,
} from '../index.js'
import { type Call, Driver } from './driver.js'
import { type IsolatedOption, issuesOf, patienceFor, placed } from './isolated.js'
import { seeded } from './random.js'
import { toMs } from './span.js'
import { toTime, VirtualClock } from './virtual-clock.js'

/** What the attempt is like. */
export interface RunTaskOptions extends IsolatedOption {
  /** Which attempt it is: the last one that the retry policy allows fails for good. @default 1 */
  readonly attempt?: number
  /** What an earlier attempt saved. @default nothing */
  readonly saved?: Json
  /** Aborted, it asks the attempt to stop, as `cancel` does; the text of its reason is the cancel's reason. */
  readonly signal?: AbortSignal
  /** @default the definition's, else no limit */
  readonly timeout?: Duration
  readonly metadata?: Json
  /** What the runner's `context.capture` gave at submit. */
  readonly context?: Json
  /** How the attempt before ended; what is left out is filled in. @default in an attempt after the first: 'retry' */
  readonly previous?: Partial<AttemptRecord>
  /** Manual retries so far. @default 0 */
  readonly retries?: number
  /** The name and the id that the handler sees. @default 'task', and a seeded id */
  readonly name?: string
  readonly id?: string
  /** What the clock shows as the attempt begins: epoch ms, a Date, or a date as text. @default 2030-01-01T00:00:00.000Z */
  readonly now?: number | string | Date
  /** Where chance begins: the same seed gives the same jitter. @default 1 */
  readonly seed?: number | string
  /** Real time for which a handler that does not settle is waited for. @default '2s'; where it is `isolated`, '10s' */
  readonly realTimeout?: Duration
}

/** The verdict on an attempt, its output typed by the definition. */
export type OutcomeOf<Output> =
  | Exclude<Outcome, { readonly type: 'succeeded' }>
  | (Omit<Extract<Outcome, { readonly type: 'succeeded' }>, 'output'> & { readonly output: Output })

const SUBJECT = 'bad options of runTask'

/** What became of an attempt. */
export interface RunTaskResult<Output = unknown> {
  readonly outcome: OutcomeOf<Output>
  /** Every value that it told, in order; a runner shows at most one each 100 ms. */
  readonly progress: readonly Json[]
  /** What it saved last, else what it was given. */
  readonly saved: Json | undefined
  /** What it gave to `ctx.log`; and faults that a runner would have told its logger, `background runner fault`. */
  readonly logs: readonly { readonly message: string; readonly fields: Readonly<Record<string, unknown>> }[]
  /** ms by the clock */
  readonly elapsed: number
}

/** The arguments of `runTask` after the definition: no input where the task takes none. */
export type RunTaskArguments<Input> = undefined extends Input
  ? [input?: Input, options?: RunTaskOptions]
  : [input: Input, options?: RunTaskOptions]

/**
 * Runs one attempt of a definition, without a queue. A handler that does nothing but wait for its signal is taken to its
 * timeout at once.
 *
 * @example
 * const { outcome, elapsed } = await runTask(resize, { path: 'a.png', width: 100 }, { attempt: 3 })
 *
 * @throws {InvalidInputError} as `submit`: the schema refuses the input, or JSON cannot hold it; or an option is wrong
 * @throws {AssertionError} the handler does not settle within `realTimeout`
 */
export async function runTask<Definition extends TaskDefinition>(
  definition: Definition,
  ...args: RunTaskArguments<InputOf<Definition>>
): Promise<RunTaskResult<OutputOf<Definition>>>
export async function runTask(
  definition: TaskDefinition,
  input?: unknown,
  options: RunTaskOptions = {},
): Promise<RunTaskResult> {
  const { name = 'task', seed = 1, isolated = false, id, timeout, metadata, context } = options
  const { realTimeout = patienceFor(isolated) } = options
  const issues = issuesOf(isolated)
  if (issues.length > 0) throw new InvalidInputError(SUBJECT, issues)
  const clock = new VirtualClock(undefined, toTime(options.now, SUBJECT))
  const progress: Json[] = []
  const tell = (value: unknown): void => void progress.push(JSON.parse(JSON.stringify(value)) as Json)
  const driver = new Driver(clock, toMs(realTimeout, 'realTimeout', SUBJECT), (_call, value) => tell(value))
  const logs: { message: string; fields: Record<string, unknown> }[] = []
  const engine = new OneAttempt()
  const runner = new BackgroundRunner({
    tasks: { [name]: { ...watched(placed(definition, isolated), tell), limits: undefined } }, // it waits for none
    engine,
    clock,
    random: seeded(seed),
    logger: recorder(logs),
    ...(context !== undefined && { context: { capture: () => context } }),
  })
  try {
    const given = { id, timeout, metadata }
    await runner.submit(
      name,
      input,
      Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)),
    )
    const task = engine.task(options, clock.now())
    const attempt = `attempt ${task.attempt}`
    const call: Call = {
      title: `the handler of ${name} (${attempt})`,
      since: clock.monotonic(),
      timeout: task.extras?.timeout ?? definition.timeout,
    }
    const outcome = await run(engine, task, call, driver, options.signal)
    return {
      outcome: outcome as OutcomeOf<unknown>,
      progress,
      saved: task.extras?.saved,
      logs,
      elapsed: clock.monotonic() - call.since,
    }
  } finally {
    const call: Call = { title: 'the teardown', since: clock.monotonic(), timeout: undefined }
    const closing = driver.activity.within(call, () => runner.close())
    await driver.close(call, closing)
    await closing
  }
}

async function run(
  engine: OneAttempt,
  task: StoredTask,
  call: Call,
  driver: Driver,
  signal: AbortSignal | undefined,
): Promise<Outcome> {
  const attempt = engine.host.attempt(task, {
    progress: () => {},
    save: (value) => {
      task.extras = { ...task.extras, saved: value }
    },
    unresponsive: () => {},
  })
  const stop = (): void => attempt.stop({ type: 'cancel', reason: textOf(signal?.reason), force: false })
  if (signal?.aborted) stop()
  signal?.addEventListener('abort', stop, { once: true })
  let outcome: Outcome | undefined
  driver.began(call)
  const running = driver.activity
    .within(call, () => attempt.run())
    .then((verdict) => {
      outcome = verdict
      driver.ended(call)
      return verdict
    })
  try {
    await driver.until(
      () => outcome !== undefined,
      () => (driver.canTimeOut(call) ? undefined : [call]),
    )
    return await running
  } finally {
    signal?.removeEventListener('abort', stop)
    attempt.stop({ type: 'abandon' }) // does nothing to one that has ended
  }
}

/** The definition, its handler's progress told to `tell` as well: before it is throttled. */
function watched(definition: TaskDefinition, tell: (value: unknown) => void): TaskDefinition {
  const spied = (ctx: TaskContext): TaskContext =>
    new Proxy(ctx, {
      get: (target, key) => {
        if (key !== 'progress') return Reflect.get(target, key, target)
        return (value: unknown): void => {
          target.progress(value)
          tell(value)
        }
      },
    })
  if (typeof definition?.run !== 'function') return definition // which the runner refuses
  const { run } = definition
  return { ...definition, run: (input, ctx) => run(input, spied(ctx)) }
}

function recorder(logs: { message: string; fields: Record<string, unknown> }[]): Logger {
  const write = (fields: object, message: string): void => {
    const { id, name, attempt, ...own } = fields as Record<string, unknown>
    logs.push({ message, fields: own })
  }
  return { debug: write, info: write, warn: write, error: write }
}

/** What an abort says: `TaskCancelledError` takes a text. */
function textOf(reason: unknown): string {
  const { message } = (reason ?? {}) as { readonly message?: unknown }
  return typeof message === 'string' ? message : String(reason)
}

const NOTHING: StopReport = { completed: 0, returned: 0, abandoned: 0, pending: 0 }

/** An engine that keeps the one task that is submitted, and leaves the attempt to the test. */
class OneAttempt implements Engine {
  readonly name = 'one attempt'
  readonly capabilities = {
    durable: false,
    shared: false,
    feed: 'local',
    limits: 'process',
    quotas: true,
    schedules: false,
  } as const
  host!: EngineHost
  #task!: NewTask

  start(host: EngineHost): void {
    this.host = host
  }

  enqueue(tasks: readonly NewTask[]): { readonly id: string; readonly deduplicated: boolean }[] {
    this.#task = tasks[0] as NewTask
    return tasks.map(({ id }) => ({ id, deduplicated: false }))
  }

  /** The task as an engine would give it to its next attempt. */
  task({ previous, saved, retries, ...options }: RunTaskOptions, now: number): StoredTask {
    const { attempt = (previous?.number ?? (previous ? 1 : 0)) + 1 } = options
    if (!Number.isInteger(attempt) || attempt < 1) {
      const message = `must be an integer of at least 1, got ${inspect(attempt)}`
      throw new InvalidInputError(SUBJECT, [{ message, path: ['attempt'] }])
    }
    const { id, name, input, maxAttempts, priority, extras } = this.#task
    const before: AttemptRecord = {
      number: attempt - 1,
      startedAt: now,
      finishedAt: now,
      outcome: 'retry',
      ...previous,
    }
    return {
      id,
      name,
      input,
      maxAttempts,
      priority,
      attempt,
      state: 'running',
      output: undefined,
      error: undefined,
      createdAt: now,
      runAt: now,
      startedAt: now,
      finishedAt: 0,
      extras: {
        ...extras,
        ...(saved !== undefined && { saved }),
        ...(retries !== undefined && { retries }),
        ...(attempt > 1 && { history: [before] }),
      },
    }
  }

  async stop(): Promise<StopReport> {
    return NOTHING
  }

  watch(): () => void {
    return () => {}
  }

  // Nobody asks for these: the runner of one attempt is seen by nobody.
  get(): undefined {}
  holds(): readonly never[] {
    return []
  }
  list(): never {
    throw new Error('one attempt keeps no tasks')
  }
  counts = this.list
  cancel = this.list
  retry = this.list
  setPriority = this.list
  remove = this.list
  pause(): void {}
  setConcurrency(): void {}
  close(): void {}
}
