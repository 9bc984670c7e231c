/**
 * Text that goes into one line of a message: a name, a subject, the value of a header.
 *
 * A line break in one would begin a header of its own, half a character cannot be sent, and what looks like an encoded
 * word (RFC 2047) would be shown as something that nobody submitted.
 */
import type { InputIssue } from '../errors.js'

export type Path = readonly (string | number)[]

/** Notes what is wrong under a path, and further `steps`. */
export type Refuse = (message: string, ...steps: (string | number)[]) => undefined

export function refuser(path: Path, issues: InputIssue[]): Refuse {
  return (message, ...steps) => {
    issues.push({ message, path: [...path, ...steps] })
    return undefined
  }
}

/** What no line of a message may hold: control characters, line and paragraph separators, halves of a character. */
const FORBIDDEN = /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}]/u
/** Nearly every text: told at once, where the properties of Unicode take a while. */
const PRINTABLE_ASCII = /^[\x20-\x7e]*$/
const HALF = /\p{Cs}/u
/** Anything that some receiver reads as an encoded word; Python's allows more in one than RFC 2047 does. */
const ENCODED_WORD = /=\?.*\?=/

/** RFC 5322 2.1.1: a line has at most 998 characters, the name of its header among them. */
export const MAX_WORD = 900
const LONG_WORD = new RegExp(`[^ ]{${MAX_WORD + 1}}`)

/** Whether `text` may stand in one line of a message. */
export function isOneLine(text: string): boolean {
  return PRINTABLE_ASCII.test(text) || !FORBIDDEN.test(text)
}

export const oneLineExpected = 'must not hold a line break or another control character'

export function isPrintableAscii(text: string): boolean {
  return PRINTABLE_ASCII.test(text)
}

/** Whether every character is whole, so that UTF-8 can carry it. */
export function isWhole(text: string): boolean {
  return !HALF.test(text)
}

export const wholeExpected = 'must not hold half a character (a lone surrogate)'

export function hasEncodedWord(text: string): boolean {
  return ENCODED_WORD.test(text)
}

export const noEncodedWordExpected = 'must not look like an encoded word (=?…?=)'

/** Whether `text` holds a word that no line can hold. */
export function hasLongWord(text: string): boolean {
  return text.length > MAX_WORD && LONG_WORD.test(text)
}

/**
 * Whether a text arrives as it is. Folding and unfolding lose spaces, and a line of spaces alone ends the headers for
 * some receivers.
 */
export function isPlain(text: string): boolean {
  return isPrintableAscii(text) && !/^ | $| {2}|=\?/.test(text) && !hasLongWord(text)
}

/** A name as it can be told: folding keeps neither spaces at its ends nor several in a row. */
export function collapsed(name: string): string {
  return name.replace(/ {2,}/g, ' ').replace(/^ | $/g, '')
}

/** `text` as encoded words of RFC 2047, none longer than 75 characters. */
export function toEncodedWords(text: string): string {
  const words: string[] = []
  let word = ''
  for (const character of text) {
    if (Buffer.byteLength(word + character) > 45) {
      words.push(word)
      word = ''
    }
    word += character
  }
  words.push(word)
  return words.map((each) => `=?UTF-8?B?${Buffer.from(each).toString('base64')}?=`).join(' ')
}
