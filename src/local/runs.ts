/** The attempts that go on in this process. */
import type { AttemptWriter, EngineAttempt, MaybePromise, StopReason } from '../engine.js'
import type { Json } from '../json.js'
import type { StoredTask } from '../record.js'

/** What an attempt writes through. */
export interface RunHost<Task> {
  /** Resolves when it is stored and told; never rejects. */
  progress(task: Task, value: Json): Promise<void>
  save(task: Task, value: Json): MaybePromise<void>
  called(task: Task): void
  announce(event: 'unresponsive', task: Task): void
}

/** One attempt. */
export class Run<Task extends StoredTask> implements AttemptWriter {
  readonly task: Task
  readonly #host: RunHost<Task>
  attempt!: EngineAttempt
  /** Its place among the others. */
  slot = 0
  /** Its latest progress, when that is stored and told: the end comes after it. */
  telling: Promise<void> | undefined

  constructor(host: RunHost<Task>, task: Task) {
    this.#host = host
    this.task = task
  }

  progress(value: Json): void {
    this.telling = this.#host.progress(this.task, value)
  }

  save(value: Json): MaybePromise<void> {
    return this.#host.save(this.task, value)
  }

  called(): void {
    this.#host.called(this.task)
  }

  unresponsive(): void {
    this.#host.announce('unresponsive', this.task)
  }
}

/** All of them, in no order. An array and not a map: a map that is filled and emptied all the time costs a tenth of a task. */
export class Runs<Task extends StoredTask> {
  readonly #runs: Run<Task>[] = []

  get size(): number {
    return this.#runs.length
  }

  get tasks(): Task[] {
    return this.#runs.map(({ task }) => task)
  }

  add(run: Run<Task>): void {
    run.slot = this.#runs.push(run) - 1
  }

  remove({ slot }: Run<Task>): void {
    const last = this.#runs.pop() as Run<Task>
    if (slot === this.#runs.length) return
    this.#runs[slot] = last
    last.slot = slot
  }

  /** Asks those to stop of which this holds. */
  stop(why: StopReason, which: (task: Task) => boolean = () => true): void {
    for (const run of [...this.#runs]) if (which(run.task)) run.attempt.stop(why)
  }
}
