/**
 * Holds: names of which nothing starts for a while, because one of their attempts has found what they all need (a mail
 * server, a login) to be sick, and said so by `RetryLaterError({ hold: true })`. So a sick transport burns no tasks.
 *
 * - Until `until` has passed no attempt of the name starts; those that run go on, and other names are not delayed.
 * - Then one goes first, as a probe: the best due task by the usual order. While it runs no other starts.
 * - The probe's verdict lifts the hold if it says something about the transport and does not ask for a hold itself: it
 *   succeeded, failed, or is to be tried again at the cost of an attempt. No other attempt's verdict lifts it.
 * - What says nothing (put back at no cost, released, cancelled, abandoned, its process died) leaves the hold as it is,
 *   and the next best task is the next probe.
 * - An attempt that asks for a hold, probe or not, prolongs the one there is if its own `until` is later; otherwise
 *   nothing changes and nothing is told. That holds whatever becomes of its task: put back, failed since `maxAge` has
 *   passed, cancelled meanwhile.
 * - A hold is there until it is lifted, also when `until` has passed and nobody has come to probe.
 *
 * Nothing ever has to be tidied up: a hold remembers task and attempt of its probe, and is being probed only while that
 * very task is running at that attempt. However the attempt ended, and whoever wrote that down, the next one may begin.
 */
import type { Outcome } from '../engine.js'
import type { Hold, SerializedError, StoredTask } from '../record.js'

/** A hold as a store keeps it. `Key` is how it finds a task. */
export interface Held<Key> {
  /** Epoch ms */
  readonly until: number
  readonly error: SerializedError
  /** The latest attempt that began as its probe. */
  readonly probe: { readonly task: Key; readonly attempt: number } | undefined
}

/** What holds mean for the work that there is. */
export interface Kept {
  /** Of the tasks that are due, so many cannot start now. */
  readonly tasks: number
  /** Epoch ms at which the next of them can. */
  readonly nextDue: number | undefined
}

const NOTHING: Kept = { tasks: 0, nextDue: undefined }

export class Holds<Key> {
  readonly #held: Map<string, Held<Key>> = new Map()
  readonly #isRunning: (task: Key, attempt: number) => boolean

  /** @param isRunning whether the task is running at this very attempt */
  constructor(isRunning: (task: Key, attempt: number) => boolean) {
    this.#isRunning = isRunning
  }

  /** 0 nearly always: whoever asks for each task asks this first. */
  get size(): number {
    return this.#held.size
  }

  /** By name. */
  list(): Hold[] {
    return [...this.#held]
      .map(([name, { until, error }]) => ({ name, until, error }))
      .sort((a, b) => (a.name < b.name ? -1 : 1))
  }

  protected put(name: string, held: Held<Key> | undefined): void {
    if (held === undefined) this.#held.delete(name)
    else this.#held.set(name, held)
  }

  protected clear(): void {
    this.#held.clear()
  }

  /** Whether no attempt of this name may start now. */
  keeps(name: string, now: number): boolean {
    const held = this.#held.get(name)
    return held !== undefined && this.#keeps(held, now)
  }

  #keeps({ until, probe }: Held<Key>, now: number): boolean {
    return now < until || (probe !== undefined && this.#isRunning(probe.task, probe.attempt))
  }

  /** An attempt of a name that may start has started: where there is a hold, it is its probe. */
  begins({ name, attempt }: StoredTask, task: Key): void {
    const held = this.#held.get(name)
    if (held !== undefined) this.put(name, { ...held, probe: { task, attempt } })
  }

  /**
   * An attempt has ended.
   *
   * @param ended the task with its verdict written
   * @returns the hold that began or was prolonged by it, or that it was lifted; undefined: nothing has changed
   */
  judge(ended: StoredTask, task: Key, outcome: Outcome): Hold | 'lifted' | undefined {
    const { name, attempt } = ended
    const held = this.#held.get(name)
    const { hold: until } = outcome
    if (until !== undefined) {
      if (held !== undefined && until <= held.until) return undefined
      const error = reason(outcome)
      this.put(name, { until, error, probe: held?.probe })
      return { name, until, error }
    }
    if (held?.probe?.task !== task || held.probe.attempt !== attempt || !saysMuch(ended, outcome)) return undefined
    this.put(name, undefined)
    return 'lifted'
  }

  /** @param waiting how many tasks of a name are due, as far as this process can run them */
  kept(now: number, waiting: (name: string) => number): Kept {
    if (this.size === 0) return NOTHING
    let tasks = 0
    let nextDue: number | undefined
    for (const [name, held] of this.#held) {
      const due = waiting(name)
      if (due === 0) continue
      tasks += this.#keeps(held, now) ? due : due - 1
      if (held.until > now) nextDue = earlier(nextDue, held.until)
    }
    return { tasks, nextDue }
  }
}

/** The earlier of two points in time that need not come. */
export function earlier(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || (b !== undefined && b < a) ? b : a
}

/** Whether a verdict without a hold says that the transport works again. Its state, not the outcome: a cancel may have won. */
function saysMuch({ state }: StoredTask, outcome: Outcome): boolean {
  if (state === 'scheduled') return outcome.type === 'retry' && outcome.countsAsAttempt
  return state === 'succeeded' || state === 'failed'
}

/** What the handler threw, whatever became of its task. */
function reason(outcome: Outcome): SerializedError {
  const { thrown, error } = outcome as { readonly thrown?: SerializedError; readonly error?: SerializedError }
  return thrown ?? error ?? { name: 'Error', message: 'no reason was given' }
}
