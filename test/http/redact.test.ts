/** What is shown to nobody. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { DEFAULT_REDACT, HIDDEN, redactor } from '../../src/http/redact.js'

const hide = (pattern: string, value: unknown): unknown => redactor([pattern])(value)

describe('redact', () => {
  it('hides a name at any depth, however it is spelled, in lists too', () => {
    const redact = redactor(DEFAULT_REDACT)
    expect(
      redact({ password: 1, a: { PASS_WORD: 'x', 'api-key': { b: 1 }, list: [{ Set_Cookie: 'x', kept: 'y' }] } }),
    ).toEqual({
      password: HIDDEN,
      a: { PASS_WORD: HIDDEN, 'api-key': HIDDEN, list: [{ Set_Cookie: HIDDEN, kept: 'y' }] },
    })
  })

  it('follows a path from the record on, and over lists', () => {
    const value = { input: { cards: [{ number: 1, cvc: 2 }], number: 3 }, number: 4 }
    expect(hide('input.cards.number', value)).toEqual({
      input: { cards: [{ number: HIDDEN, cvc: 2 }], number: 3 },
      number: 4,
    })
    expect(hide('input.*.number', value)).toEqual({
      input: { cards: [{ number: HIDDEN, cvc: 2 }], number: 3 },
      number: 4,
    })
    expect(hide('*.number', value)).toEqual({
      input: { cards: [{ number: HIDDEN, cvc: 2 }], number: HIDDEN },
      number: HIDDEN,
    })
    expect(hide('number', value)).toEqual({ input: value.input, number: HIDDEN })
    expect(hide('*.cards.number', { a: { b: value.input } })).toEqual({
      a: { b: { cards: [{ number: HIDDEN, cvc: 2 }], number: 3 } },
    })
  })

  it('leaves what it was given as it was, and copies only what it hides something in', () => {
    const value = { input: { secret: 'x' }, output: { big: [1, 2, 3] } }
    const shown = redactor(DEFAULT_REDACT)(value)
    expect(value.input.secret).toBe('x')
    expect(shown.output).toBe(value.output)
    expect(redactor(DEFAULT_REDACT)(value.output)).toBe(value.output)
  })

  it('knows keys that are no ordinary ones', () => {
    const value = JSON.parse('{"input":{"__proto__":{"token":"x"},"constructor":{"token":"x"}}}')
    const shown = JSON.stringify(redactor(DEFAULT_REDACT)(value))
    expect(shown).toBe('{"input":{"__proto__":{"token":"[redacted]"},"constructor":{"token":"[redacted]"}}}')
  })

  it('never lets through what stands below a hidden name, and changes nothing else', () => {
    const redact = redactor(['*.hidden', 'a.b.c'])
    const key = fc.constantFrom('a', 'b', 'c', 'hidden', 'Hid-den', 'x')
    const { tree } = fc.letrec((tie) => ({
      tree: fc.oneof(
        { depthSize: 'medium' },
        fc.integer(),
        fc.array(tie('tree'), { maxLength: 3 }),
        fc.dictionary(key, tie('tree'), { maxKeys: 4 }),
      ),
    }))
    /** As it is said in words: below such a name, or at such a place when lists are left out. */
    const model = (value: unknown, path: readonly string[]): unknown => {
      const last = path.at(-1)?.toLowerCase().replace('-', '')
      if (last === 'hidden' || path.join('.') === 'a.b.c') return HIDDEN
      if (Array.isArray(value)) return value.map((each) => model(each, path))
      if (typeof value !== 'object' || value === null) return value
      return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, model(each, [...path, name])]))
    }
    fc.assert(
      fc.property(tree, (value) => {
        expect(redact(value)).toEqual(model(value, []))
      }),
      { numRuns: 2_000 },
    )
  })
})
