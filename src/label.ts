/** Texts that every storage engine keeps as they are: names, keys, tags. */

/** Control characters and lone surrogates: some engines cut at the former and fold the latter. */
const UNSTORABLE = /\p{Cc}|\p{Cs}/u

export function isLabel(value: unknown): value is string {
  return typeof value === 'string' && value.length >= 1 && value.length <= 256 && !UNSTORABLE.test(value)
}

export const labelExpected = 'must have 1 to 256 characters, no control character and no lone surrogate'
