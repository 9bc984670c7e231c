/** A clock that stands still until it is moved. */
import type { Clock } from 'background-runner'

export class HandClock implements Clock {
  #now = Date.UTC(2026, 0, 1)
  #timers: { readonly at: number; readonly callback: () => void }[] = []

  now(): number {
    return this.#now
  }

  monotonic(): number {
    return this.#now
  }

  setTimeout(callback: () => void, ms: number): unknown {
    const timer = { at: this.#now + ms, callback }
    this.#timers.push(timer)
    return timer
  }

  clearTimeout(handle: unknown): void {
    this.#timers = this.#timers.filter((timer) => timer !== handle)
  }

  get armed(): number {
    return this.#timers.length
  }

  /** Moves on by `ms`, timer by timer; what each sets going has settled before the next. */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms
    for (;;) {
      const next = this.#timers.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0]
      if (next === undefined) break
      this.clearTimeout(next)
      this.#now = next.at
      next.callback()
      await settled()
    }
    this.#now = end
    await settled()
  }
}

/** Some turns of the event loop. */
export async function settled(): Promise<void> {
  for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve))
}
