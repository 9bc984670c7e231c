/**
 * Tasks in the order of their submission, and by their ids. An id that was made for its task has the number of its submission
 * in it (ids.ts): its place is known without hashing, which would be the dearest part of a task's life in memory. Those with ids
 * that the app has chosen are in a Map besides.
 *
 * Whatever is found is compared with the id that was asked for, so that a chosen id which looks like one that was made harms
 * nothing.
 */
import { distance, numberIn } from '../ids.js'
import { Sequence } from './sequence.js'

interface Submitted {
  readonly id: string
  /** Rises with each submission. */
  readonly order: number
}

export class ById<Item extends Submitted> {
  #all: Sequence<Item> = new Sequence()
  readonly #chosen: Map<string, Item> = new Map()
  /** The number that the id of order 0 would have. */
  #origin: number | undefined

  /** One of which neither id nor order is there. @param isNew its id was made for it */
  add(item: Item, isNew: boolean): void {
    this.#all.put(item.order, item)
    const number = isNew ? numberIn(item.id) : undefined
    if (number !== undefined) this.#origin ??= distance(item.order, number)
    // Of several runners that share a store only one has ids that tell the order.
    if (number === undefined || this.#orderOf(number) !== item.order) this.#chosen.set(item.id, item)
  }

  #orderOf(number: number): number {
    return distance(this.#origin ?? 0, number)
  }

  get(id: string): Item | undefined {
    const number = numberIn(id)
    if (this.#origin !== undefined && number !== undefined) {
      const item = this.#all.get(this.#orderOf(number))
      if (item?.id === id) return item
    }
    return this.#chosen.size === 0 ? undefined : this.#chosen.get(id)
  }

  delete(item: Item): void {
    this.#all.remove(item.order)
    if (this.#chosen.size > 0 && this.#chosen.get(item.id) === item) this.#chosen.delete(item.id)
  }

  /** Those that were submitted before, newest first. */
  before(order: number): Iterable<Item> {
    return this.#all.before(order)
  }

  clear(): void {
    this.#all = new Sequence()
    this.#chosen.clear()
  }

  /** How many blocks it holds. */
  get blocks(): number {
    return this.#all.blocks
  }
}
