/**
 * The points in time of tasks, in rows of arrays that hold nothing but doubles. As fields each of them would be a number in a
 * box of its own, which the garbage collector copies and marks one by one: more objects than all else that a waiting task is.
 */

const COLUMNS = 4
/** A row lives as long as any of its block does: few enough that one task which is kept for long keeps little besides. */
const ROWS = 128

/** Copied for each block. Not of zeros from the start: those would be small integers, and the first time would turn them. */
const EMPTY: readonly number[] = new Array<number>(ROWS * COLUMNS).fill(0.5).fill(0)

export class Times {
  /** Of the row that was made last. */
  block: number[] = []
  #next = EMPTY.length

  /** The place in `block` of a new row of zeros. */
  row(): number {
    if (this.#next === EMPTY.length) {
      this.block = EMPTY.slice()
      this.#next = 0
    }
    const at = this.#next
    this.#next += COLUMNS
    return at
  }
}
