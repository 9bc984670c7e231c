/** Tasks by their ids: the same as a Map, whatever the ids look like. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createIds, numberIn } from '../../src/ids.js'
import { ById } from '../../src/local/by-id.js'

describe('ids', () => {
  it('are 22 characters, each other than the one before, and their numbers rise by one', () => {
    const newId = createIds(undefined)
    const ids = Array.from({ length: 2_000 }, newId)
    expect(new Set(ids).size).toBe(2_000)
    for (const id of ids) expect(id).toMatch(/^[\w-]{22}$/)
    const numbers = ids.map((id) => numberIn(id) as number)
    for (const [at, number] of numbers.entries()) expect(number - (numbers[0] as number)).toBe(at)
    // What stands beside the number is all chance: no two are alike.
    expect(new Set(ids.map((id) => id.slice(8))).size).toBe(2_000)
  })

  it('begin anew where their numbers end', () => {
    const newId = createIds(() => 255.9 / 256)
    const [last = '', first = ''] = [newId(), newId()]
    expect([numberIn(last), numberIn(first)]).toEqual([2 ** 48 - 1, 0])
  })

  it('of another kind have no number', () => {
    for (const id of ['', 'a', 'x'.repeat(21), 'x'.repeat(23)]) expect(numberIn(id)).toBeUndefined()
  })
})

describe('ById', () => {
  it('finds what a Map would', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.record({
            what: fc.constantFrom('make', 'make', 'make', 'choose', 'like', 'get', 'delete', 'delete', 'skip'),
            at: fc.nat(3_000),
          }),
          { maxLength: 300 },
        ),
        fc.nat(255),
        (steps, start) => {
          const newId = createIds(() => start / 256)
          const byId = new ById<{ readonly id: string; readonly n: number }>()
          const model = new Map<string, { readonly id: string; readonly n: number }>()
          const known: string[] = []
          for (const [n, { what, at }] of steps.entries()) {
            const some = known[at % Math.max(1, known.length)] ?? 'nobody'
            if (what === 'make') {
              const item = { id: newId(), n }
              known.push(item.id)
              model.set(item.id, item)
              byId.set(item, true)
            } else if (what === 'choose' || what === 'like') {
              // One that has the number of another, and is none of it.
              const id = what === 'choose' ? `chosen-${at}` : `${some.slice(0, 8)}${'A'.repeat(14)}`.slice(0, 22)
              // The store asks first whether it is there.
              if (model.has(id)) continue
              const item = { id, n }
              known.push(id)
              model.set(id, item)
              byId.set(item, false)
            } else if (what === 'delete') {
              model.delete(some)
              byId.delete(some)
            } else if (what === 'skip') for (let skipped = 0; skipped < at; skipped++) newId()
            expect(byId.get(some)).toBe(model.get(some))
          }
          for (const id of known) expect(byId.get(id)).toBe(model.get(id))
          byId.clear()
          for (const id of known) expect(byId.get(id)).toBeUndefined()
        },
      ),
      { numRuns: 300 },
    )
  })

  it('keeps no block of which nothing is left', () => {
    const newId = createIds(undefined)
    const byId = new ById<{ readonly id: string }>()
    const items = Array.from({ length: 5_000 }, () => ({ id: newId() }))
    for (const item of items) byId.set(item, true)
    for (const { id } of items) byId.delete(id)
    expect(byId.blocks).toBeLessThanOrEqual(1)
  })
})
