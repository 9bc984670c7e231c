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
import { randomUUID } from 'node:crypto'
import {
  BackgroundRunner,
  type Capabilities,
  type Engine,
  type RunnerOptions,
  type TaskCounts,
  type TaskMap,
  type TaskRecord,
  type TaskState,
} from '../../index.js'
import { later, sleep, stopwatch, turns } from '../real-time.js'
import { VirtualClock } from '../virtual-clock.js'
import { Handler } from './handler.js'
import { unhandledDuring } from './unhandled.js'

/** Real ms for which something that must come is waited for. */
const PATIENCE = 3_000
/** Real ms without a sign of life after which a test waits for something that never settles. */
const STUCK = 4_000
/** Where handlers are elsewhere, what they do takes so many times as long. */
const ELSEWHERE = 5
/** And so many times where a server answers, whose disk may have other things to do. */
const AFAR = 4
/** Real ms for cleaning up after a test that has failed: an engine that cannot close must not hide why. */
const CLEANING = 500
/** Virtual ms for which what another process did is waited for, and the steps in which they pass. */
const NEWS = 5_000
const STEP = 50
const LONGEST_TIMER = 60_000

/** One case: it fails by throwing. */
export type Body = (world: World) => Promise<void>

/** The cases of one subject; the key of each is its sentence. */
export interface Topic {
  readonly title: string
  /** Only for engines that promise just this. */
  readonly needs?: Partial<Capabilities>
  readonly tests: Readonly<Record<string, Body>>
}

/** The tests of one subject, under a title. */
export function topic(title: string, tests: Topic['tests'], needs: Partial<Capabilities> = {}): Topic {
  return { title, tests, needs }
}

/** Whether an engine of these `capabilities` promises just what is needed. */
export function holds(needs: Partial<Capabilities>, capabilities: Partial<Capabilities>): boolean {
  return (Object.keys(needs) as (keyof Capabilities)[]).every((each) => needs[each] === capabilities[each])
}

/** The name of a storage that nobody has used. */
export function newStorage(): string {
  return `conformance-${randomUUID()}`
}

/** A runner over the engine under test. The world gives engine and clock. */
export type Setup = Omit<RunnerOptions<TaskMap>, 'engine' | 'clock'> & {
  /**
   * `none`: a fault fails the test. `expected`: faults are collected in `world.faults`. `unheard`: nobody listens to
   * `error`. @default 'none'
   */
  readonly faults?: 'none' | 'expected' | 'unheard'
  /** Runners that name the same storage share their tasks. @default one of its own */
  readonly storage?: string
}

/** An engine as the suite gets it. */
export interface Source {
  create(storage: string): Engine | Promise<Engine>
  /** Real ms that an engine with I/O of its own may need until it is quiet. */
  readonly latency: number
  /** Where handlers run, if not on this event loop. */
  readonly place?: Place
}

/** A place for handlers away from their test: another thread, another process. */
export interface Place {
  /** The definitions of a runner, to be run there. */
  tasks(setup: Setup): TaskMap
  /** A runner with these definitions is there. */
  opened(runner: BackgroundRunner, tasks: TaskMap): void
  /** Resolves when nothing is under way between here and there; gives whether anything was. */
  quiet(): Promise<boolean>
}

/** Something that a runner told. */
export interface Told {
  readonly event: string
  readonly record: TaskRecord
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

export class World {
  readonly clock: VirtualClock
  /** What reached the `error` event. */
  readonly faults: { readonly error: unknown; readonly record: TaskRecord | undefined }[] = []
  readonly #source: Source
  /** What the test calls a storage, and its true name. */
  readonly #storages: Map<string, string> = new Map()
  readonly #runners: BackgroundRunner[] = []
  readonly #handlers: Handler[] = []
  readonly #unexpected: unknown[] = []
  /** Since the test last did something here. */
  #idle: () => number = stopwatch()

  constructor(source: Source) {
    this.#source = source
    this.clock = new VirtualClock(() => this.settle())
  }

  /** Does one test, and all that comes after it. */
  async live(body: Body): Promise<void> {
    try {
      await this.#watched(body(this))
    } catch (error) {
      // What the test waited for is rejected as its runners close: no news, and no failure of another test.
      await unhandledDuring(async () => {
        await Promise.race([this.end().catch(() => undefined), sleep(CLEANING)])
        await turns(1)
      })
      throw error
    }
    await this.#watched(this.end())
  }

  /** A runner whose engine is open. */
  async runner(setup: Setup): Promise<BackgroundRunner> {
    const runner = await this.opening(setup)
    await runner.ready()
    return runner
  }

  /** A runner whose engine may not be open yet. */
  async opening(setup: Setup, engine?: Engine): Promise<BackgroundRunner> {
    const { faults = 'none', storage, ...options } = setup
    const { place } = this.#source
    const tasks = place?.tasks(setup) ?? options.tasks
    const runner = new BackgroundRunner({
      cancelGrace: '5s',
      ...options,
      tasks,
      clock: this.clock,
      engine: engine ?? (await this.engine(storage)),
    })
    place?.opened(runner, tasks)
    this.#runners.push(runner)
    if (faults !== 'unheard')
      runner.on('error', (error, record) => {
        this.faults.push({ error, record })
        if (faults === 'none') this.#unexpected.push(error)
      })
    return runner
  }

  /** An engine that has not been started. */
  async engine(storage?: string): Promise<Engine> {
    const name = (storage === undefined ? undefined : this.#storages.get(storage)) ?? newStorage()
    if (storage !== undefined) this.#storages.set(storage, name)
    return this.#source.create(name)
  }

  /** What the engine under test promises beyond the common semantics. */
  async capabilities(): Promise<Capabilities> {
    return (await this.engine()).capabilities
  }

  /** So many tasks are a long backlog: many where the engine answers at once, fewer where it has I/O of its own. */
  get many(): number {
    return this.#source.latency > 0 ? 2_000 : 20_000
  }

  /** A handler whose calls the test settles by hand. Like most handlers, it does not listen to its signal. */
  handler(): Handler {
    const handler = new Handler((look, what) => this.until(look, what))
    this.#handlers.push(handler)
    return handler
  }

  /** Resolves when all that can happen at this instant has happened, as far as can be seen from outside. */
  async settle(): Promise<void> {
    do {
      for (let i = 0; i < 2; i++) {
        await turns()
        // An engine answers in the order in which it was asked: its answer comes after what it had to do before.
        for (const runner of this.#runners) await runner.counts().catch(() => undefined)
      }
    } while (await this.#source.place?.quiet())
    if (this.#source.latency > 0) await sleep(this.#source.latency)
    await turns(2)
    this.#idle = stopwatch()
  }

  advance(ms: number): Promise<void> {
    return this.clock.advance(ms)
  }

  /** A sign of life: what takes long on a busy machine is not stuck. */
  alive(): void {
    this.#idle = stopwatch()
  }

  /** Closes at once, as a deploy does: what runs is asked to stop, and given up on after the grace. */
  async closed(runner: BackgroundRunner): Promise<Awaited<ReturnType<BackgroundRunner['close']>>> {
    const closing = runner.close({ deadline: 0, drain: false })
    closing.catch(() => undefined)
    await this.settle()
    await this.advance(1_000)
    return closing
  }

  /** Waits, within a bound, for what must come; gives what `look` gave at last. `what` may tell how far it came. */
  async until<Found>(
    look: () => Found | Promise<Found>,
    what: string | (() => string),
    pass: () => Promise<void> = async () => undefined,
  ): Promise<NonNullable<Found>> {
    const waited = stopwatch()
    for (let i = 0; ; i++) {
      this.#idle = stopwatch()
      const found = await look()
      if (found) return found as NonNullable<Found>
      if (waited() > PATIENCE * this.#slowness)
        assert.fail(`it never came about: ${typeof what === 'string' ? what : what()}${await this.#state()}`)
      await pass()
      if (i < 100) await turns(1)
      else await sleep(2)
    }
  }

  /**
   * As `until`, for what another process has to hear of first: whether it is told, or looks now and then, real time
   * passes and so does, in small steps, the clock.
   */
  async news<Found>(look: () => Found | Promise<Found>, what: string | (() => string)): Promise<NonNullable<Found>> {
    let passed = 0
    return this.until(look, what, async () => {
      if (passed >= NEWS) return
      passed += STEP
      await this.advance(STEP)
    })
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
      () => `a task becomes ${states.join(' or ')}; it is ${last ?? 'unknown'}`,
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
    const unhandled = await unhandledDuring(async () => {
      await body()
      await this.settle()
    })
    assert.deepEqual(unhandled, [], 'no rejection is left unhandled')
  }

  /** The process warnings that `body` brings about; none of them is shown. */
  async warnings(body: () => Promise<void>): Promise<string[]> {
    const warnings: string[] = []
    const { emitWarning } = process
    // Not by the event: the process of Jest's sandbox emits none.
    process.emitWarning = (warning: string | Error) => void warnings.push(String(warning))
    try {
      await body()
    } finally {
      process.emitWarning = emitWarning
    }
    return warnings
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
    for (const fault of this.#unexpected)
      throw new Error(`after the test: a fault reached the event "error": ${String(fault)}`, { cause: fault })
    const { longest, holding } = this.clock
    assert.ok(
      longest <= LONGEST_TIMER,
      `after the test: a timer of ${longest} ms was set, and none may be longer than ${LONGEST_TIMER}`,
    )
    assert.equal(holding, 0, `after the test: ${holding} timers that hold the process are left after close`)
  }

  /** `work`, unless it waits for something that never settles. */
  async #watched(work: Promise<void>): Promise<void> {
    let stop = (): void => {}
    const limit = STUCK * this.#slowness
    const stuck = new Promise<never>((_resolve, reject) => {
      const look = (): void => {
        if (this.#idle() < limit) stop = later(limit - this.#idle(), look)
        else
          this.#state().then((state) =>
            reject(new assert.AssertionError({ message: `a promise of a runner or an engine never settled${state}` })),
          )
      }
      this.#idle = stopwatch()
      look()
    })
    try {
      await Promise.race([work, stuck])
    } finally {
      stop()
    }
  }

  get #slowness(): number {
    const { place, latency } = this.#source
    return place !== undefined ? ELSEWHERE : latency > 0 ? AFAR : 1
  }

  /** How many tasks are in which state, for the message of a failure. */
  async #state(): Promise<string> {
    const asked = this.#runners.map((runner) => runner.counts().catch(() => undefined))
    const all = await Promise.race([Promise.all(asked), sleep(CLEANING)])
    const counts = (all ?? []).filter((each) => each !== undefined)
    return counts.map((each) => `; it has ${inWords(each)}`).join('')
  }
}

function inWords(counts: TaskCounts): string {
  const some = Object.entries(counts).filter(([, count]) => count > 0)
  return some.length === 0 ? 'no task' : some.map(([state, count]) => `${count} ${state}`).join(', ')
}
