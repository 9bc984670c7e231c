/** The order of due tasks, against a sorted array. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Backlog, dueBefore, type Waiting } from '../../src/local/backlog.js'
import { Heap, type Slotted } from '../../src/local/heap.js'

class Item implements Waiting<Item> {
  slot = -1
  previous: Item | undefined = undefined
  next: Item | undefined = undefined
  priority: number
  readonly runAt: number
  readonly order: number

  constructor(priority: number, runAt: number, order: number) {
    this.priority = priority
    this.runAt = runAt
    this.order = order
  }
}

const bestFirst = (a: Item, b: Item): number => b.priority - a.priority || (dueBefore(a, b) ? -1 : 1)

describe('a backlog', () => {
  it('gives the best first, whatever is pushed, removed and re-prioritised in between', () => {
    const step = fc.oneof(
      {
        weight: 4,
        arbitrary: fc.record({
          do: fc.constant('push' as const),
          priority: fc.integer({ min: -2, max: 2 }),
          runAt: fc.nat(9),
        }),
      },
      fc.record({ do: fc.constant('take' as const) }),
      fc.record({ do: fc.constant('remove' as const), at: fc.nat(50) }),
      fc.record({ do: fc.constant('move' as const), at: fc.nat(50), priority: fc.integer({ min: -2, max: 2 }) }),
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const backlog = new Backlog<Item>()
        const expected: Item[] = []
        let order = 0
        for (const each of steps) {
          const at = 'at' in each ? each.at % Math.max(1, expected.length) : 0
          const item = expected[at]
          if (each.do === 'push') {
            const pushed = new Item(each.priority, each.runAt, ++order)
            backlog.push(pushed)
            expected.push(pushed)
          } else if (item !== undefined) {
            // As the store does it: the task has its new priority before it leaves its old place.
            const { priority } = item
            if (each.do === 'move') item.priority = each.priority
            backlog.remove(item, priority)
            expect([item.slot, item.previous, item.next]).toEqual([-1, undefined, undefined])
            if (each.do === 'move') backlog.push(item)
            else expected.splice(at, 1)
          }
          expected.sort(bestFirst)
          expect(backlog.first).toBe(expected[0])
        }
      }),
      { numRuns: 300 },
    )
  })
})

describe('a heap', () => {
  it('sorts, and lets go of any item', () => {
    fc.assert(
      fc.property(fc.array(fc.record({ key: fc.nat(20), keep: fc.boolean() })), (entries) => {
        const heap = new Heap<Slotted & { key: number }>((a, b) => a.key < b.key)
        const items = entries.map(({ key }) => ({ key, slot: -1 }))
        for (const item of items) heap.push(item)
        for (const [index, item] of items.entries()) if (entries[index]?.keep === false) heap.remove(item)
        const out: number[] = []
        for (let first = heap.first; first !== undefined; first = heap.first) {
          heap.remove(first)
          out.push(first.key)
        }
        expect(out).toEqual(
          entries
            .filter((entry) => entry.keep)
            .map((entry) => entry.key)
            .sort((a, b) => a - b),
        )
      }),
    )
  })
})
