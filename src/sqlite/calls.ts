/**
 * The calls of handlers that a rate limit counts: for an interval from each on, in the file and so for all processes. One
 * whose handler is still to be called counts until then.
 */
import type { Clock } from '../clock.js'
import { getOrMake } from '../local/get-or-make.js'
import type { Statement } from './driver.js'

/** Until a handler is called it counts. */
const NOT_YET = Number.MAX_SAFE_INTEGER

/** What is counted together. */
export interface Window {
  readonly name: number
  readonly rate: string
}

interface Attempt {
  readonly seq: number
  readonly attempt: number
}

export class Calls {
  readonly #sql: (text: string) => Statement
  readonly #clock: Clock
  /** Epoch ms at which the next call counts no more; NOT_YET: there is none that was called. */
  #next: number | undefined
  /** What the clock showed last: it was set back if it shows less. At first nobody knows. */
  #shown = Number.POSITIVE_INFINITY
  #isSetBack = false

  constructor(sql: (text: string) => Statement, clock: Clock) {
    this.#sql = sql
    this.#clock = clock
  }

  /** A transaction came to nothing. */
  undo(): void {
    this.#shown = Number.POSITIVE_INFINITY
  }

  /** Another connection has written. */
  forget(): void {
    this.#next = undefined
  }

  /** A name may have another interval now than when its calls were written. */
  setInterval(name: number, interval: number): void {
    this.#sql(
      `UPDATE calls INDEXED BY calls_rate SET interval = ?, until = CASE until WHEN ${NOT_YET} THEN until ELSE until - interval + ? END
       WHERE name = ? AND interval <> ?`,
    ).run(interval, interval, name, interval)
  }

  /** One is about to be made. @param interval ms */
  begins({ seq, attempt }: Attempt, { name, rate }: Window, interval: number): void {
    this.#sql('INSERT INTO calls (seq, attempt, name, rate, interval, until) VALUES (?, ?, ?, ?, ?, ?)').run(
      seq,
      attempt,
      name,
      rate,
      interval,
      NOT_YET,
    )
  }

  /** It is made, and counts from now on. @param interval ms; undefined: who has claimed the task knows of one, perhaps */
  made({ seq, attempt }: Attempt, now: number, interval: number | undefined): void {
    if (interval === undefined) this.#next = undefined
    else if (this.#next !== undefined) this.#next = Math.min(this.#next, now + interval)
    this.#sql('UPDATE calls SET until = ? + interval WHERE seq = ? AND attempt = ? AND until = ?').run(
      now,
      seq,
      attempt,
      NOT_YET,
    )
  }

  /** The attempt has ended: one that was not made never will be. Says whether that is so. */
  ends({ seq, attempt }: Attempt): boolean {
    const { changes } = this.#sql('DELETE FROM calls WHERE seq = ? AND attempt = ? AND until = ?').run(
      seq,
      attempt,
      NOT_YET,
    )
    return changes > 0
  }

  /** How many count. */
  count({ name, rate }: Window): number {
    return this.#sql('SELECT count(*) AS n FROM calls INDEXED BY calls_rate WHERE name = ? AND rate = ?').get(
      name,
      rate,
    )?.['n'] as number
  }

  /** How many of those that were counted are over by now. */
  countOver({ name, rate }: Window, now: number): number {
    return this.#sql('SELECT count(*) AS n FROM calls WHERE name = ? AND rate = ? AND until <= ?').get(
      name,
      rate,
      now,
    )?.['n'] as number
  }

  /** Epoch ms at which the next one of a window counts no more, if that is known. */
  nextOf({ name, rate }: Window, now: number): number | undefined {
    const until = this.#sql('SELECT min(until) AS until FROM calls WHERE name = ? AND rate = ? AND until > ?').get(
      name,
      rate,
      now,
    )?.['until']
    return typeof until === 'number' && until !== NOT_YET ? until : undefined
  }

  /** Epoch ms at which the next one of all counts no more. */
  get next(): number | undefined {
    if (this.#next === undefined) {
      const row = this.#sql('SELECT min(until) AS until FROM calls INDEXED BY calls_until').get()
      this.#next = (row?.['until'] ?? NOT_YET) as number
    }
    return this.#next === NOT_YET ? undefined : this.#next
  }

  /** Whether `advance` has something to do. */
  isDue(now: number): boolean {
    const shown = this.#clock.now() // `now` may be of a while ago
    this.#isSetBack ||= shown < this.#shown
    this.#shown = shown
    return this.#isSetBack || (this.next ?? Number.POSITIVE_INFINITY) <= now
  }

  /** What is over goes: the windows that have room for so many more. */
  advance(now: number): Iterable<Window & { readonly n: number }> {
    if (this.#isSetBack) this.#setBack()
    const over = this.#sql('SELECT name, rate FROM calls INDEXED BY calls_until WHERE until <= ?').all(now)
    if (over.length === 0) return []
    this.#sql('DELETE FROM calls INDEXED BY calls_until WHERE until <= ?').run(now)
    this.#next = undefined
    const windows = new Map<string, { readonly name: number; readonly rate: string; n: number }>()
    for (const { name, rate } of over as { name: number; rate: string }[])
      getOrMake(windows, `${name} ${rate}`, () => ({ name, rate, n: 0 })).n++
    return windows.values()
  }

  /** What was made counts from now on, and not until the clock has caught up. */
  #setBack(): void {
    this.#sql(
      'UPDATE calls INDEXED BY calls_until SET until = ? + interval WHERE until > ? + interval AND until < ?',
    ).run(this.#shown, this.#shown, NOT_YET)
    this.#isSetBack = false
    this.#next = undefined
  }
}
