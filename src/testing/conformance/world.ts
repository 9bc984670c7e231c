/**
 * What a conformance test is given: a clock that it moves by hand, runners over the engine under test, handlers that it
 * settles by hand, and ways to wait for what must come.
 *
 * A test never assumes how many turns of the event loop an engine needs. What must happen is waited for (`until`), with a
 * bound; that something does not happen is looked at after `settle`, which asks every engine for an answer several times
 * over. After each test the world checks what must hold after every test: no fault was reported that the test did not
 * expect, no timer was longer than 60 s, and none that would hold the process is left once its runners are closed.
 */
import assert from 'node:assert/strict'
import { runInNewContext } from 'node:vm'
import {
  BackgroundRunner,
  type Capabilities,
  type Engine,
  type Logger,
  type RunnerOptions,
  type StandardSchema,
  type TaskContext,
  type TaskHandle,
  type TaskMap,
  type TaskRecord,
  type TaskState,
} from '../../index.js'
import { turns, VirtualClock } from '../virtual-clock.js'

/** Real ms for which something that must come is waited for. */
const PATIENCE = 3_000
const LONGEST_TIMER = 60_000

/** One case: it fails by throwing. */
export type Body = (world: World) => Promise<void>

/** The cases of one subject; the key of each is its sentence. */
export interface Topic {
  readonly title: string
  readonly tests: Readonly<Record<string, Body>>
}

/** A runner over the engine under test. The world gives engine and clock. */
export type Setup = Omit<RunnerOptions<TaskMap>, 'engine' | 'clock'> & {
  /**
   * `none`: a fault fails the test. `expected`: faults are collected in `world.faults`. `unheard`: nobody listens to
   * `error`. @default 'none'
   */
  readonly faults?: 'none' | 'expected' | 'unheard'
}

/** An engine as the suite gets it. */
export interface Source {
  create(): Engine | Promise<Engine>
  /** Real ms that an engine with I/O of its own may need until it is quiet. */
  readonly latency: number
}

/** Something that a runner told. */
export interface Told {
  readonly event: string
  readonly record: TaskRecord
}

export class World {
  readonly clock: VirtualClock
  /** What reached the `error` event. */
  readonly faults: { readonly error: unknown; readonly record: TaskRecord | undefined }[] = []
  readonly #source: Source
  readonly #runners: BackgroundRunner[] = []
  readonly #handlers: Handler[] = []
  readonly #unexpected: unknown[] = []

  constructor(source: Source) {
    this.#source = source
    this.clock = new VirtualClock(() => this.settle())
  }

  /** A runner whose engine is open. */
  async runner(setup: Setup): Promise<BackgroundRunner> {
    const runner = await this.opening(setup)
    await runner.ready()
    return runner
  }

  /** A runner whose engine may not be open yet. */
  async opening(setup: Setup): Promise<BackgroundRunner> {
    const { faults = 'none', ...options } = setup
    const runner = new BackgroundRunner({
      cancelGrace: '5s',
      ...options,
      clock: this.clock,
      engine: await this.#source.create(),
    })
    this.#runners.push(runner)
    if (faults !== 'unheard')
      runner.on('error', (error, record) => {
        this.faults.push({ error, record })
        if (faults === 'none') this.#unexpected.push(error)
      })
    return runner
  }

  /** What the engine under test promises beyond the common semantics. */
  async capabilities(): Promise<Capabilities> {
    return (await this.#source.create()).capabilities
  }

  /** So many tasks are a long backlog: many where the engine answers at once, fewer where it has I/O of its own. */
  get many(): number {
    return this.#source.latency > 0 ? 2_000 : 20_000
  }

  /** A handler whose calls the test settles by hand. Like most handlers, it does not listen to its signal. */
  handler(): Handler {
    const handler = new Handler(this)
    this.#handlers.push(handler)
    return handler
  }

  /** Resolves when all that can happen at this instant has happened, as far as can be seen from outside. */
  async settle(): Promise<void> {
    for (let i = 0; i < 2; i++) {
      await turns()
      // An engine answers in the order in which it was asked: its answer comes after what it had to do before.
      for (const runner of this.#runners) await runner.counts().catch(() => undefined)
    }
    if (this.#source.latency > 0) await sleep(this.#source.latency)
    await turns(2)
  }

  advance(ms: number): Promise<void> {
    return this.clock.advance(ms)
  }

  /** Waits, within a bound, for what must come; gives what `look` gave at last. */
  async until<Found>(look: () => Found | Promise<Found>, what: string): Promise<NonNullable<Found>> {
    const end = performance.now() + PATIENCE
    for (let i = 0; ; i++) {
      const found = await look()
      if (found) return found as NonNullable<Found>
      if (performance.now() > end) assert.fail(`it never came about: ${what}`)
      if (i < 100) await turns(1)
      else await sleep(2)
    }
  }

  /** Waits until the task is in one of `states`. */
  async reaches(runner: BackgroundRunner, task: { readonly id: string }, ...states: TaskState[]): Promise<TaskRecord> {
    let last: TaskState | undefined
    return this.until(
      async () => {
        const record = await runner.status(task.id)
        last = record?.state
        return record !== undefined && states.includes(record.state) ? record : undefined
      },
      `a task becomes ${states.join(' or ')}${last === undefined ? '' : `; it is ${last}`}`,
    )
  }

  /** Everything that `runner` tells of its tasks from now on. */
  listen(runner: BackgroundRunner): Told[] {
    const told: Told[] = []
    for (const event of EVENTS) runner.on(event, (record: TaskRecord) => void told.push({ event, record }))
    return told
  }

  /** Does `body`; fails if meanwhile a promise is rejected that nobody handles. */
  async handlesAll(body: () => Promise<void>): Promise<void> {
    const unhandled: unknown[] = []
    const listener = (error: unknown): void => void unhandled.push(error)
    const others = process.listeners('unhandledRejection')
    process.removeAllListeners('unhandledRejection')
    process.on('unhandledRejection', listener)
    try {
      await body()
      await this.settle()
    } finally {
      process.off('unhandledRejection', listener)
      for (const other of others) process.on('unhandledRejection', other)
    }
    assert.deepEqual(unhandled, [], 'no rejection is left unhandled')
  }

  /** Ends everything that a test has begun, and checks what must hold after every test. */
  async end(): Promise<void> {
    for (const handler of this.#handlers) handler.releaseAll()
    for (const runner of this.#runners) {
      const closed = runner.close({ deadline: 0, drain: false })
      closed.catch(() => undefined)
      await this.settle()
      await this.advance(10_000)
      await closed
    }
    for (const fault of this.#unexpected) throw new Error('a fault was reported', { cause: fault })
    assert.ok(this.clock.longest <= LONGEST_TIMER, `a timer of ${this.clock.longest} ms was asked for`)
    assert.equal(this.clock.holding, 0, 'no timer that holds the process is left after close')
  }
}

export const EVENTS = [
  'submitted',
  'started',
  'progress',
  'retrying',
  'succeeded',
  'failed',
  'cancelled',
  'stalled',
  'unresponsive',
] as const

/** One call of a handler. */
export interface Call {
  readonly input: unknown
  readonly ctx: TaskContext
  resolve(output?: unknown): void
  reject(error: unknown): void
}

/** A handler whose calls wait until the test settles them. */
export class Handler {
  readonly calls: Call[] = []
  readonly #world: World
  #released = false
  #settled = 0

  constructor(world: World) {
    this.#world = world
  }

  /** To be given to `defineTask`. */
  readonly run = (input: unknown, ctx: TaskContext): Promise<unknown> =>
    new Promise((resolve, reject) => {
      let settled = false
      const settle =
        <Value>(how: (value: Value) => void) =>
        (value: Value): void => {
          if (!settled) this.#settled++
          settled = true
          how(value)
        }
      const call: Call = { input, ctx, resolve: settle(resolve), reject: settle(reject) }
      this.calls.push(call)
      if (this.#released) call.resolve(undefined)
    })

  /** Calls that are not settled yet: what truly runs. */
  get running(): number {
    return this.calls.length - this.#settled
  }

  /** The inputs in the order of the calls. */
  get inputs(): unknown[] {
    return this.calls.map((call) => call.input)
  }

  /** The `n`-th call, counted from 1; waits for it. */
  async call(n = 1): Promise<Call> {
    return this.#world.until(() => this.calls[n - 1], `call ${n} of a handler`)
  }

  /** From now on every call resolves at once, those that wait included. */
  releaseAll(): void {
    this.#released = true
    for (const call of this.calls) call.resolve(undefined)
  }
}

/** Fails unless `promise` rejects with an error of this code; gives the error. Classes differ between copies, codes do not. */
export async function refused(promise: Promise<unknown>, code: string): Promise<Error & Record<string, unknown>> {
  let error: unknown
  try {
    await promise
  } catch (thrown) {
    error = thrown
  }
  if (error === undefined) assert.fail(`expected a rejection with ${code}`)
  assert.ok(error instanceof Error, 'it rejects with an Error')
  assert.equal((error as Error & { code?: unknown }).code, code, error.message)
  return error as Error & Record<string, unknown>
}

/** The paths of an InvalidInputError, as `a.0.b`, sorted. */
export function pathsOf(error: Record<string, unknown>): string[] {
  const issues = error['issues'] as readonly { readonly path: readonly (string | number)[]; readonly message: string }[]
  for (const issue of issues) assert.ok(issue.message.length > 0, 'each issue has a message')
  // Of our realm, whatever realm the schema that made them is of.
  return Array.from(issues, (issue) => issue.path.join('.')).sort()
}

/** A retry policy without jitter. */
export function every(delay: number, attempts = 3): { attempts: number; backoff: { type: 'fixed'; delay: number } } {
  return { attempts, backoff: { type: 'fixed', delay } }
}

/** The ids of handles or records. */
export function ids(tasks: readonly { readonly id: string }[]): string[] {
  return tasks.map(({ id }) => id)
}

/** The one of `tasks` at `index`, which must be there. */
export function nth<Item>(items: readonly Item[], index: number): Item {
  const item = items[index]
  if (item === undefined) assert.fail(`there is no item ${index}`)
  return item
}

/** A Standard Schema made by hand. */
export function schema(validate: StandardSchema['~standard']['validate']): StandardSchema {
  return { '~standard': { version: 1, vendor: 'conformance', validate } }
}

/** `source`, an expression, as another realm makes it: its promises and errors are not instances of ours. */
export function foreign<Value>(source: string): Value {
  return runInNewContext(`(${source})`) as Value
}

/** A logger that remembers its lines. */
export function recorder(): { readonly logger: Logger; readonly lines: Line[] } {
  const lines: Line[] = []
  const line =
    (level: string) =>
    (fields: object, message: string): void =>
      void lines.push({ level, fields: { ...fields }, message })
  return { lines, logger: { debug: line('debug'), info: line('info'), warn: line('warn'), error: line('error') } }
}

export interface Line {
  readonly level: string
  readonly fields: Record<string, unknown>
  readonly message: string
}

/** The truth about a task that must exist. */
export async function recordOf(task: TaskHandle): Promise<TaskRecord> {
  const record = await task.status()
  if (record === undefined) assert.fail('the task is not there')
  return record
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

/** The tests of one subject, under a title. */
export function topic(title: string, tests: Readonly<Record<string, Body>>): Topic {
  return { title, tests }
}

/** The code of an error, in whatever copy of the library it was made. */
export function codeOf(error: unknown): string {
  return String((error as { readonly code?: unknown } | undefined)?.code)
}
