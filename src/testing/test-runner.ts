/**
 * `createTestRunner`: a real runner whose time stands still until the test moves it.
 *
 * Everything is as in production (the verbs, the events, the memory engine) but time and chance: the clock is virtual,
 * jitter and ids come from a seed, and nothing runs but when the test says so.
 */
import { inspect } from 'node:util'
import {
  BackgroundRunner,
  type CloseOptions,
  type CloseReport,
  type Duration,
  type InputIssue,
  type InputOf,
  InvalidInputError,
  type OutputOf,
  type RunnerOptions,
  type SubmitArguments,
  type SubmitOptions,
  type TaskHandle,
  type TaskMap,
  type TaskRecord,
  type WaitOptions,
} from '../index.js'
import { type Assertions, createAssertions } from './assertions.js'
import type { EventLog } from './event-log.js'
import { Harness, timeouts } from './harness.js'
import { allPlaced, type IsolatedOption, issuesOf, patienceFor } from './isolated.js'
import { hushed, patiently, whyNotEnded, whyNotIdle } from './patience.js'
import { seeded } from './random.js'
import { toMs } from './span.js'
import { toTime, VirtualClock } from './virtual-clock.js'

/** The options of a runner, but those that the harness gives. */
export interface TestRunnerOptions<Tasks extends TaskMap>
  extends Omit<RunnerOptions<Tasks>, 'engine' | 'clock' | 'random'>,
    IsolatedOption {
  /** When the clock begins: epoch ms, a Date, or a date as text. @default 2030-01-01T00:00:00.000Z */
  readonly now?: number | string | Date
  /** Where chance begins: the same seed gives the same ids and the same jitter. @default 1 */
  readonly seed?: number | string
  /**
   * `manual`: nothing runs until `drain`, `runNext` or `clock.advance`. `inline`: `submit` and `submitMany` answer when
   * what they submitted has ended; the clock moves as far as that takes, and nobody waits for what a schedule submits on
   * the way. @default 'manual'
   */
  readonly mode?: 'manual' | 'inline'
  /** Real time for which something is waited for that does not come. @default '2s'; where it is `isolated`, '10s' */
  readonly realTimeout?: Duration
}

/** A clock in the hands of a test. */
export interface TestClock {
  /** Epoch ms. */
  now(): number
  /**
   * Moves on by `span`. Delays, backoffs and timeouts fire in their true order, each at its instant, and what they start
   * has settled, or waits for a later time, when this resolves.
   *
   * @throws {AssertionError} a handler is really at work for longer than `realTimeout`
   * @throws {InvalidInputError} it is no span
   */
  advance(span: Duration): Promise<void>
}

/** What `createTestRunner` gives. It may be destructured; `await using` closes the runner. */
export interface TestRunner<Tasks extends TaskMap = TaskMap> extends Assertions<Tasks>, AsyncDisposable {
  readonly runner: BackgroundRunner<Tasks>
  readonly clock: TestClock
  /**
   * Runs all that is due, and all that this makes due, without moving the clock. Gives the record after each attempt, in
   * the order in which they ended.
   *
   * @throws {AssertionError} a handler does not settle within `realTimeout`
   */
  drain(): Promise<readonly TaskRecord[]>
  /**
   * Runs one attempt of the task whose turn it is. Gives its record after it; undefined: nothing was due.
   *
   * @throws {AssertionError} its handler does not settle within `realTimeout`
   */
  runNext(): Promise<TaskRecord | undefined>
  /** What the runner told, in order; `String(log)` is one line an event, for a snapshot. */
  readonly log: EventLog
}

/**
 * Makes a runner for a test, with virtual time and seeded chance, on an engine in memory.
 *
 * `runner.close()` leaves in the queue what waits there, unless it is told to `drain` or the mode is inline; it moves the
 * clock over its own deadlines.
 *
 * @example
 * const { runner, clock, drain, assertSucceeded } = createTestRunner({ tasks: { greet } })
 * await runner.submit('greet', 'Ada', { delay: '1h' })
 * await clock.advance('1h')
 * assertSucceeded('greet', 'Ada')
 *
 * @throws {InvalidInputError} an option is wrong
 */
export function createTestRunner<const Tasks extends TaskMap>(options: TestRunnerOptions<Tasks>): TestRunner<Tasks> {
  const { now, seed = 1, mode = 'manual', isolated = false, ...given } = checked(options)
  const { realTimeout = patienceFor(isolated), ...rest } = given
  const clock = new VirtualClock(undefined, toTime(now, SUBJECT))
  const patience = toMs(realTimeout, 'realTimeout', SUBJECT)
  const harness = new Harness(clock, patience, timeouts(rest.tasks, rest.defaults?.timeout))
  const tasks = allPlaced(rest.tasks as Tasks, isolated)
  const runner = new DrivenRunner<Tasks>(
    { ...rest, tasks, engine: harness.engine, clock, random: seeded(seed) },
    harness,
    mode === 'inline',
  )
  return {
    runner,
    clock: { now: () => clock.now(), advance: (span) => harness.advance(span) },
    drain: () => harness.drain(),
    runNext: () => harness.runNext(),
    log: harness.log,
    ...createAssertions<Tasks>(harness, Object.keys(rest.tasks)),
    [Symbol.asyncDispose]: async () => {
      await runner.close()
    },
  }
}

const SUBJECT = 'bad options of a test runner'

/** What the runner itself cannot check. */
function checked<Tasks extends TaskMap>(options: TestRunnerOptions<Tasks>): TestRunnerOptions<Tasks> {
  const { mode = 'manual', seed = 1, isolated } = options ?? {}
  const issues: InputIssue[] = [...issuesOf(isolated)]
  const refuse = (field: string, message: string): void => void issues.push({ message, path: [field] })
  if (mode !== 'manual' && mode !== 'inline') refuse('mode', `must be 'manual' or 'inline', got ${inspect(mode)}`)
  if (typeof seed !== 'number' && typeof seed !== 'string')
    refuse('seed', `must be a number or a text, got ${inspect(seed)}`)
  for (const given of ['engine', 'clock', 'random'])
    if (given in (options ?? {})) refuse(given, 'cannot be given: a test runner has its own')
  if (issues.length > 0) throw new InvalidInputError(SUBJECT, issues)
  return options ?? { tasks: undefined } // which the runner refuses
}

/** A runner whose waits cannot hang a test. */
class DrivenRunner<const Tasks extends TaskMap> extends BackgroundRunner<Tasks> {
  readonly #harness: Harness
  readonly #inline: boolean
  #closing: Promise<CloseReport> | undefined

  constructor(options: RunnerOptions<Tasks>, harness: Harness, inline: boolean) {
    super(options)
    this.#harness = harness
    this.#inline = inline
  }

  override async submit<Name extends keyof Tasks & string>(
    name: Name,
    ...args: SubmitArguments<InputOf<Tasks[Name]>>
  ): Promise<TaskHandle<OutputOf<Tasks[Name]>>> {
    const handle = await super.submit(name, ...args)
    await this.#finish([handle])
    return handle
  }

  override async submitMany<Name extends keyof Tasks & string>(
    name: Name,
    inputs: readonly InputOf<Tasks[Name]>[],
    options?: SubmitOptions | ((input: InputOf<Tasks[Name]>, index: number) => SubmitOptions),
  ): Promise<TaskHandle<OutputOf<Tasks[Name]>>[]> {
    const handles = await super.submitMany(name, inputs, options)
    await this.#finish(handles)
    return handles
  }

  /** Inline, what is submitted has ended when the submit answers; within a drive that is the drive's business. */
  async #finish(handles: readonly { readonly id: string }[]): Promise<void> {
    if (this.#inline && !this.#harness.inside) await this.#harness.finish(handles.map(({ id }) => id))
  }

  override wait(id: string, options?: WaitOptions): Promise<TaskRecord> {
    return patiently(this.#harness, super.wait(id, options), () => whyNotEnded(this.#harness, id))
  }

  override result(id: string, options?: WaitOptions): Promise<unknown> {
    return hushed(super.result(id, options)) // which calls `wait`
  }

  override onIdle(): Promise<void> {
    return patiently(this.#harness, super.onIdle(), () => whyNotIdle(this.#harness))
  }

  override close(options: CloseOptions = {}): Promise<CloseReport> {
    const drain = options?.drain ?? this.#inline
    this.#closing ??= this.#harness.close(() => super.close({ ...options, drain }), drain)
    this.#closing.catch(() => {
      this.#closing = undefined // it was refused
    })
    return this.#closing
  }

  protected override fault(error: unknown, record?: TaskRecord): void {
    this.#harness.fault(error, record)
    super.fault(error, record)
  }
}
