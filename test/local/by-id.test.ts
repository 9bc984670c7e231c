/** Tasks by their ids: the same as a Map, whatever the ids look like. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createIds, distance, numberIn } from '../../src/ids.js'
import { ById } from '../../src/local/by-id.js'

describe('ids', () => {
  it('are 22 characters, each other than the one before, and their numbers rise by one', () => {
    const newId = createIds(undefined)
    const ids = Array.from({ length: 2_000 }, (_, at) => newId(at))
    expect(new Set(ids).size).toBe(2_000)
    for (const id of ids) expect(id).toMatch(/^[\w-]{22}$/)
    const numbers = ids.map((id) => numberIn(id) as number)
    for (const [at, number] of numbers.entries()) expect(number - (numbers[0] as number)).toBe(at)
    // What stands beside the number is all chance: no two are alike.
    expect(new Set(ids.map((id) => id.slice(8))).size).toBe(2_000)
  })

  it('begin anew where their numbers end', () => {
    const newId = createIds(() => 255.9 / 256)
    const [last, first] = [numberIn(newId(0)), numberIn(newId(1))]
    expect([last, first]).toEqual([2 ** 48 - 1, 0])
    expect(distance(last ?? 0, first ?? 0)).toBe(1)
  })

  it('of another kind have no number', () => {
    for (const id of ['', 'a', 'x'.repeat(21), 'x'.repeat(23)]) expect(numberIn(id)).toBeUndefined()
  })
})

describe('ById', () => {
  interface Item {
    readonly id: string
    readonly order: number
  }

  it('finds what a Map would, and tells all in their order', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.record({
            what: fc.constantFrom(
              'make',
              'make',
              'make',
              'choose',
              'like',
              'get',
              'delete',
              'delete',
              'skip',
              'late',
              'arrive',
            ),
            at: fc.nat(3_000),
          }),
          { maxLength: 300 },
        ),
        fc.nat(255),
        (steps, start) => {
          const newId = createIds(() => start / 256)
          const byId = new ById<Item>()
          const model = new Map<string, Item>()
          const known: string[] = []
          let order = 0
          const late: Item[] = []
          for (const { what, at } of steps) {
            const some = known[at % Math.max(1, known.length)] ?? 'nobody'
            if (what === 'make') {
              const item = { id: newId(++order), order }
              known.push(item.id)
              model.set(item.id, item)
              byId.add(item, true)
            } else if (what === 'choose' || what === 'like') {
              // One that has the number of another, and is none of it.
              const id = what === 'choose' ? `chosen-${at}` : `${some.slice(0, 8)}${'A'.repeat(14)}`.slice(0, 22)
              // The store asks first whether it is there.
              if (model.has(id)) continue
              const item = { id, order: ++order }
              known.push(id)
              model.set(id, item)
              byId.add(item, false)
            } else if (what === 'delete') {
              const item = model.get(some)
              model.delete(some)
              if (item !== undefined) byId.delete(item)
            } else if (what === 'skip')
              order += at // what was refused
            else if (what === 'late') late.push({ id: newId(++order), order })
            else if (what === 'arrive') {
              // Submitted before others, and stored after them.
              for (const item of late.splice(0)) {
                known.push(item.id)
                model.set(item.id, item)
                byId.add(item, true)
              }
            }
            expect(byId.get(some)).toBe(model.get(some))
          }
          for (const id of known) expect(byId.get(id)).toBe(model.get(id))
          const newest = [...model.values()].sort((a, b) => b.order - a.order)
          expect([...byId.before(Number.POSITIVE_INFINITY)]).toEqual(newest)
          byId.clear()
          for (const id of known) expect(byId.get(id)).toBeUndefined()
        },
      ),
      { numRuns: 300 },
    )
  })

  it('keeps no block of which nothing is left', () => {
    const newId = createIds(undefined)
    const byId = new ById<Item>()
    const items = Array.from({ length: 5_000 }, (_, order) => ({ id: newId(order), order }))
    for (const item of items) byId.add(item, true)
    for (const item of items) byId.delete(item)
    expect(byId.blocks).toBeLessThanOrEqual(1)
  })
})
