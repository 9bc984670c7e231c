/**
 * The runner: the verbs. It knows no clock, queue or store: what is submitted is checked in submission.ts, where it lives
 * is the engine's business, and how one attempt runs is told in attempt.ts.
 */
import { AsyncResource } from 'node:async_hooks'
import { Attempt, type AttemptEnvironment } from './attempt.js'
import type { Duration } from './duration.js'
import { elsewhere } from './elsewhere.js'
import type {
  CancelRequest,
  Engine,
  EngineAttempt,
  EngineHost,
  Enqueued,
  ListPage,
  ListQuery,
  NewTask,
  StopReport,
  TaskCounts,
} from './engine.js'
import { cutText } from './error-record.js'
import {
  EngineError,
  InvalidInputError,
  RunnerClosedError,
  show,
  TaskCancelledError,
  TaskFailedError,
  TaskNotFoundError,
  UnsupportedByEngineError,
} from './errors.js'
import { guarded, IsolatedEmitter } from './events.js'
import type { Explanation } from './explanation.js'
import { TaskHandle, type WaitOptions } from './handle.js'
import { Idlers } from './idlers.js'
import { TASK_STATES } from './lifecycle.js'
import { type NameLimits, nameLimits } from './limits.js'
import { logEvent, logFault, logHold } from './logger.js'
import { type FilledOptions, fillOptions, type RunnerOptions } from './options.js'
import type { Hold, TaskRecord, TaskState } from './record.js'
import {
  concurrency as concurrencyRule,
  fields,
  flag,
  having,
  listOf,
  priority as priorityRule,
  type Rule,
  read,
  span,
  text,
  whole,
} from './rules.js'
import type { ScheduleRecord } from './schedule.js'
import type { ScheduleEngine, ScheduleOptions, Schedules } from './schedules.js'
import { stopWork, tearDown } from './shutdown.js'
import { Submission, type SubmitOptions } from './submission.js'
import type { InputOf, OutputOf, TaskMap } from './task.js'
import { Waiters } from './waiters.js'
import type { Work } from './work.js'

/** The arguments of `submit` after the name: no input where the task takes none. */
export type SubmitArguments<Input> = undefined extends Input
  ? [input?: Input, options?: SubmitOptions]
  : [input: Input, options?: SubmitOptions]

export interface CloseOptions {
  /** From then on running handlers are asked to stop. @default '10s' */
  readonly deadline?: Duration
  /** Work off what is due first. @default true where tasks do not outlive the process */
  readonly drain?: boolean
}

/** What became of the tasks: see `StopReport`. */
export type CloseReport = StopReport

/** Which tasks `list` shows; see `ListQuery`. */
export type ListOptions = Partial<ListQuery>

/** What our own words take of the message of a cancelled task's error, in bytes. */
const CANCEL_WORDS = 100

/** How long `close` waits before it asks handlers to stop, ms. */
const DEADLINE = 10_000

/**
 * Takes slow work out of a web request.
 *
 * @example
 * const runner = new BackgroundRunner({ tasks: { greet: defineTask({ run: async (name: string) => `Hello ${name}` }) } })
 * const handle = await runner.submit('greet', 'Ada')
 * await handle.result() // 'Hello Ada'
 *
 * @throws {InvalidInputError} naming each option that is wrong
 */
export class BackgroundRunner<const Tasks extends TaskMap = TaskMap> extends IsolatedEmitter {
  readonly #options: FilledOptions
  readonly #engine: Engine
  readonly #submission: Submission
  readonly #waiters: Waiters
  readonly #idlers: Idlers
  /** A scheduled task is submitted in the context of the runner's maker, not of whoever made the schedule. */
  readonly #scope: AsyncResource = new AsyncResource('BackgroundRunner')
  /** Once there are any. */
  #schedules: Promise<Schedules> | undefined
  #concurrency: number
  /** Until the engine is open. */
  #opening: Promise<void> | undefined
  #closing: Promise<CloseReport> | undefined
  #closed = false

  constructor(options: RunnerOptions<Tasks>) {
    super()
    const report = (error: unknown): void => this.fault(error)
    this.#options = fillOptions(options)
    const { engine, clock, works, random, limits, logger, context, cancelGrace } = this.#options
    this.#engine = engine
    this.#concurrency = this.#options.concurrency
    this.#submission = new Submission(this.#options, report)
    this.#waiters = new Waiters(engine, clock, report)
    this.#idlers = new Idlers(engine, clock)
    const isHeld = async (name: string): Promise<boolean> => (await engine.holds()).some((hold) => hold.name === name)
    this.#open({ clock, random, cancelGrace, isHeld, limits, logger, restore: context?.run, report }, works)
  }

  #open(env: AttemptEnvironment, works: ReadonlyMap<string, Work>): void {
    const { clock, random, work, concurrency, resources, maxPending, retention, logger } = this.#options
    const names = new Map([...works].map(([name, { definition }]) => [name, definition.concurrency]))
    const limits = new Map<string, NameLimits>()
    for (const [name, { definition }] of works) {
      if (definition.limits !== undefined) limits.set(name, nameLimits(definition.limits))
    }
    const host: EngineHost = {
      settings: { clock, random, work, concurrency, names, limits, resources, maxPending, retention },
      attempt: (task, writer): EngineAttempt => new Attempt(env, works.get(task.name) as Work, task, writer),
      hears: (event) => logger !== undefined || this.listenerCount(event) > 0,
      changed: (event, record) => {
        if (logger !== undefined) logEvent(logger, event, record)
        this.emit(event, record)
      },
      hold: (name, hold) => {
        if (logger !== undefined) logHold(logger, name, hold)
        if (hold === undefined) this.emit('unheld', { name })
        else this.emit('held', hold)
      },
      rescheduled: () => this.#lookAtSchedules(),
      idle: () => {
        this.emit('idle')
        this.#idlers.look()
      },
      fault: (error, forGood) => {
        this.fault(error)
        if (forGood !== true) return
        this.#waiters.fail(error)
        this.#idlers.fail(error)
        void this.#schedules?.then((schedules) => schedules.close())
      },
    }
    const opening = this.#engine.start(host)
    if (!(opening instanceof Promise)) {
      this.#meetSchedules()
      return
    }
    this.#opening = opening.then(
      () => {
        this.#opening = undefined
        this.#meetSchedules()
      },
      (error: unknown) => {
        throw asEngineError(error)
      },
    )
    this.#opening.catch((error) => this.fault(error))
  }

  protected override unheard(error: unknown, record: TaskRecord | undefined): void {
    logFault(this.#options.logger, error, record)
  }

  /** Resolves when the engine is open. @throws {EngineError} it could not be opened */
  async ready(): Promise<void> {
    await this.#use()
  }

  /**
   * Stores a task and answers with its handle; the work runs in the background.
   *
   * @throws {UnknownTaskError} {InvalidInputError} {QueueFullError} {RunnerClosedError} {EngineError} and nothing is stored
   */
  submit<Name extends keyof Tasks & string>(
    name: Name,
    ...args: SubmitArguments<InputOf<Tasks[Name]>>
  ): Promise<TaskHandle<OutputOf<Tasks[Name]>>>
  submit(name: string, input?: unknown, options?: SubmitOptions): Promise<TaskHandle> {
    // Not an async function: on the memory engine one promise a submit is all there is.
    try {
      if (this.#closing !== undefined) throw new RunnerClosedError()
      const task = this.#submission.make(name, input, options)
      if (this.#closing !== undefined) throw new RunnerClosedError() // a schema, a getter, a capture may close it
      if (task instanceof Promise || this.#opening !== undefined) return this.#submitLater(task)
      const enqueued = this.#engine.enqueue([task])
      return enqueued instanceof Promise
        ? enqueued.then((all) => this.#handle(all[0] as Enqueued))
        : Promise.resolve(this.#handle(enqueued[0] as Enqueued))
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /**
   * Submits many inputs of one task in one round trip: all are stored, or none.
   *
   * @throws as `submit`; in the issues of an InvalidInputError the path begins with the input's index
   */
  submitMany<Name extends keyof Tasks & string>(
    name: Name,
    inputs: readonly InputOf<Tasks[Name]>[],
    options?: SubmitOptions | ((input: InputOf<Tasks[Name]>, index: number) => SubmitOptions),
  ): Promise<TaskHandle<OutputOf<Tasks[Name]>>[]>
  async submitMany(
    name: string,
    inputs: readonly unknown[],
    options?: SubmitOptions | ((input: never, index: number) => SubmitOptions),
  ): Promise<TaskHandle[]> {
    if (this.#closing !== undefined) throw new RunnerClosedError()
    if (!Array.isArray(inputs))
      throw new InvalidInputError('bad inputs', [{ message: `must be an array, got ${show(inputs)}`, path: [] }])
    if (typeof options === 'object' && inputs.length > 1 && (options.id !== undefined || options.key !== undefined)) {
      const field = options.id !== undefined ? 'id' : 'key'
      throw new InvalidInputError('bad submit options', [
        {
          message: 'one value for many inputs would make one task of them; give a function of the input',
          path: [field],
        },
      ])
    }
    return this.#enqueue(await this.#submission.makeMany(name, inputs, options))
  }

  async #submitLater(task: NewTask | Promise<NewTask>): Promise<TaskHandle> {
    const [handle] = await this.#enqueue([await task])
    return handle as TaskHandle
  }

  async #enqueue(tasks: readonly NewTask[]): Promise<TaskHandle[]> {
    if (this.#opening !== undefined) await this.#opening
    if (this.#closing !== undefined) throw new RunnerClosedError()
    return (await this.#engine.enqueue(tasks)).map((enqueued) => this.#handle(enqueued))
  }

  #handle({ id, deduplicated }: Enqueued): TaskHandle {
    return new TaskHandle(this, id, deduplicated)
  }

  /** The truth about a task; undefined for an id that the engine does not keep. */
  async status(id: string): Promise<TaskRecord | undefined> {
    const engine = await this.#use()
    return typeof id === 'string' ? engine.get(id) : undefined
  }

  /**
   * The final record, when the task has ended.
   *
   * @throws {TaskNotFoundError} unknown, removed or pruned {WaitTimeoutError} {RunnerClosedError}, or the signal's reason
   */
  async wait(id: string, options: WaitOptions = {}): Promise<TaskRecord> {
    const { signal, timeout } = read('bad wait options', options, WAIT)
    await this.#use()
    return this.#waiters.wait(known(id), signal, timeout)
  }

  /**
   * The output, when the task has succeeded.
   *
   * @throws {TaskFailedError} {TaskCancelledError}, and as `wait`
   */
  async result(id: string, options?: WaitOptions): Promise<unknown> {
    const record = await this.wait(id, options)
    if (record.state === 'succeeded') return record.output
    if (record.state === 'cancelled') throw TaskCancelledError.from(record.error)
    throw new TaskFailedError(record.id, record.name, record.error)
  }

  /**
   * Ends a waiting task, or asks a running one to stop; it is `cancelled` when its handler has rejected.
   *
   * @throws {TaskNotFoundError} {InvalidStateError} it has ended
   */
  async cancel(id: string, options: CancelRequest = {}): Promise<TaskRecord> {
    const request = read('bad cancel options', options, CANCEL)
    const { errorMessage } = this.#options.limits
    const reason =
      request.reason === undefined ? {} : { reason: cutText(request.reason, Math.max(0, errorMessage - CANCEL_WORDS)) }
    return (await this.#use()).cancel(known(id), { ...request, ...reason })
  }

  /**
   * Gives a failed or cancelled task a new budget of attempts.
   *
   * @throws {TaskNotFoundError} {InvalidStateError} it is neither failed nor cancelled
   */
  async retry(id: string, options: { readonly delay?: Duration } = {}): Promise<TaskRecord> {
    const { delay = 0 } = read('bad retry options', options, RETRY)
    const engine = await this.#use()
    if (this.#closing !== undefined) throw new RunnerClosedError()
    return engine.retry(known(id), { delay })
  }

  /** @throws {TaskNotFoundError} {InvalidStateError} it no longer waits {InvalidInputError} */
  async setPriority(id: string, priority: number): Promise<TaskRecord> {
    const wanted = read('bad priority', priority, priorityRule)
    return (await this.#use()).setPriority(known(id), wanted)
  }

  /** Tasks, newest first, page by page: 50 by default, at most 1 000. @throws {InvalidInputError} */
  async list(options: ListOptions = {}): Promise<ListPage> {
    const query: ListQuery = { limit: 50, ...read('bad list options', options, LIST) }
    return (await this.#use()).list(query)
  }

  /** How many tasks are in each state. */
  async counts(): Promise<TaskCounts> {
    return (await this.#use()).counts()
  }

  /** Removes a finished task; false if there is none. @throws {InvalidStateError} it has not ended */
  async remove(id: string): Promise<boolean> {
    const engine = await this.#use()
    return typeof id === 'string' && engine.remove(id)
  }

  /**
   * The names that are held now, since an attempt threw a `RetryLaterError` with `hold`: until when, and why. One
   * whose `until` has passed waits for its probe.
   */
  async holds(): Promise<readonly Hold[]> {
    return (await this.#use()).holds()
  }

  /**
   * Why a task does not run now: what keeps it, until when, and which tasks hold what it waits for.
   *
   * @throws {TaskNotFoundError} {UnsupportedByEngineError}
   */
  async explain(id: string): Promise<Explanation> {
    const engine = await this.#use()
    if (engine.explain === undefined) throw new UnsupportedByEngineError(engine.name, 'explain why a task waits')
    return engine.explain(id)
  }

  /**
   * Submits a task again and again: at the times of a cron pattern, or `every` so often; each occurrence once, however
   * many processes there are. With what it was called before it changes nothing; a changed schedule counts from now.
   *
   * @throws {InvalidInputError} {UnknownTaskError} {MissingDependencyError} cron needs croner {UnsupportedByEngineError}
   */
  schedule<Name extends keyof Tasks & string>(
    id: string,
    options: ScheduleOptions<Name, InputOf<Tasks[Name]>>,
  ): Promise<void>
  async schedule(id: string, options: ScheduleOptions): Promise<void> {
    await this.#scheduling()
    if (this.#closing !== undefined) throw new RunnerClosedError()
    await (await this.#loadSchedules()).put(id, options)
  }

  /** Ends a schedule; what it has submitted goes on. False: there is none. @throws {UnsupportedByEngineError} */
  async unschedule(id: string): Promise<boolean> {
    const engine = await this.#scheduling()
    const removed = typeof id === 'string' && (await engine.removeSchedule(id))
    this.#lookAtSchedules()
    return removed
  }

  /** The schedules, by id. @throws {UnsupportedByEngineError} */
  async schedules(): Promise<readonly ScheduleRecord[]> {
    return (await this.#scheduling()).schedules()
  }

  async #scheduling(): Promise<ScheduleEngine> {
    const engine = await this.#use()
    if (engine.capabilities.schedules) return engine as ScheduleEngine
    throw new UnsupportedByEngineError(engine.name, 'keep schedules')
  }

  #loadSchedules(): Promise<Schedules> {
    this.#schedules ??= elsewhere('a module', import('./schedules.js')).then(
      ({ Schedules }) =>
        new Schedules(
          this.#engine as ScheduleEngine,
          this.#options,
          this.#submission,
          (look) => this.#scope.runInAsyncScope(look),
          (error) => this.fault(error),
        ),
    )
    return this.#schedules
  }

  /** Those that the engine has kept. */
  #meetSchedules(): void {
    const { durable, shared } = this.#engine.capabilities
    if (durable || shared) this.#lookAtSchedules()
  }

  /** Nobody waits for it: what is due is submitted, and that may take a while. */
  #lookAtSchedules(): void {
    const { capabilities } = this.#engine
    if (!capabilities.schedules || !this.#options.work) return
    this.#lookIfAny().catch((error) => {
      if (this.#closing === undefined) this.fault(error)
    })
  }

  async #lookIfAny(): Promise<void> {
    if (this.#schedules === undefined && (await this.#engine.schedules?.())?.length === 0) return
    if (this.#closing === undefined) (await this.#loadSchedules()).look()
  }

  /** Holds the whole engine: no attempt starts until `resume`; what runs goes on. */
  async pause(): Promise<void> {
    await (await this.#use()).pause(true)
  }

  async resume(): Promise<void> {
    await (await this.#use()).pause(false)
  }

  /** Resolves when nothing is queued, scheduled or running in the engine. @throws {RunnerClosedError} */
  async onIdle(): Promise<void> {
    await this.#use()
    await this.#idlers.wait()
  }

  /** Tells ids that changed, anywhere the engine can see; none: any may have changed. Returns what ends it. */
  watch(listener: (ids: readonly string[]) => void): () => void {
    if (this.#closed) throw new RunnerClosedError()
    return this.#engine.watch((ids) =>
      guarded(
        () => listener(ids),
        (error) => this.fault(error),
      ),
    )
  }

  /** How many attempts may run at once in this process; may be set while it runs. */
  get concurrency(): number {
    return this.#concurrency
  }

  set concurrency(concurrency: number) {
    this.#concurrency = read('bad concurrency', concurrency, concurrencyRule)
    this.#engine.setConcurrency(concurrency)
  }

  /**
   * Takes no more, finishes what runs, and reports. Idempotent: the same report.
   *
   * @throws {InvalidInputError} and the runner goes on
   */
  close(options: CloseOptions = {}): Promise<CloseReport> {
    try {
      const { deadline = DEADLINE, drain = !this.#engine.capabilities.durable } = read(
        'bad close options',
        options,
        CLOSE,
      )
      this.#closing ??= this.#close(deadline, drain)
      return this.#closing
    } catch (error) {
      return Promise.reject(error)
    }
  }

  async #close(deadline: number, drain: boolean): Promise<CloseReport> {
    if (this.#opening !== undefined && !(await this.#opened())) {
      this.#end()
      return { completed: 0, returned: 0, abandoned: 0, pending: 0 }
    }
    const { clock, works } = this.#options
    if (this.#schedules !== undefined) await (await this.#schedules).close()
    try {
      return await stopWork(this.#engine, clock, deadline, drain)
    } finally {
      this.#end()
      await tearDown(works.values(), clock, deadline, (error) => this.fault(error))
      await this.#engine.close()
    }
  }

  /** From here on every verb rejects, and nobody waits any more. */
  #end(): void {
    this.#closed = true
    this.#waiters.close()
    this.#idlers.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  /** Whether the engine could be opened; `ready` tells why it could not. */
  async #opened(): Promise<boolean> {
    try {
      await this.#opening
      return true
    } catch {
      return false
    }
  }

  /** The engine, when it is open. */
  async #use(): Promise<Engine> {
    if (this.#opening !== undefined) await this.#opening
    if (this.#closed) throw new RunnerClosedError()
    return this.#engine
  }
}

function asEngineError(error: unknown): unknown {
  return error instanceof Error && 'code' in error
    ? error
    : new EngineError('the engine could not be opened', { cause: error })
}

function known(id: unknown): string {
  if (typeof id === 'string') return id
  throw new TaskNotFoundError(id)
}

// What the options of the verbs must be.

const WAIT = fields({
  // By its shape: a signal of another realm is one too.
  signal: having<AbortSignal>('an AbortSignal', 'addEventListener', 'throwIfAborted'),
  timeout: span,
})
const CANCEL = fields({ reason: text, force: flag })
const RETRY = fields({ delay: span })
const CLOSE = fields({ deadline: span, drain: flag })
const isState = (value: unknown): boolean => (TASK_STATES as readonly unknown[]).includes(value)
const texts = listOf((value) => typeof value === 'string', 'must be a string')
const LIST = fields({
  states: listOf(isState, `must be one of ${TASK_STATES.join(', ')}`) as Rule<TaskState[]>,
  names: texts,
  tags: texts,
  limit: whole(1, 1_000),
  cursor: text,
})
