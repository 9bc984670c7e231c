/**
 * Tasks by their ids. An id that was made for its task has a number in it (ids.ts): its place is known without hashing, which
 * would be the dearest part of a task's life in memory. Ids that the app has chosen are in a Map.
 *
 * Whatever is found is compared with the id that was asked for, so that a chosen id which looks like one that was made harms
 * nothing.
 */
import { numberIn } from '../ids.js'
import { Sequence } from './sequence.js'

export class ById<Item extends { readonly id: string }> {
  #made: Sequence<Item> = new Sequence()
  readonly #chosen: Map<string, Item> = new Map()
  /** The number of the first id, of which the others are counted: so they are small integers. */
  #first: number | undefined

  /** @param isNew the id was made for it, and nothing is there under it */
  set(item: Item, isNew: boolean): void {
    if (isNew) this.#first ??= numberIn(item.id)
    const at = isNew ? this.#at(item.id) : undefined
    if (at === undefined || !this.#made.put(at, item)) this.#chosen.set(item.id, item)
  }

  get(id: string): Item | undefined {
    const at = this.#at(id)
    const item = at === undefined ? undefined : this.#made.get(at)
    if (item?.id === id) return item
    return this.#chosen.size === 0 ? undefined : this.#chosen.get(id)
  }

  delete(id: string): void {
    const at = this.#at(id)
    if (at !== undefined && this.#made.get(at)?.id === id) this.#made.remove(at)
    else this.#chosen.delete(id)
  }

  clear(): void {
    this.#made = new Sequence()
    this.#chosen.clear()
  }

  /** How many blocks it holds. */
  get blocks(): number {
    return this.#made.blocks
  }

  /** Where it is, if it was made. */
  #at(id: string): number | undefined {
    if (this.#first === undefined) return undefined
    const number = numberIn(id)
    return number === undefined || number < this.#first ? undefined : number - this.#first
  }
}
