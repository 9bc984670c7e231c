/**
 * Items by a number that, as a rule, rises with each that is added: added near the end, found and removed anywhere, read
 * backwards from any point.
 *
 * Blocks of a fixed length: a removal leaves a hole, and a block that is all holes goes. So nothing is ever compacted in
 * one go, whatever stands in it.
 */

const LENGTH = 512

interface Block<Item> {
  readonly items: (Item | undefined)[]
  /** Items that are still there. */
  count: number
}

export class Sequence<Item> {
  /** Number of the block → its items. */
  readonly #blocks: Map<number, Block<Item>> = new Map()
  #last: Block<Item> = { items: [], count: 0 }
  #lastNumber = -1

  /** False: another one is there. */
  put(at: number, item: Item): boolean {
    const number = Math.floor(at / LENGTH)
    const block = number === this.#lastNumber ? this.#last : this.#open(number)
    if (block.items[at % LENGTH] !== undefined) return false
    block.items[at % LENGTH] = item
    block.count++
    return true
  }

  #open(number: number): Block<Item> {
    if (this.#last.count === 0) this.#blocks.delete(this.#lastNumber)
    let block = this.#blocks.get(number)
    if (block === undefined) {
      block = { items: new Array<Item | undefined>(LENGTH).fill(undefined), count: 0 }
      this.#blocks.set(number, block)
    }
    this.#last = block
    this.#lastNumber = number
    return block
  }

  get(at: number): Item | undefined {
    return this.#blocks.get(Math.floor(at / LENGTH))?.items[at % LENGTH]
  }

  /** How many blocks it holds. */
  get blocks(): number {
    return this.#blocks.size
  }

  /** What is there. */
  remove(at: number): void {
    const number = Math.floor(at / LENGTH)
    const block = this.#blocks.get(number)
    if (block?.items[at % LENGTH] === undefined) return
    block.items[at % LENGTH] = undefined
    if (--block.count === 0 && number !== this.#lastNumber) this.#blocks.delete(number)
  }

  /** The items with a smaller number, greatest first. */
  *before(at: number): Generator<Item> {
    // In order they are as a rule, which makes it quick.
    for (const number of [...this.#blocks.keys()].sort((a, b) => b - a)) {
      const items = this.#blocks.get(number)?.items ?? []
      for (let slot = Math.min(items.length, at - number * LENGTH) - 1; slot >= 0; slot--) {
        const item = items[slot]
        if (item !== undefined) yield item
      }
    }
  }
}
