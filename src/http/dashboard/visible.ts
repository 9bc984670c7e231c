/**
 * What strangers wrote, made safe to look at: characters that are not seen, or that reorder what stands around them, are
 * told by their number, and a long text is cut. No DOM: what is here is tested in Node.
 */

/**
 * C0 but tab and line feed, DEL, C1, soft hyphen, what sets a direction, zero widths but the joiners that emoji and Persian
 * are written with, line and paragraph separators, tags, and halves of a surrogate pair.
 */
const UNSEEN =
  /[\u0000-\u0008\u000B-\u001F\u007F-\u009F\u00AD\u061C\u180E\u200B\u200E\u200F\u2028-\u202E\u2060-\u206F\uFEFF\uFFF9-\uFFFB\u{E0000}-\u{E007F}]+|[\uD800-\uDFFF]+/gu
/** In a text of one line those are unseen as well. */
const BREAK = /[\t\n]/

/** More than these are told within the text, not each in an element of its own. */
const MOST_MARKS = 500
/** A text is cut after so many characters. */
export const CUT_AT = 10_000

/** A piece of a text; `mark`: it stands for characters that are not seen. */
export interface Piece {
  readonly text: string
  readonly mark: boolean
}

/** Splits a text at the characters that are not seen. `oneLine`: line breaks and tabs are told as well. */
export function visible(text: string, oneLine = false): Piece[] {
  const pieces: Piece[] = []
  let from = 0
  let marks = 0
  const source = oneLine && BREAK.test(text) ? text.replace(/\r?\n/g, '⏎').replaceAll('\t', ' ') : text
  for (const match of source.matchAll(UNSEEN)) {
    // CRLF is how mail and Windows end a line: nothing that anybody needs to see.
    if (match[0] === '\r' && source[match.index + 1] === '\n') {
      pieces.push({ text: source.slice(from, match.index), mark: false })
      from = match.index + 1
      continue
    }
    if (++marks > MOST_MARKS) break
    if (match.index > from) pieces.push({ text: source.slice(from, match.index), mark: false })
    pieces.push({ text: named(match[0]), mark: true })
    from = match.index + match[0].length
  }
  if (from < source.length) {
    const rest = source.slice(from)
    pieces.push({ text: marks > MOST_MARKS ? rest.replace(UNSEEN, named) : rest, mark: false })
  }
  return pieces
}

/** The same as one string: for a title, a label, a dialog. */
export function visibleText(text: string, most: number = CUT_AT): string {
  return visible(cut(text, most), true)
    .map((piece) => piece.text)
    .join('')
}

function named(characters: string): string {
  const all = [...characters]
  const shown = all.slice(0, 20).map((each) => hex(each.codePointAt(0) as number))
  return `⟨${shown.join(' ')}${all.length > 20 ? ` +${all.length - 20}` : ''}⟩`
}

function hex(code: number): string {
  return `U+${code.toString(16).toUpperCase().padStart(4, '0')}`
}

/** The beginning of a text, never half of a surrogate pair. */
export function cut(text: string, most: number = CUT_AT): string {
  if (text.length <= most) return text
  const last = text.charCodeAt(most - 1)
  return text.slice(0, last >= 0xd800 && last <= 0xdbff ? most - 1 : most)
}

/** JSON for people. Deep nesting is not indented for ever: what lies below stands on one line. */
export function pretty(value: unknown): string {
  return JSON.stringify(value, null, depth(value) > 40 ? 0 : 2) ?? 'undefined'
}

function depth(value: unknown, left = 41): number {
  if (typeof value !== 'object' || value === null || left === 0) return 0
  let most = 0
  for (const each of Object.values(value)) most = Math.max(most, depth(each, left - 1))
  return most + 1
}
