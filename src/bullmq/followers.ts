/** Tells the tasks that come after others of their ends. */
import { toRecord } from '../record.js'
import type { World } from './world.js'

/** So many are told in one script. */
const STEP = 500

export class Followers {
  readonly #world: World
  isTelling = false

  constructor(world: World) {
    this.#world = world
  }

  /** Who comes after tasks that have ended: in steps, so that Redis is free in between. */
  async tell(): Promise<void> {
    if (this.isTelling) return
    this.isTelling = true
    try {
      for (let left = 1; left > 0; ) {
        const [cancelled, freed, more] = (await this.#world.backend.work('tell', this.#world.clock.now(), {
          most: STEP,
        })) as [string[], number, number]
        await this.tellEnded(cancelled)
        if (freed > 0) this.#world.host.changed([])
        left = more
      }
    } catch (error) {
      if (!this.#world.closing) this.#world.host.fault(error)
    } finally {
      this.isTelling = false
      this.#world.host.changed([])
    }
  }

  /** They were cancelled with what they came after. */
  async tellEnded(cancelled: readonly string[]): Promise<void> {
    const jobs = cancelled.map((each) => each.split(' ') as [string, string])
    for (const task of await this.#world.read(jobs)) this.#world.host.recovered('cancelled', toRecord(task))
  }
}
