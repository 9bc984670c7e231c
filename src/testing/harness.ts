/**
 * What drives a test runner: it opens the gate of the engine, moves the clock, and closes the gate again.
 *
 * One drive at a time: those of a test that are begun together follow each other. A handler or a listener cannot begin
 * one, since the drive that runs it would wait for itself.
 */
import type {
  Duration,
  EngineAttempt,
  Explanation,
  Hold,
  StoredTask,
  TaskDefinition,
  TaskEvent,
  TaskRecord,
} from '../index.js'
import { type Call, Driver, fail } from './driver.js'
import { type EventLog, LogWriter } from './event-log.js'
import { GatedEngine, type Observer } from './gated-engine.js'
import { toMs } from './span.js'
import type { VirtualClock } from './virtual-clock.js'

interface Run extends Call {
  readonly id: string
}

const NONE_BEGINS = ': tasks are due and none begins; are the timers of Node faked?'

/** A task that was tried so often while a `submit` waits for its end has none: it asks for another attempt each time. */
const MOST_ATTEMPTS = 5_000

/** Reasons of `explain` for which a task that is due does not begin, whatever else the test does not do. */
const KEEP: ReadonlySet<string> = new Set(['after', 'key', 'rateLimit', 'resource', 'reserved'])

/** Where listeners are called: not in the name of a handler, but not by the test either. */
const LISTENER: Call = { title: 'a listener', since: 0, timeout: undefined }

export class Harness implements Observer {
  readonly driver: Driver
  readonly engine: GatedEngine
  readonly clock: VirtualClock
  readonly #writer: LogWriter
  readonly #timeoutOf: (task: StoredTask) => number | undefined
  readonly #runs: Map<string, Run> = new Map()
  /** What was submitted, in order, and how it was when it ended: the engine forgets it some time. */
  readonly #submitted: Map<string, TaskRecord> = new Map()
  /** Ids of what was submitted and has not ended. */
  readonly #open: Set<string> = new Set()
  /** What the `finish` that goes on does not wait for: it was there before, or a schedule has submitted it. */
  #others: Set<string> = new Set()
  /** The attempt that is one too many, of what it waits for. */
  #tooMany: Run | undefined
  /** What the drive that goes on has begun, and the verdicts, where it gives them. */
  #begun: Run[] = []
  #verdicts: TaskRecord[] | undefined
  /** Only one attempt shall begin. */
  #one = false
  #last: Promise<unknown> = Promise.resolve()
  #driving = 0
  #closing = false
  #closed = false

  constructor(clock: VirtualClock, realTimeout: number, timeoutOf: (task: StoredTask) => number | undefined) {
    this.clock = clock
    this.driver = new Driver(clock, realTimeout)
    this.engine = new GatedEngine(this)
    this.#timeoutOf = timeoutOf
    const began = clock.monotonic()
    this.#writer = new LogWriter(
      () => clock.monotonic() - began,
      () => clock.now(),
    )
  }

  // What it sees.

  attempt(task: StoredTask, attempt: EngineAttempt): EngineAttempt {
    const { id, name } = task
    const run: Run = {
      id,
      title: `the handler of ${name} (task '${id}', attempt ${task.attempt})`,
      since: this.clock.monotonic(),
      timeout: this.#timeoutOf(task),
    }
    this.#runs.set(id, run)
    this.driver.began(run)
    this.#begun.push(run)
    if (task.attempt > MOST_ATTEMPTS && !this.#others.has(id)) this.#tooMany = run
    if (this.#one) this.engine.hold(true)
    return {
      run: () => this.driver.activity.within(run, () => attempt.run()),
      stop: (why) => attempt.stop(why),
    }
  }

  changed(event: TaskEvent, record: TaskRecord): void {
    const { id, state } = record
    const run = this.#runs.get(id)
    if (run !== undefined && state !== 'running') {
      this.#runs.delete(id)
      this.driver.ended(run)
      this.#verdicts?.push(copy(record))
    }
    this.driver.happened()
    if (event === 'submitted' || hasEnded(record)) this.#submitted.set(id, copy(record))
    if (hasEnded(record)) this.#open.delete(id)
    else this.#open.add(id)
    this.#writer.changed(event, record)
  }

  fired(id: string): void {
    this.#others.add(id)
  }

  happened(): void {
    this.driver.happened()
  }

  hold(name: string, hold: Hold | undefined): void {
    this.driver.happened()
    this.#writer.hold(name, hold)
  }

  idle(): void {
    this.driver.happened()
    this.#writer.idle()
  }

  fault(error: unknown, record: TaskRecord | undefined): void {
    this.#writer.fault(error, record)
  }

  telling(tell: () => void): void {
    this.driver.activity.as(this.driver.activity.current ?? LISTENER, tell)
  }

  // What it knows.

  get log(): EventLog {
    return this.#writer.log
  }

  /** Every task that was submitted, in order, as it is now. */
  get submitted(): readonly TaskRecord[] {
    return [...this.#submitted].map(([id, known]) => this.#record(id) ?? known)
  }

  /** What can end what waits: a handler that runs, a task that is due. */
  get alive(): boolean {
    return this.#runs.size > 0 || this.due.length > 0
  }

  /** The call of a task's handler that goes on. */
  runOf(id: string): Call | undefined {
    return this.#runs.get(id)
  }

  /** Whether a drive goes on, or waits for its turn. */
  get driving(): boolean {
    return this.#driving > 0
  }

  /** Whether the caller is a handler or a listener of this runner. */
  get inside(): boolean {
    return this.driver.activity.current !== undefined
  }

  /** Tasks that have not ended. */
  get open(): readonly TaskRecord[] {
    return [...this.#open].map((id) => this.#record(id)).filter((each) => each !== undefined)
  }

  /**
   * Tasks that are due and were not begun: of a name that is held just those that may go as its probe, and none that waits
   * for another task or for room under a limit.
   */
  get due(): readonly TaskRecord[] {
    if (!this.engine.works) return []
    const holds = this.engine.holds() as readonly Hold[]
    const running = new Set(holds.length === 0 ? [] : this.open.flatMap((each) => (isRunning(each) ? each.name : [])))
    const held = holds.filter(({ name, until }) => until > this.clock.now() || running.has(name))
    return this.open.filter(
      (each) => isDue(each, this.clock) && !held.some(({ name }) => name === each.name) && !this.#isKept(each),
    )
  }

  #isKept({ id }: TaskRecord): boolean {
    if (!this.engine.mayKeep) return false
    const { reasons } = this.engine.explain(id) as Explanation
    return reasons.some(({ type }) => KEEP.has(type))
  }

  /** The memory engine answers at once. */
  #record(id: string): TaskRecord | undefined {
    return this.engine.get(id) as TaskRecord | undefined
  }

  // What it does.

  /** Runs what is due, and what that makes due, at this instant. Gives the verdict on each attempt. */
  drain(): Promise<readonly TaskRecord[]> {
    return this.#drive('drain', async () => {
      const verdicts = this.#collect()
      await this.driver.settle(this.#over)
      while (!this.#over() && (this.#stillRunning.length > 0 || this.due.length > 0)) {
        const blocking = this.#stillRunning.length > 0 ? this.#stillRunning : this.driver.running
        const before = verdicts.length
        const hint = blocking.length > 0 ? '' : NONE_BEGINS
        await this.driver.patience(() => this.#over() || verdicts.length > before, blocking, hint)
        await this.driver.settle(this.#over)
      }
      return verdicts
    })
  }

  /** Runs one attempt of the task whose turn it is. */
  runNext(): Promise<TaskRecord | undefined> {
    return this.#drive('runNext', async () => {
      const verdicts = this.#collect()
      this.#one = true
      try {
        await this.driver.settle(this.#over)
        await this.#begins()
        const running = this.#stillRunning
        if (running.length > 0)
          await this.driver.patience(() => this.#over() || this.#stillRunning.length === 0, running)
        const id = this.#begun[0]?.id
        return verdicts.find((each) => each.id === id)
      } finally {
        this.#one = false
      }
    })
  }

  /** Moves the clock on; what falls due on the way happens at its instant. */
  async advance(span: Duration): Promise<void> {
    const ms = toMs(span, 'span', 'bad clock.advance')
    return this.#drive('clock.advance', async () => {
      await this.driver.advance(ms, () => this.#closing)
      await this.#begins()
    })
  }

  /** Moves the clock on until these tasks have ended, and those that tasks submit meanwhile. */
  finish(ids: readonly string[]): Promise<void> {
    return this.#drive('submit', async () => {
      const wanted = new Set(ids)
      this.#others = new Set([...this.#open].filter((id) => !wanted.has(id)))
      this.#tooMany = undefined
      const open = (): string[] => [...this.#open].filter((id) => wanted.has(id) || !this.#others.has(id))
      const hopeless = (): readonly Call[] | undefined => {
        const runs = open().map((id) => this.#runs.get(id))
        const waiting = runs.includes(undefined)
        if (this.#tooMany !== undefined)
          throw fail(
            `${this.#tooMany.title} was not the last one: it has been tried ${MOST_ATTEMPTS} times without an end`,
          )
        if (!this.engine.works && runs.every((run) => run === undefined))
          throw fail('what was submitted cannot run to its end: the runner is paused, or was made with work: false')
        if (!waiting) return runs.some((run) => run && this.driver.canTimeOut(run)) ? undefined : (runs as Run[])
        return this.#timeHelps() ? undefined : this.driver.running // a schedule has a timer for ever
      }
      await this.driver.until(() => this.#over() || open().length === 0, hopeless)
    })
  }

  /** Whether time brings on any task that has not ended: its own time, the end of its hold, room in its window, its timeout. */
  #timeHelps(): boolean {
    const now = this.clock.now()
    for (const id of this.#open) {
      const run = this.#runs.get(id)
      if (run !== undefined && this.driver.canTimeOut(run)) return true
      if (run !== undefined) continue
      const { reasons } = this.engine.explain(id) as Explanation
      if (reasons.some((reason) => 'until' in reason && reason.until !== undefined && reason.until > now)) return true
    }
    return false
  }

  /** Closes the runner by `close`, moving the clock over its deadlines. A drive that goes on ends here. */
  async close<Report>(close: () => Promise<Report>, drain: boolean): Promise<Report> {
    this.#closing = true
    const call: Call = { title: 'the closing of the runner', since: this.clock.monotonic(), timeout: undefined }
    if (drain) this.engine.hold(false)
    const closing = this.driver.activity.within(call, close)
    closing.catch(() => undefined) // it is told below, perhaps after the drive before
    await this.#enter(async () => {
      if (drain) this.engine.hold(false) // the drive before has closed the gate
      await this.driver.close(call, closing)
      this.engine.hold(true)
      this.#closing = false
    })
    const report = await closing
    this.#closed = true
    return report
  }

  /** Whether nothing will run any more. */
  #over: () => boolean = () => this.#closing || this.#closed

  /** What is due where nothing runs has begun by now, or never will. */
  async #begins(): Promise<void> {
    const idle = (): boolean => !this.#over() && this.driver.running.length === 0 && this.#begun.length === 0
    if (!idle() || this.due.length === 0) return
    await this.driver.patience(() => !idle() || this.due.length === 0, [], NONE_BEGINS)
    await this.driver.settle(this.#over)
  }

  /** The verdicts from now on. A drive that gives none keeps none: a record with its history may be large. */
  #collect(): TaskRecord[] {
    this.#verdicts = []
    return this.#verdicts
  }

  /** What this drive has begun and has not ended. */
  get #stillRunning(): readonly Call[] {
    return this.#begun.filter((run) => this.#runs.get(run.id) === run)
  }

  #drive<Result>(verb: string, body: () => Promise<Result>): Promise<Result> {
    const { current } = this.driver.activity
    if (current !== undefined)
      return Promise.reject(fail(`${verb}() was called by ${current.title}: only the test itself can drive its runner`))
    return this.#enter(async () => {
      this.#begun = []
      this.engine.hold(false)
      try {
        return await body()
      } finally {
        this.#verdicts = undefined
        this.engine.hold(true)
      }
    })
  }

  /** One after the other. */
  #enter<Result>(body: () => Promise<Result>): Promise<Result> {
    this.#driving++
    const turn = this.#last.then(body).finally(() => this.#driving--)
    this.#last = turn.catch(() => undefined)
    return turn
  }
}

function hasEnded({ state }: TaskRecord): boolean {
  return state === 'succeeded' || state === 'failed' || state === 'cancelled'
}

function isRunning({ state }: TaskRecord): boolean {
  return state === 'running'
}

function isDue({ state, runAt }: TaskRecord, clock: VirtualClock): boolean {
  return state === 'queued' || (state === 'scheduled' && runAt <= clock.now())
}

/** A record is plain JSON; a listener may change the one that it is given. */
function copy(record: TaskRecord): TaskRecord {
  return JSON.parse(JSON.stringify(record)) as TaskRecord
}

/** The timeout of a task as its attempt arms it. Asked only as one begins: the runner has checked `fallback` by then. */
export function timeouts(
  tasks: Readonly<Record<string, TaskDefinition>>,
  fallback: Duration | undefined,
): (task: StoredTask) => number | undefined {
  const usual = (): number | undefined =>
    fallback === undefined ? undefined : toMs(fallback, 'timeout', 'bad options of a test runner')
  return ({ name, extras }) => extras?.timeout ?? tasks[name]?.timeout ?? usual()
}
