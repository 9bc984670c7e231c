/**
 * What drives a test runner: it opens the gate of the engine, moves the clock, and closes the gate again.
 *
 * One drive at a time: those of a test that are begun together follow each other. A handler or a listener cannot begin
 * one, since the drive that runs it would wait for itself.
 */
import type { Duration, EngineAttempt, StoredTask, TaskDefinition, TaskEvent, TaskRecord } from '../index.js'
import { type Call, Driver, fail } from './driver.js'
import { type EventLog, LogWriter } from './event-log.js'
import { GatedEngine, type Observer } from './gated-engine.js'
import { toMs } from './span.js'
import type { VirtualClock } from './virtual-clock.js'

interface Run extends Call {
  readonly id: string
}

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
  /** What the drive that goes on has begun, and the verdicts on it. */
  #begun: Run[] = []
  #verdicts: TaskRecord[] = []
  /** Only one attempt shall begin. */
  #one = false
  #last: Promise<unknown> = Promise.resolve()
  #driving = 0
  #closing = false

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
      this.#verdicts.push(copy(record))
    }
    this.driver.happened()
    if (event === 'submitted' || hasEnded(record)) this.#submitted.set(id, copy(record))
    if (hasEnded(record)) this.#open.delete(id)
    else this.#open.add(id)
    this.#writer.changed(event, record)
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

  /** Tasks that are due and were not begun. */
  get due(): readonly TaskRecord[] {
    if (!this.engine.works) return []
    return this.open.filter((each) => isDue(each, this.clock))
  }

  /** The memory engine answers at once. */
  #record(id: string): TaskRecord | undefined {
    return this.engine.get(id) as TaskRecord | undefined
  }

  // What it does.

  /** Runs what is due, and what that makes due, at this instant. Gives the verdict on each attempt. */
  drain(): Promise<readonly TaskRecord[]> {
    return this.#drive('drain', async () => {
      await this.driver.settle(this.#over)
      while (!this.#over() && (this.#stillRunning.length > 0 || this.due.length > 0)) {
        const blocking = this.#stillRunning.length > 0 ? this.#stillRunning : this.driver.running
        const before = this.#verdicts.length
        const hint = blocking.length > 0 ? '' : ': tasks are due and none begins; are the timers of Node faked?'
        await this.driver.patience(() => this.#over() || this.#verdicts.length > before, blocking, hint)
        await this.driver.settle(this.#over)
      }
      return [...this.#verdicts]
    })
  }

  /** Runs one attempt of the task whose turn it is. */
  runNext(): Promise<TaskRecord | undefined> {
    return this.#drive('runNext', async () => {
      this.#one = true
      try {
        await this.driver.settle(this.#over)
        const running = this.#stillRunning
        if (running.length > 0)
          await this.driver.patience(() => this.#over() || this.#stillRunning.length === 0, running)
        const id = this.#begun[0]?.id
        return this.#verdicts.find((each) => each.id === id)
      } finally {
        this.#one = false
      }
    })
  }

  /** Moves the clock on; what falls due on the way happens at its instant. */
  async advance(span: Duration): Promise<void> {
    const ms = toMs(span, 'the span of clock.advance')
    return this.#drive('clock.advance', () => this.driver.advance(ms, this.#over))
  }

  /** Moves the clock on until these tasks have ended, and those that are submitted meanwhile. */
  finish(ids: readonly string[]): Promise<void> {
    return this.#drive('submit', async () => {
      const wanted = new Set(ids)
      const before = new Set(this.#open)
      const open = (): string[] => [...this.#open].filter((id) => wanted.has(id) || !before.has(id))
      const hopeless = (): readonly Call[] | undefined => {
        const runs = open().map((id) => this.#runs.get(id))
        const waiting = runs.includes(undefined)
        if (!this.engine.works && runs.every((run) => run === undefined))
          throw fail('what was submitted cannot run to its end: the runner is paused, or was made with work: false')
        return waiting || runs.some((run) => run && this.driver.canTimeOut(run)) ? undefined : (runs as Run[])
      }
      await this.driver.until(() => this.#closing || open().length === 0, hopeless)
    })
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
    return closing
  }

  #over: () => boolean = () => this.#closing

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
      this.#verdicts = []
      this.engine.hold(false)
      try {
        return await body()
      } finally {
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

function isDue({ state, runAt }: TaskRecord, clock: VirtualClock): boolean {
  return state === 'queued' || (state === 'scheduled' && runAt <= clock.now())
}

/** A record is plain JSON; a listener may change the one that it is given. */
function copy(record: TaskRecord): TaskRecord {
  return JSON.parse(JSON.stringify(record)) as TaskRecord
}

/** The timeout of a task as its attempt arms it. */
export function timeouts(
  tasks: Readonly<Record<string, TaskDefinition>>,
  fallback: number | undefined,
): (task: StoredTask) => number | undefined {
  return ({ name, extras }) => extras?.timeout ?? tasks[name]?.timeout ?? fallback
}
