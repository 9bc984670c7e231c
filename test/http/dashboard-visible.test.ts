/** What strangers wrote, on the dashboard: nothing in it is unseen, and nothing is too long. */
import { describe, expect, it } from 'vitest'
import { CUT_AT, cut, pretty, visible, visibleText } from '../../src/http/dashboard/visible.js'

const marks = (text: string, oneLine?: boolean): string[] =>
  visible(text, oneLine)
    .filter(({ mark }) => mark)
    .map((piece) => piece.text)
const whole = (text: string, oneLine?: boolean): string =>
  visible(text, oneLine)
    .map((piece) => piece.text)
    .join('')

describe('characters that are not seen', () => {
  it('are told by their numbers', () => {
    expect(visible('invoice\u202Egnp.exe')).toEqual([
      { text: 'invoice', mark: false },
      { text: '⟨U+202E⟩', mark: true },
      { text: 'gnp.exe', mark: false },
    ])
  })

  it.each([
    ['a C0 control', '\u001B', '⟨U+001B⟩'],
    ['NUL', '\0', '⟨U+0000⟩'],
    ['a C1 control', '\u0085', '⟨U+0085⟩'],
    ['an isolate', '\u2066', '⟨U+2066⟩'],
    ['a mark of direction', '\u200F', '⟨U+200F⟩'],
    ['a zero width', '\u200B', '⟨U+200B⟩'],
    ['a byte order mark', '\uFEFF', '⟨U+FEFF⟩'],
    ['a line separator', '\u2028', '⟨U+2028⟩'],
    ['a tag', '\u{E0041}', '⟨U+E0041⟩'],
    ['half of a pair', '\uD800', '⟨U+D800⟩'],
    ['several', '\0\u0001', '⟨U+0000 U+0001⟩'],
  ])('%s is one', (_, text, mark) => expect(marks(`a${text}b`)).toEqual([mark]))

  it('are none of those that people write with', () => {
    for (const text of ['Grüße', '👩‍👩‍👧', 'می‌خواهم', 'a\tb\nc', '日本語'])
      expect(visible(text)).toEqual([{ text, mark: false }])
  })

  it('are no line ends, whichever system they come from', () => {
    expect(marks('a\r\nb\r\n')).toEqual([])
    expect(whole('a\r\nb')).toBe('a\nb')
    expect(marks('a\rb')).toEqual(['⟨U+000D⟩'])
  })

  it('are line ends where there is one line', () => {
    expect(whole('a\r\nb\nc\td', true)).toBe('a⏎b⏎c d')
  })

  it('are not an element each where there are many', () => {
    const pieces = visible('a\0'.repeat(100_000))
    expect(pieces.length).toBeLessThan(2000)
    expect(pieces.at(-1)?.text).toContain('⟨U+0000⟩')
    expect(pieces.some(({ text }) => text.includes('\0'))).toBe(false)
    expect(marks('\0'.repeat(100_000))[0]?.length).toBeLessThan(300)
  })
})

describe('a long text', () => {
  it('is cut, between characters', () => {
    expect(cut('short')).toBe('short')
    expect(cut('x'.repeat(1_000_000))).toHaveLength(CUT_AT)
    expect(cut('abc😀def', 4)).toBe('abc')
    expect(cut('abc😀def', 5)).toBe('abc😀')
    expect(visibleText(`${'x'.repeat(100)}\0`, 10)).toBe('x'.repeat(10))
  })
})

describe('JSON', () => {
  it('is indented, but not for ever', () => {
    let deep: unknown = 1
    for (let i = 0; i < 450; i++) deep = [deep]
    expect(pretty({ a: [1] })).toBe('{\n  "a": [\n    1\n  ]\n}')
    expect(pretty(deep)).toBe(JSON.stringify(deep))
    expect(pretty(undefined)).toBe('undefined')
  })
})
