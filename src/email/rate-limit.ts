/**
 * The rate limit of a sender: never more than `max` messages in any `interval`, whatever the server's delays.
 *
 * When exactly the server counts a message is not ours to see, so a send counts from its start until `interval` after its
 * end. What finds no room is told how long to wait, and is promised a place: in the order in which they asked, so that
 * whoever comes later does not go first.
 */

export interface EmailRateLimit {
  /** Messages in any `interval`. */
  readonly max: number
  /** ms */
  readonly interval: number
}

export class SendWindow {
  readonly #max: number
  readonly #interval: number
  /** Sends that go on. */
  #flying = 0
  /** When each place becomes free again, ascending. */
  readonly #frees: number[] = []
  /** Who was promised a place, and when; ascending. */
  readonly #promised: Map<string, number> = new Map()
  #latest = Number.NEGATIVE_INFINITY

  constructor({ max, interval }: EmailRateLimit) {
    this.#max = max
    this.#interval = interval
  }

  /** Takes a place for the message of task `id`. `now` is monotonic. Returns 0 if it has one, otherwise ms to wait. */
  take(id: string, now: number): number {
    this.#forget(now)
    const free = this.#max - this.#flying - this.#frees.length
    const promise = this.#promised.get(id)
    const mine = promise !== undefined && promise <= now
    if (free > (mine ? 0 : this.#dueBy(now))) {
      this.#promised.delete(id)
      this.#flying++
      return 0
    }
    // A send took longer than was thought when the place was promised; who has come keeps its turn.
    if (mine) return Math.ceil((this.#frees[0] ?? now + this.#interval) - now)
    if (promise === undefined) {
      this.#latest = this.#nextPlace(now)
      this.#promised.set(id, this.#latest)
    }
    return Math.ceil((promise ?? this.#latest) - now)
  }

  /** A send has ended; `reached`: the server may have seen the message. */
  give(now: number, reached: boolean): void {
    this.#flying--
    if (reached) this.#frees.push(now + this.#interval)
  }

  /** How many promises are due and not redeemed. */
  #dueBy(now: number): number {
    let due = 0
    for (const at of this.#promised.values()) {
      if (at > now) break
      due++
    }
    return due
  }

  /** The first moment that nobody was promised. What flies ends now at the earliest. */
  #nextPlace(now: number): number {
    const ahead = this.#promised.size
    const first = this.#frees[ahead % this.#max] ?? now + this.#interval
    const at = first + Math.floor(ahead / this.#max) * this.#interval
    return ahead === 0 ? at : Math.max(at, this.#latest)
  }

  #forget(now: number): void {
    while (this.#frees[0] !== undefined && this.#frees[0] <= now) this.#frees.shift()
    // Who does not come (cancelled, or taken by another process) keeps nobody waiting.
    for (const [id, at] of this.#promised) {
      if (at + this.#interval > now) break
      this.#promised.delete(id)
    }
  }
}
