/**
 * A binary heap whose items know their place in it, so that any of them can be removed in O(log n).
 * An item is in one heap at a time: `slot` is its index there, -1 outside.
 */
export interface Slotted {
  slot: number
}

export class Heap<Item extends Slotted> {
  readonly #items: Item[] = []
  readonly #before: (a: Item, b: Item) => boolean

  /** @param before whether `a` comes out before `b` */
  constructor(before: (a: Item, b: Item) => boolean) {
    this.#before = before
  }

  get first(): Item | undefined {
    return this.#items[0]
  }

  /** In no order. */
  [Symbol.iterator](): Iterator<Item> {
    return this.#items.values()
  }

  push(item: Item): void {
    this.#items.push(item)
    this.#rise(item, this.#items.length - 1)
  }

  remove(item: Item): void {
    const slot = item.slot
    const last = this.#items.pop() as Item
    item.slot = -1
    if (last === item) return
    this.#rise(last, slot)
    if (last.slot === slot) this.#sink(last, slot)
  }

  #rise(item: Item, from: number): void {
    let slot = from
    while (slot > 0) {
      const above = (slot - 1) >> 1
      const parent = this.#items[above] as Item
      if (!this.#before(item, parent)) break
      this.#put(parent, slot)
      slot = above
    }
    this.#put(item, slot)
  }

  #sink(item: Item, from: number): void {
    const { length } = this.#items
    let slot = from
    for (;;) {
      let below = 2 * slot + 1
      if (below >= length) break
      if (below + 1 < length && this.#before(this.#items[below + 1] as Item, this.#items[below] as Item)) below++
      const child = this.#items[below] as Item
      if (!this.#before(child, item)) break
      this.#put(child, slot)
      slot = below
    }
    this.#put(item, slot)
  }

  #put(item: Item, slot: number): void {
    this.#items[slot] = item
    item.slot = slot
  }
}
