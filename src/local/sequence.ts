/**
 * Items by a number that rises with each that is added: added at the end, removed anywhere, read backwards from any point.
 *
 * Blocks of a fixed length: a removal leaves a hole, and a block that is all holes goes. So nothing is ever compacted in
 * one go, whatever stands in it.
 */

/** Rises with each item that is added. */
interface Numbered {
  readonly order: number
}

const LENGTH = 512

interface Block<Item> {
  readonly items: (Item | undefined)[]
  /** Items that are still there. */
  count: number
}

export class Sequence<Item extends Numbered> {
  /** Number of the block → its items; a Map keeps the order in which blocks were begun. */
  readonly #blocks: Map<number, Block<Item>> = new Map()
  #last: Block<Item> = { items: [], count: 0 }
  #lastNumber = -1

  push(item: Item): void {
    const number = Math.floor(item.order / LENGTH)
    if (number !== this.#lastNumber) {
      if (this.#last.count === 0) this.#blocks.delete(this.#lastNumber)
      this.#last = { items: new Array<Item | undefined>(LENGTH).fill(undefined), count: 0 }
      this.#lastNumber = number
      this.#blocks.set(number, this.#last)
    }
    this.#last.items[item.order % LENGTH] = item
    this.#last.count++
  }

  /** How many blocks it holds. */
  get blocks(): number {
    return this.#blocks.size
  }

  remove(item: Item): void {
    const number = Math.floor(item.order / LENGTH)
    const block = this.#blocks.get(number)
    if (block === undefined) return
    block.items[item.order % LENGTH] = undefined
    if (--block.count === 0 && number !== this.#lastNumber) this.#blocks.delete(number)
  }

  /** The items with a smaller number, greatest first. */
  *before(order: number): Generator<Item> {
    const numbers = [...this.#blocks.keys()].reverse()
    for (const number of numbers) {
      const { items } = this.#blocks.get(number) ?? NONE
      for (let slot = items.length - 1; slot >= 0; slot--) {
        const item = items[slot]
        if (item !== undefined && item.order < order) yield item
      }
    }
  }
}

const NONE = { items: [] }
