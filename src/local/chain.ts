/** A doubly linked list through the items themselves: O(1) push and removal, and no node to allocate. */

/** An item is in one chain at a time. */
export interface Linked<Self> {
  previous: Self | undefined
  next: Self | undefined
}

export class Chain<Item extends Linked<Item>> {
  head: Item | undefined
  tail: Item | undefined

  push(item: Item): void {
    const { tail } = this
    item.previous = tail
    if (tail === undefined) this.head = item
    else tail.next = item
    this.tail = item
  }

  remove(item: Item): void {
    const { previous, next } = item
    if (previous === undefined) this.head = next
    else previous.next = next
    if (next === undefined) this.tail = previous
    else next.previous = previous
    // A link that is kept would keep a removed item's young neighbours alive.
    item.previous = undefined
    item.next = undefined
  }
}
