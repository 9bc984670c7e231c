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

export class Sequence<Item extends Numbered> {
  /** Number of the block → its items; a Map keeps the order in which blocks were begun. */
  readonly #blocks: Map<number, { readonly items: (Item | undefined)[]; count: number }> = new Map()

  push(item: Item): void {
    const number = Math.floor(item.order / LENGTH)
    let block = this.#blocks.get(number)
    if (block === undefined) {
      block = { items: new Array<Item | undefined>(LENGTH).fill(undefined), count: 0 }
      this.#blocks.set(number, block)
    }
    block.items[item.order % LENGTH] = item
    block.count++
  }

  remove(item: Item): void {
    const number = Math.floor(item.order / LENGTH)
    const block = this.#blocks.get(number)
    if (block === undefined) return
    block.items[item.order % LENGTH] = undefined
    if (--block.count === 0) this.#blocks.delete(number)
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
