/** What is shown to nobody. */
import type { TaskRecord } from 'background-runner'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { DEFAULT_REDACT, HIDDEN, hiddenTexts, redactor, withoutTexts } from '../../src/http/redact.js'
import { explanationOf } from '../../src/http/view.js'

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

describe('what is hidden in a value', () => {
  const redact = redactor(DEFAULT_REDACT)
  const told = (input: unknown, text: unknown): unknown => withoutTexts(text, hiddenTexts(input, redact(input)))

  it('is hidden where others quote it, in whole, in part, or escaped', () => {
    const long = 'k"e.y$'.repeat(40)
    const input = { password: 'a+b(c', deep: [{ token: { a: [long, 123_456] } }], kept: 'kept' }
    const quotes = [
      'got a+b(c',
      `got ${JSON.stringify(`${long.slice(0, 77)}...`)}`,
      JSON.stringify(long),
      long,
      '123456',
    ]
    expect(told(input, { quotes, kept: 'kept' })).toEqual({
      quotes: ['got [redacted]', 'got "[redacted]..."', '"[redacted]"', HIDDEN, HIDDEN],
      kept: 'kept',
    })
  })

  it('is hidden in the key of a limit', () => {
    const limit = { type: 'key', key: 'tenant hunter2', max: 1, by: ['hunter2'] } as const
    const explanation = { id: 'hunter2', name: 'a', state: 'queued', reasons: [{ type: 'paused' }, limit] } as const
    const task = { id: 'hunter2', input: { apiKey: 'hunter2' } } as unknown as TaskRecord
    expect(explanationOf(explanation, task, redact)).toEqual({
      ...explanation,
      reasons: [{ type: 'paused' }, { ...limit, key: 'tenant [redacted]' }],
    })
  })

  it('is not looked for where it is too short to tell anything', () => {
    expect(told({ pin: '1', otp: 22, token: null }, 'attempt 1 of 22')).toBe('attempt 1 of 22')
  })
})
