/** Progress, throttled: the latest value wins, at most one write in an interval, and the last one always before the verdict. */
import { type Alarm, after, type Clock } from './clock.js'
import type { Json } from './json.js'

/** At most one write of progress in this many ms. */
const PROGRESS_INTERVAL = 100

export class ProgressThrottle {
  readonly #clock: Clock
  readonly #write: (value: Json) => void
  #writtenAt = Number.NEGATIVE_INFINITY
  #waiting: { readonly value: Json } | undefined
  #alarm: Alarm | undefined

  constructor(clock: Clock, write: (value: Json) => void) {
    this.#clock = clock
    this.#write = write
  }

  put(value: Json): void {
    this.#waiting = { value }
    if (this.#alarm !== undefined) return
    const left = this.#writtenAt + PROGRESS_INTERVAL - this.#clock.monotonic()
    if (left <= 0) this.flush()
    else this.#alarm = after(this.#clock, left, () => this.flush())
  }

  flush(): void {
    this.#alarm?.cancel()
    this.#alarm = undefined
    if (this.#waiting === undefined) return
    const { value } = this.#waiting
    this.#waiting = undefined
    this.#writtenAt = this.#clock.monotonic()
    this.#write(value)
  }
}
