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
import type { Outcome, TaskEvent } from '../engine.js'
import type { Reason } from '../explanation.js'
import type { Hold, SerializedError, StoredTask } from '../record.js'
import type { Outlook, SettledWithHold } from './store.js'

/** A hold as a store keeps it. `Key` is how it finds a task. */
export interface Held<Key> {
  /** Epoch ms */
  readonly until: number
  readonly error: SerializedError
  /** The latest attempt that began as its probe. */
  readonly probe: Probe<Key> | undefined
}

/** One attempt of a task. */
export interface Probe<Key> {
  readonly task: Key
  readonly attempt: number
}

export class Holds<Key> {
  readonly #held: Map<string, Held<Key>> = new Map()
  readonly #isRunning: (probe: Probe<Key>) => boolean

  /** @param isRunning whether the task is running at this very attempt */
  constructor(isRunning: (probe: Probe<Key>) => boolean) {
    this.#isRunning = isRunning
  }

  /** 0 nearly always: whoever asks for each task asks this first. */
  get size(): number {
    return this.#held.size
  }

  list(): Hold[] {
    return [...this.#held].map(([name, { until, error }]) => ({ name, until, error }))
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
    return held !== undefined && (now < held.until || (held.probe !== undefined && this.#isRunning(held.probe)))
  }

  /** As what keeps a task of this name. */
  reasons(name: string): Reason[] {
    const held = this.#held.get(name)
    return held === undefined ? [] : [{ type: 'held', until: held.until, error: held.error }]
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
   * @param event of its verdict
   * @returns the event, with the hold if that has changed
   */
  judge(event: TaskEvent, ended: StoredTask, task: Key, outcome: Outcome): TaskEvent | SettledWithHold {
    const { name, attempt } = ended
    const held = this.#held.get(name)
    const { hold: until } = outcome
    if (until === undefined) {
      if (held?.probe?.task !== task || held.probe.attempt !== attempt || !saysMuch(event, outcome)) return event
      this.put(name, undefined)
      return { event, hold: undefined }
    }
    if (held !== undefined && until <= held.until) return event
    const error = reasonOf(outcome)
    this.put(name, { until, error, probe: held?.probe })
    return { event, hold: { name, until, error } }
  }

  /**
   * What holds mean for the work that there is.
   *
   * @param ready due tasks, held or not
   * @param nextDue epoch ms at which the next of the others is due
   * @param waiting how many of `ready` are of this name
   * @returns both as they are with holds: how many may start, and when that changes
   */
  sift(
    now: number,
    ready: number,
    nextDue: number | undefined,
    waiting: (name: string) => number,
  ): Pick<Outlook, 'ready' | 'nextDue'> {
    for (const [name, { until }] of this.#held) {
      const due = waiting(name)
      if (due === 0) continue
      ready -= this.keeps(name, now) ? due : due - 1
      if (until > now && (nextDue === undefined || until < nextDue)) nextDue = until
    }
    return { ready, nextDue }
  }
}

/** Whether a verdict without a hold says that the transport works again. By the event: a cancel may have won. */
export function saysMuch(event: TaskEvent, outcome: Outcome): boolean {
  if (event === 'retrying') return outcome.type === 'retry' && outcome.countsAsAttempt
  return event !== 'cancelled'
}

/** What the handler threw, whatever became of its task: who asks for a hold has thrown. */
export function reasonOf(outcome: Outcome): SerializedError {
  const { thrown, error } = outcome as { readonly thrown?: SerializedError; readonly error: SerializedError }
  return thrown ?? error
}
