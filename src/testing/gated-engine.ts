/**
 * The memory engine behind a gate: nothing starts but when the harness says so, and nothing happens unseen.
 *
 * It lives on the public seam: the gate is the engine's own `pause`, told apart from the user's, and what happens is seen
 * through the host that the engine is given.
 */
import {
  type AttemptWriter,
  type CancelRequest,
  type Capabilities,
  type Engine,
  type EngineAttempt,
  type EngineHost,
  type Enqueued,
  type Explanation,
  type Hold,
  type ListPage,
  type ListQuery,
  memory,
  type NewTask,
  type ScheduleRecord,
  type StopReport,
  type StopRequest,
  type StoredTask,
  type TaskCounts,
  type TaskEvent,
  type TaskRecord,
  UnsupportedByEngineError,
} from '../index.js'

/** Whoever looks on. */
export interface Observer {
  /** An attempt is about to begin; gives it back as it shall run. */
  attempt(task: StoredTask, attempt: EngineAttempt): EngineAttempt
  /** What an attempt has saved is stored. */
  saved?(task: StoredTask): void
  changed(event: TaskEvent, record: TaskRecord): void
  /** A schedule submits the task of this id. */
  fired?(id: string): void
  /** Something else is otherwise with some task: it may go on since another one has ended. */
  happened?(): void
  hold(name: string, hold: Hold | undefined): void
  idle(): void
  /** Calls `tell`, which calls listeners. */
  telling(tell: () => void): void
}

type Answer<T> = T | Promise<T>

export class GatedEngine implements Engine {
  readonly name: string
  readonly capabilities: Capabilities
  readonly #inner: Engine = memory()
  readonly #observer: Observer
  #held = true
  #paused = false
  #work = true

  constructor(observer: Observer) {
    this.#observer = observer
    this.name = this.#inner.name
    this.capabilities = this.#inner.capabilities
  }

  /** Whether what is due can begin, once the gate is open: the user may have paused it. */
  get works(): boolean {
    return this.#work && !this.#paused
  }

  /** Closes or opens the gate; what runs goes on. */
  hold(held: boolean): void {
    this.#held = held
    void this.#inner.pause(this.#held || this.#paused)
  }

  start(host: EngineHost): Answer<void> {
    const observer = this.#observer
    this.#work = host.settings.work
    const started = this.#inner.start({
      settings: host.settings,
      attempt: (task, writer) => observer.attempt(task, host.attempt(task, this.#watched(task, writer))),
      hears: () => true,
      changed: (event, record) => {
        observer.changed(event, record)
        observer.telling(() => host.changed(event, record))
      },
      hold: (name, hold) => {
        observer.hold(name, hold)
        observer.telling(() => host.hold(name, hold))
      },
      idle: () => {
        observer.idle()
        observer.telling(() => host.idle())
      },
      fault: (error, forGood) => host.fault(error, forGood),
    })
    this.#inner.watch(() => observer.happened?.())
    this.hold(true)
    return started
  }

  #watched(task: StoredTask, writer: AttemptWriter): AttemptWriter {
    return {
      progress: (value) => writer.progress(value),
      called: () => writer.called?.(),
      unresponsive: () => writer.unresponsive(),
      save: async (value) => {
        await writer.save(value)
        this.#observer.saved?.(task)
      },
    }
  }

  pause(paused: boolean): Answer<void> {
    this.#paused = paused
    return this.#inner.pause(this.#held || this.#paused)
  }

  /** Whether tasks were submitted that limits, or other tasks, may keep. */
  mayKeep = false

  enqueue(tasks: readonly NewTask[]): Answer<readonly Enqueued[]> {
    this.#see(tasks)
    return this.#inner.enqueue(tasks)
  }

  #see(tasks: readonly NewTask[]): void {
    this.mayKeep ||= tasks.some(({ extras: { after, slot, rate, requires } = {} }) =>
      [after, slot, rate, requires].some((each) => each !== undefined),
    )
  }

  putSchedule(schedule: ScheduleRecord): Answer<void> {
    return this.#inner.putSchedule?.(schedule)
  }

  removeSchedule(id: string): Answer<boolean> {
    return this.#inner.removeSchedule?.(id) ?? false
  }

  schedules(): Answer<readonly ScheduleRecord[]> {
    return this.#inner.schedules?.() ?? []
  }

  fireSchedule(schedule: ScheduleRecord, following: number, task: NewTask | undefined): Answer<boolean> {
    if (task !== undefined) {
      this.#see([task])
      this.#observer.fired?.(task.id)
    }
    return this.#inner.fireSchedule?.(schedule, following, task) ?? false
  }

  get(id: string): Answer<TaskRecord | undefined> {
    return this.#inner.get(id)
  }

  list(query: ListQuery): Answer<ListPage> {
    return this.#inner.list(query)
  }

  counts(): Answer<TaskCounts> {
    return this.#inner.counts()
  }

  cancel(id: string, options: CancelRequest): Answer<TaskRecord> {
    return this.#inner.cancel(id, options)
  }

  retry(id: string, options: { readonly delay: number }): Answer<TaskRecord> {
    return this.#inner.retry(id, options)
  }

  setPriority(id: string, priority: number): Answer<TaskRecord> {
    return this.#inner.setPriority(id, priority)
  }

  remove(id: string): Answer<boolean> {
    return this.#inner.remove(id)
  }

  explain(id: string): Answer<Explanation> {
    if (this.#inner.explain === undefined) throw new UnsupportedByEngineError(this.name, 'explain why a task waits')
    return this.#inner.explain(id)
  }

  holds(): Answer<readonly Hold[]> {
    return this.#inner.holds()
  }

  watch(listener: (ids: readonly string[]) => void): () => void {
    return this.#inner.watch(listener)
  }

  setConcurrency(concurrency: number): void {
    this.#inner.setConcurrency(concurrency)
  }

  stop(request: StopRequest): Promise<StopReport> {
    return this.#inner.stop(request)
  }

  close(): Answer<void> {
    return this.#inner.close()
  }
}
