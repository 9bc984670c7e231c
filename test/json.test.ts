/** The snapshot: what JSON holds goes through unchanged, everything else is refused with its path. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { copyJson, snapshot } from '../src/json.js'

const paths = (value: unknown): string[] => {
  const taken = snapshot(value)
  return 'issues' in taken ? taken.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`) : []
}

describe('a snapshot', () => {
  it('equals what JSON makes of any JSON value, and shares nothing with it', () => {
    fc.assert(
      fc.property(fc.jsonValue({ noUnicodeString: false }), (value) => {
        fc.pre(!JSON.stringify(value).includes('-0') && !hasMinusZero(value))
        const taken = snapshot(value)
        expect(taken).toEqual({ value: JSON.parse(JSON.stringify(value)) })
        if ('value' in taken && typeof value === 'object' && value !== null) expect(taken.value).not.toBe(value)
        expect(copyJson(value)).toEqual(value)
      }),
    )
  })

  it('takes or refuses a value exactly as JSON would keep or change it', () => {
    fc.assert(
      fc.property(
        fc.anything({
          withDate: true,
          withMap: true,
          withSet: true,
          withBigInt: true,
          withSparseArray: true,
          withNullPrototype: true,
        }),
        (value) => {
          const taken = snapshot(value)
          if (!('value' in taken)) return
          const text = JSON.stringify(taken.value)
          expect(JSON.parse(text)).toEqual(taken.value)
          expect(text).toBe(JSON.stringify(value))
        },
      ),
      { numRuns: 500 },
    )
  })

  it('names the path of everything that JSON cannot hold', () => {
    class Point {
      x = 1
    }
    const cycle: Record<string, unknown> = { a: 1 }
    cycle['self'] = cycle
    expect(paths({ at: new Date(0) })).toEqual(['at: an instance of Date is not JSON'])
    expect(paths({ a: [1, { b: Number.NaN }] })).toEqual(['a.1.b: NaN is not JSON'])
    expect(paths({ a: -0, b: 1n, c: () => 1, d: Symbol('s') })).toEqual([
      'a: -0 is not JSON',
      'b: a bigint is not JSON',
      'c: a function is not JSON',
      'd: a symbol is not JSON',
    ])
    expect(paths([undefined])).toEqual(['0: undefined is not JSON'])
    // biome-ignore lint/suspicious/noSparseArray: a hole is what is tested
    expect(paths([1, , 3])).toEqual(['1: a hole is not JSON'])
    expect(paths({ point: new Point() })).toEqual(['point: an instance of Point is not JSON'])
    expect(paths(cycle)).toEqual(['self: a cycle is not JSON'])
    expect(paths(Object.assign([1], { named: 2 }))).toEqual([': an array with named properties is not JSON'])
    expect(paths({ [Symbol('key')]: 1 })).toEqual([': a symbol key is not JSON'])
    expect(paths(new Map())).toEqual([': an instance of Map is not JSON'])
    expect(paths(Number.POSITIVE_INFINITY)).toEqual([': Infinity is not JSON'])
  })

  it('treats a property that is undefined as absent, and shared objects as copies', () => {
    const shared = { n: 1 }
    expect(snapshot({ a: undefined, b: shared, c: shared })).toEqual({ value: { b: { n: 1 }, c: { n: 1 } } })
  })

  it('keeps __proto__ as data', () => {
    const taken = snapshot(JSON.parse('{"__proto__":{"admin":true},"a":1}'))
    expect(JSON.stringify('value' in taken && taken.value)).toBe('{"__proto__":{"admin":true},"a":1}')
    expect((('value' in taken && taken.value) as { admin?: boolean }).admin).toBeUndefined()
    expect(JSON.stringify(copyJson('value' in taken ? taken.value : null))).toContain('__proto__')
  })

  it('tells of a getter that throws instead of throwing', () => {
    const hostile = {
      get secret(): string {
        throw new Error('no')
      },
    }
    expect(paths({ hostile })).toEqual(['hostile: cannot be read: no'])
  })

  it('refuses what is nested too deeply instead of overflowing', () => {
    let deep: unknown = 1
    for (let i = 0; i < 100_000; i++) deep = [deep]
    expect(paths(deep)[0]).toContain('nested more than 500 levels deep')
  })

  it('measures its limit in bytes of UTF-8 JSON', () => {
    expect('value' in snapshot('x'.repeat(98), 100)).toBe(true)
    expect(snapshot('x'.repeat(99), 100)).toEqual({
      issues: [{ message: 'is larger than 100 bytes of JSON', path: [] }],
    })
    expect('value' in snapshot('ü'.repeat(49), 100)).toBe(true)
    expect('issues' in snapshot('ü'.repeat(50), 100)).toBe(true)
    expect('issues' in snapshot('\u0000'.repeat(20), 100)).toBe(true)
    expect('value' in snapshot([-1.2345678901234568e-300], 26)).toBe(true)
    expect('issues' in snapshot([-1.2345678901234568e-300], 25)).toBe(true)
    fc.assert(
      fc.property(fc.jsonValue(), fc.integer({ min: 8, max: 200 }), (value, max) => {
        fc.pre(!hasMinusZero(value))
        expect('value' in snapshot(value, max)).toBe(Buffer.byteLength(JSON.stringify(value)) <= max)
      }),
    )
  })

  it('ends early on a value that unfolds without end', () => {
    let bomb: unknown = ['x'.repeat(100)]
    for (let i = 0; i < 60; i++) bomb = [bomb, bomb]
    expect(paths(bomb)).toContain(': is larger than 1048576 bytes of JSON')
  })
})

function hasMinusZero(value: unknown): boolean {
  if (typeof value === 'object' && value !== null) return Object.values(value).some(hasMinusZero)
  return Object.is(value, -0)
}
