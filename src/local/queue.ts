/** First in, first out, and never slower for being long. */
export class Queue<Item> {
  #items: Item[] = []
  /** What stands before it has been taken. */
  #head = 0

  get length(): number {
    return this.#items.length - this.#head
  }

  push(item: Item): void {
    this.#items.push(item)
  }

  /** @param place 0 is the first */
  at(place: number): Item | undefined {
    return this.#items[this.#head + place]
  }

  /** Takes the first `count`. */
  take(count: number): Item[] {
    const from = this.#head
    this.#head = Math.min(from + count, this.#items.length)
    const taken = this.#items.slice(from, this.#head)
    // Half of it is gone at least: what is copied was paid for by what was taken.
    if (this.#head * 2 >= this.#items.length) {
      this.#items = this.#items.slice(this.#head)
      this.#head = 0
    }
    return taken
  }
}
