/** What other processes do, as far as this one hears of it: what scripts PUBLISH, and a look now and then at what nobody tells. */
import { type Alarm, after, systemClock } from '../clock.js'
import { idOf } from './job.js'
import type { Locks } from './locks.js'
import type { World } from './world.js'

/** While somebody waits for tasks they are looked at this often, ms: what other tools do to them is told to nobody. */
const NET = 10_000

export class News {
  readonly #world: World
  readonly #locks: Locks
  #isOpen = false
  #looksAtFeed = false
  #net: Alarm | undefined

  constructor(world: World, locks: Locks) {
    this.#world = world
    this.#locks = locks
  }

  /** The connection is there. */
  async open(): Promise<void> {
    this.#isOpen = true
    const { names, works, me, backend } = this.#world
    const known = works ? names.map((name) => `knows:${this.#world.queue(name)}`) : []
    await backend.listen('all', `w:${me}`, ...known)
    if (this.#looksAtFeed) this.#listen()
  }

  heard(channel: string, message: string): void {
    if (this.#world.closing) return
    const [from, ...words] = message.split(' ')
    const [word] = words
    if (channel.startsWith('w:')) return this.#locks.stopAsked(word as string)
    if (from === this.#world.me) return
    if (channel === 'changed') this.#world.host.changed(words.map(idOf))
    else if (word === 'schedules') this.#world.host.rescheduled?.()
    else if (word === 'drained' && this.#world.isIdle) return
    else this.#world.host.changed([])
  }

  /** Tells of what other processes did, while somebody wants to know. */
  watched(on: boolean): void {
    if (this.#looksAtFeed === on || this.#world.closing) return
    this.#looksAtFeed = on
    this.#listen()
  }

  /** Once the connection is there. */
  #listen(): void {
    if (!this.#isOpen) return
    const on = this.#looksAtFeed
    this.#net?.cancel()
    if (on) this.#castNet()
    const done = on ? this.#world.backend.listen('changed') : this.#world.backend.unlisten('changed')
    done.then(
      () => {
        if (on && !this.#world.closing) this.#world.host.changed('any')
      },
      (error) => {
        if (!this.#world.closing) this.#world.host.fault(error)
      },
    )
  }

  #castNet(): void {
    this.#net = after(
      systemClock,
      NET,
      () => {
        this.#world.host.changed('any')
        this.#castNet()
      },
      'background',
    )
  }

  close(): void {
    this.#net?.cancel()
  }
}
