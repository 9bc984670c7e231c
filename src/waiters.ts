/**
 * `wait`: those who wait for the end of a task. Nobody waits for ever: each wait settles on the task's end, its removal,
 * a timeout, an abort, or the close of the runner, each with its own error.
 */
import { type Alarm, after, type Clock, KeepAlive } from './clock.js'
import type { Engine } from './engine.js'
import { RunnerClosedError, TaskNotFoundError, WaitTimeoutError } from './errors.js'
import { copyJson } from './json.js'
import { hasEnded } from './lifecycle.js'
import type { TaskRecord } from './record.js'

/** After a fault of the engine, a task is looked at again after this many ms. */
const FAULT_DELAY = 1_000

interface Waiter {
  resolve(record: TaskRecord): void
  reject(error: unknown): void
}

export class Waiters {
  readonly #engine: Engine
  readonly #clock: Clock
  readonly #report: (error: unknown) => void
  readonly #waiting: Map<string, Set<Waiter>> = new Map()
  readonly #keepAlive: KeepAlive
  /** Ids that could not be looked at. */
  readonly #missed: Set<string> = new Set()
  #unwatch: (() => void) | undefined
  #closed = false

  constructor(engine: Engine, clock: Clock, report: (error: unknown) => void) {
    this.#engine = engine
    this.#clock = clock
    this.#report = report
    this.#keepAlive = new KeepAlive(clock)
  }

  /** @param timeout ms */
  wait(id: string, signal: AbortSignal | undefined, timeout: number | undefined): Promise<TaskRecord> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason)
      if (this.#closed) return reject(new RunnerClosedError())
      let alarm: Alarm | undefined
      const release = (): void => {
        alarm?.cancel()
        signal?.removeEventListener('abort', aborted)
        this.#remove(id, waiter)
      }
      const waiter: Waiter = {
        resolve: (record) => {
          release()
          resolve(record)
        },
        reject: (error) => {
          release()
          reject(error)
        },
      }
      const aborted = (): void => waiter.reject(signal?.reason)
      signal?.addEventListener('abort', aborted, { once: true })
      if (timeout !== undefined)
        alarm = after(this.#clock, timeout, () => waiter.reject(new WaitTimeoutError(id, timeout)))
      // First wait, then look: what ends in between wakes the waiter.
      this.#add(id, waiter)
      this.#look(id, (error) => waiter.reject(error))
    })
  }

  /** Nothing will change any more. */
  close(): void {
    this.#closed = true
    this.fail(new RunnerClosedError())
  }

  /** What they wait for will never be seen. */
  fail(why: unknown): void {
    for (const waiters of this.#waiting.values()) for (const waiter of waiters) waiter.reject(why)
  }

  #add(id: string, waiter: Waiter): void {
    this.#unwatch ??= this.#engine.watch(this.#changed)
    const waiters = this.#waiting.get(id)
    if (waiters === undefined) this.#waiting.set(id, new Set([waiter]))
    else waiters.add(waiter)
    // It may end in another process; here, only the task itself can hold this one.
    this.#keepAlive.set(this.#engine.capabilities.shared)
  }

  #remove(id: string, waiter: Waiter): void {
    const waiters = this.#waiting.get(id)
    if (!waiters?.delete(waiter) || waiters.size > 0) return
    this.#waiting.delete(id)
    if (this.#waiting.size > 0) return
    this.#keepAlive.set(false)
    this.#unwatch?.()
    this.#unwatch = undefined
  }

  #changed: (ids: readonly string[]) => void = (ids) => {
    // None: the engine cannot tell which.
    for (const id of ids.length > 0 ? ids : [...this.#waiting.keys()])
      if (this.#waiting.has(id)) this.#look(id, (error) => this.#miss(id, error))
  }

  /** It may have ended, and nobody will say so again: it is looked at a little later. */
  #miss(id: string, error: unknown): void {
    if (this.#missed.size === 0) {
      this.#report(error)
      after(this.#clock, FAULT_DELAY, this.#lookAgain, 'background')
    }
    this.#missed.add(id)
  }

  #lookAgain: () => void = () => {
    const missed = [...this.#missed]
    this.#missed.clear()
    this.#changed(missed)
  }

  #look(id: string, failed: (error: unknown) => void): void {
    try {
      const found = this.#engine.get(id)
      if (found instanceof Promise) found.then((record) => this.#found(id, record), failed)
      else this.#found(id, found)
    } catch (error) {
      failed(error)
    }
  }

  #found(id: string, record: TaskRecord | undefined): void {
    if (record !== undefined && !hasEnded(record.state)) return
    for (const waiter of this.#waiting.get(id) ?? []) {
      if (record === undefined) waiter.reject(new TaskNotFoundError(id))
      else waiter.resolve(copyJson(record))
    }
  }
}
