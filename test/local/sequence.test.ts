/** Items by submission, against a plain array. */
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { Sequence } from '../../src/local/sequence.js'

it('reads backwards from any point what was pushed and not removed', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 3_000 }),
      fc.array(fc.nat(3_000)),
      fc.nat(3_200),
      (length, removed, before) => {
        const sequence = new Sequence<{ readonly order: number }>()
        const items = Array.from({ length }, (_, index) => ({ order: index + 1 }))
        for (const item of items) sequence.put(item.order, item)
        for (const index of new Set(removed)) if (items[index] !== undefined) sequence.remove(index + 1)
        const kept = items.filter((item, index) => !removed.includes(index) && item.order < before)
        expect([...sequence.before(before)]).toEqual(kept.reverse())
      },
    ),
    { numRuns: 50 },
  )
})

it('keeps nothing of what is gone, however long it lives', () => {
  const sequence = new Sequence<{ readonly order: number }>()
  for (let order = 1; order <= 100_000; order++) {
    const item = { order }
    sequence.put(order, item)
    expect(sequence.get(order)).toBe(item)
    expect(sequence.put(order, item)).toBe(false)
    sequence.remove(order)
    sequence.remove(order)
  }
  expect([...sequence.before(Number.POSITIVE_INFINITY)]).toEqual([])
  expect(sequence.blocks).toBeLessThanOrEqual(1)
})
