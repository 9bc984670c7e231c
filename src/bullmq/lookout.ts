/**
 * Waits for new work, and passes on to others what this process has no slot for: of all who wait for a queue one gets its
 * marker, and nobody else hears of it.
 */
import { nextTurn } from '../clock.js'
import type { Admission } from '../local/store.js'
import type { World } from './world.js'

export class Lookout {
  readonly #world: World
  /** As it was given with the first claim. */
  admission: Admission | undefined
  /** The queues whose new work is being waited for, and what ends that. */
  #waiting: { readonly queues: ReadonlySet<string>; readonly end: AbortController } | undefined
  /** The marker that this process has got, and has not yet claimed anything for. */
  #marker: string | undefined

  constructor(world: World) {
    this.#world = world
  }

  get isWaiting(): boolean {
    return this.#waiting !== undefined
  }

  /** The marker that is claimed for now. */
  takeMarker(): string | undefined {
    const marker = this.#marker
    this.#marker = undefined
    return marker
  }

  /** A claim is to follow within two turns, or somebody else gets the marker. */
  expectClaim(): void {
    if (this.#marker === undefined) return
    nextTurn(() =>
      nextTurn(() => {
        if (this.#marker !== undefined) this.passOn(this.#marker)
      }),
    )
  }

  /**
   * Waits for new work: for the marker that BullMQ sets where there is any, and that one of all who wait gets. Of names of
   * which no other attempt may start here it is left to others.
   */
  lookOut(): void {
    if (this.#world.closing || !this.#world.works) return
    const queues = this.#openQueues()
    if (this.#waiting !== undefined) {
      const { queues: awaited, end } = this.#waiting
      if (queues.some((queue) => !awaited.has(queue))) end.abort()
      return
    }
    if (queues.length === 0) return
    const end = new AbortController()
    this.#waiting = { queues: new Set(queues), end }
    this.#world.backend.waitForWork(queues, end.signal).then(
      (queue) => {
        this.#waiting = undefined
        if (this.#world.closing) return
        if (queue !== undefined && !this.#openQueues().includes(queue)) {
          this.passOn(queue)
          return this.lookOut()
        }
        this.#marker = queue
        this.#world.host.changed([])
        if (queue === undefined) this.lookOut()
      },
      (error) => {
        this.#waiting = undefined
        if (!this.#world.closing) this.#world.host.fault(error)
      },
    )
  }

  #openQueues(): string[] {
    return (this.admission?.open ?? this.#world.names).map((name) => this.#world.queue(name))
  }

  /** There is work, and no slot for it here: somebody else may have one. */
  passOn(marker: string): void {
    if (this.#world.closing) return
    if (this.#marker === marker) this.#marker = undefined
    this.#world.guard(() => this.#world.backend.passOn(marker))
  }
}
