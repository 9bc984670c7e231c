/** `onIdle`: those who wait until nothing is queued, scheduled or running in the engine. Close ends their waiting, too. */
import { type Clock, KeepAlive } from './clock.js'
import type { Engine } from './engine.js'
import { RunnerClosedError } from './errors.js'

interface Idler {
  resolve(): void
  reject(error: unknown): void
}

export class Idlers {
  readonly #engine: Engine
  readonly #keepAlive: KeepAlive
  #waiting: Idler[] = []

  constructor(engine: Engine, clock: Clock) {
    this.#engine = engine
    this.#keepAlive = new KeepAlive(clock)
  }

  wait(): Promise<void> {
    return new Promise((resolve, reject) => {
      // First wait, then look: what ends in between wakes it.
      this.#waiting.push({ resolve, reject })
      this.#keepAlive.set(this.#engine.capabilities.shared) // others may work on it: nothing else holds this process
      this.look()
    })
  }

  /** Wakes them if the engine is idle. */
  look(): void {
    if (this.#waiting.length > 0) this.#look().catch((error: unknown) => this.#end((idler) => idler.reject(error)))
  }

  async #look(): Promise<void> {
    const { queued, scheduled, running } = await this.#engine.counts()
    if (queued + scheduled + running === 0) this.#end((idler) => idler.resolve())
  }

  close(): void {
    this.fail(new RunnerClosedError())
  }

  /** What they wait for will never be seen. */
  fail(why: unknown): void {
    this.#end((idler) => idler.reject(why))
  }

  #end(how: (idler: Idler) => void): void {
    const waiting = this.#waiting
    this.#waiting = []
    this.#keepAlive.set(false)
    for (const idler of waiting) how(idler)
  }
}
