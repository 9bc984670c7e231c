/**
 * A small reference model of the runner: what SEMANTICS promises, in the plainest code that can say it. No queue, no
 * promise, no timer; time is a number, and each step looks at everything again.
 */
import type { TaskState } from 'background-runner'

/** How a task of the model behaves. `deaf`: its handler ignores the signal. */
export interface Spec {
  readonly deaf: boolean
  readonly priority: number
  readonly delay: number
  readonly attempts: number
  /** ms, fixed */
  readonly backoff: number
  readonly timeout: number | undefined
}

export interface ModelTask extends Spec {
  readonly id: string
  readonly order: number
  state: TaskState
  attempt: number
  maxAttempts: number
  uncounted: number
  current: number
  runAt: number
  timeoutAt: number
  timedOut: boolean
  cancelAsked: boolean
  force: boolean
  /** When its handler is, or was, called unresponsive. */
  graceAt: number
  /** Deaths of its process in a row. */
  deaths: number
  /** What has been told of it. */
  readonly events: string[]
}

const GRACE = 5_000
const NEVER = Number.POSITIVE_INFINITY

export class Model {
  readonly tasks: Map<string, ModelTask> = new Map()
  now: number
  paused = false
  closing = false
  concurrency: number
  readonly maxPending: number
  completed = 0
  returned = 0
  #order = 0

  constructor(now: number, concurrency: number, maxPending: number) {
    this.now = now
    this.concurrency = concurrency
    this.maxPending = maxPending
  }

  all(state: TaskState): ModelTask[] {
    return [...this.tasks.values()].filter((task) => task.state === state)
  }

  get pending(): number {
    return this.all('queued').length + this.all('scheduled').length
  }

  hasRoomFor(more: number): boolean {
    return more === 0 || this.pending + more <= this.maxPending // retries may have filled it beyond its limit
  }

  submit(id: string, spec: Spec): void {
    const runAt = this.now + spec.delay
    this.tasks.set(id, {
      ...spec,
      id,
      order: ++this.#order,
      state: runAt > this.now ? 'scheduled' : 'queued',
      attempt: 0,
      maxAttempts: spec.attempts,
      uncounted: 0,
      current: spec.priority,
      runAt,
      timeoutAt: NEVER,
      timedOut: false,
      cancelAsked: false,
      force: false,
      graceAt: NEVER,
      deaths: 0,
      events: ['submitted'],
    })
  }

  /** Fills the free slots, best first. */
  schedule(): void {
    for (const task of this.all('scheduled')) if (task.runAt <= this.now) task.state = 'queued'
    if (this.paused || this.closing) return
    const waiting = this.all('queued').sort((a, b) => b.current - a.current || a.runAt - b.runAt || a.order - b.order)
    for (const task of waiting) {
      const running = this.all('running')
      if (running.length >= this.concurrency) break
      if (isSuspect(task) && running.some(isSuspect)) continue
      task.state = 'running'
      task.events.push('started')
      task.attempt++
      task.timeoutAt = task.timeout === undefined ? NEVER : this.now + task.timeout
      task.timedOut = false
      task.graceAt = NEVER
    }
  }

  succeed(task: ModelTask): void {
    this.#end(task, 'succeeded')
  }

  /** The handler rejects. */
  reject(task: ModelTask, kind: 'plain' | 'fatal' | 'later', delay = 0): void {
    if (task.cancelAsked) return this.#end(task, 'cancelled')
    if (kind === 'later') return this.#again(task, this.now + delay, false)
    if (this.#shutDown && !task.timedOut) return this.#release(task)
    const used = task.attempt - task.uncounted
    if ((kind === 'fatal' && !task.timedOut) || used >= task.attempts) return this.#end(task, 'failed')
    this.#again(task, this.now + task.backoff, true)
  }

  #shutDown = false

  /** The deadline of `close` has passed: who listens is handed back. */
  shutDown(): void {
    this.#shutDown = true
    for (const task of this.all('running')) if (!task.deaf) this.#release(task)
  }

  /** The process dies, and another one opens what it has left. */
  crash(): void {
    for (const task of this.all('running')) {
      if (task.cancelAsked) this.#end(task, 'cancelled')
      else if (isSuspect(task)) this.#end(task, 'failed')
      else {
        task.state = 'queued'
        task.deaths++
        this.#doNotCount(task)
      }
    }
  }

  cancel(task: ModelTask, force: boolean): void {
    if (task.state === 'queued' || task.state === 'scheduled') return this.#end(task, 'cancelled')
    task.cancelAsked = true
    task.force ||= force
    if (!task.deaf) return this.#end(task, 'cancelled')
    if (task.graceAt === NEVER) task.graceAt = this.now + GRACE
    if (task.force && task.graceAt <= this.now) this.#end(task, 'cancelled')
  }

  retry(task: ModelTask, delay: number): void {
    task.maxAttempts = task.attempt + (task.maxAttempts - task.uncounted)
    task.uncounted = task.attempt
    task.runAt = this.now + delay
    task.state = delay > 0 ? 'scheduled' : 'queued'
    task.cancelAsked = false
    task.force = false
    task.deaths = 0
    task.events.push('retrying')
  }

  /** Lets time pass, event by event. */
  advance(ms: number): void {
    const end = this.now + ms
    for (;;) {
      const next = Math.min(...[...this.tasks.values()].map((task) => this.#nextEvent(task)))
      if (next > end) break
      this.now = Math.max(this.now, next)
      for (const task of this.all('running')) {
        if (!task.timedOut && task.timeoutAt <= this.now) {
          task.timedOut = true
          if (!task.deaf) this.reject(task, 'plain')
          else if (task.graceAt === NEVER) task.graceAt = this.now + GRACE
        }
        if (task.state === 'running' && task.force && task.graceAt <= this.now) this.#end(task, 'cancelled')
      }
      this.schedule()
    }
    this.now = end
  }

  #nextEvent(task: ModelTask): number {
    if (task.state === 'scheduled') return task.runAt
    if (task.state !== 'running') return NEVER
    const timeout = task.timedOut ? NEVER : task.timeoutAt
    return task.force ? Math.min(timeout, task.graceAt) : timeout
  }

  #again(task: ModelTask, runAt: number, counts: boolean): void {
    task.state = 'scheduled'
    task.events.push('retrying')
    task.runAt = runAt
    task.deaths = 0
    if (!counts) this.#doNotCount(task)
  }

  #release(task: ModelTask): void {
    task.state = 'queued'
    task.events.push('retrying')
    this.returned++
    task.deaths = 0
    this.#doNotCount(task)
  }

  #doNotCount(task: ModelTask): void {
    task.uncounted++
    task.maxAttempts++
  }

  #end(task: ModelTask, state: TaskState): void {
    task.state = state
    task.events.push(state)
    this.completed++
  }
}

/** It was running at two deaths in a row: it runs beside no other such task, and the third death ends it. */
function isSuspect({ deaths }: ModelTask): boolean {
  return deaths >= 2
}
