/**
 * Tasks by their ids. An id that was made for its task has a number in it (ids.ts): its place is known without hashing, which
 * would be the dearest part of a task's life in memory. Ids that the app has chosen are in a Map.
 *
 * Places are in blocks of a fixed length; a block of which nothing is left goes. Whatever is found is compared with the id
 * that was asked for, so that a chosen id which looks like one that was made harms nothing.
 */
import { numberIn } from '../ids.js'

const LENGTH = 512
/** Blocks beyond the first one: their numbers are small integers. */
const MOST = 2 ** 30

interface Block<Item> {
  readonly items: (Item | undefined)[]
  /** Items that are there. */
  count: number
}

export class ById<Item extends { readonly id: string }> {
  readonly #blocks: Map<number, Block<Item>> = new Map()
  readonly #chosen: Map<string, Item> = new Map()
  /** The number of the first id, of which the others are counted. */
  #first: number | undefined

  /** @param isNew the id was made for it, and nothing is there under it */
  set(item: Item, isNew: boolean): void {
    if (!isNew || !this.#place(item)) this.#chosen.set(item.id, item)
  }

  #place(item: Item): boolean {
    const number = numberIn(item.id)
    if (number === undefined) return false
    this.#first ??= number
    const at = number - this.#first
    if (at < 0 || at >= LENGTH * MOST) return false
    const key = Math.floor(at / LENGTH)
    let block = this.#blocks.get(key)
    if (block === undefined) {
      block = { items: new Array<Item | undefined>(LENGTH).fill(undefined), count: 0 }
      this.#blocks.set(key, block)
    }
    const slot = at % LENGTH
    if (block.items[slot] !== undefined) return false
    block.items[slot] = item
    block.count++
    return true
  }

  get(id: string): Item | undefined {
    const at = this.#at(id)
    if (at !== undefined) {
      const item = this.#blocks.get(Math.floor(at / LENGTH))?.items[at % LENGTH]
      if (item !== undefined && item.id === id) return item
    }
    return this.#chosen.size === 0 ? undefined : this.#chosen.get(id)
  }

  delete(id: string): void {
    const at = this.#at(id)
    if (at !== undefined) {
      const key = Math.floor(at / LENGTH)
      const slot = at % LENGTH
      const block = this.#blocks.get(key)
      if (block?.items[slot]?.id === id) {
        block.items[slot] = undefined
        if (--block.count === 0) this.#blocks.delete(key)
        return
      }
    }
    this.#chosen.delete(id)
  }

  /** How many blocks it holds. */
  get blocks(): number {
    return this.#blocks.size
  }

  clear(): void {
    this.#blocks.clear()
    this.#chosen.clear()
  }

  /** Where it would be, if it was made. */
  #at(id: string): number | undefined {
    if (this.#first === undefined) return undefined
    const number = numberIn(id)
    if (number === undefined || number < this.#first) return undefined
    return number - this.#first
  }
}
