/**
 * Task ids: 22 characters of base64url, a number that rises with each (8 of them, 48 bits) and 14 at random (84 bits).
 *
 * The number begins at random and tells nobody how many there were. Ids of one process lie side by side: what keeps them in
 * order (an index of a database) has its newest ones in one place, and what keeps them in memory finds them by the number,
 * without hashing.
 */
import { randomFillSync } from 'node:crypto'

const CHARACTERS = 22
/** The first of them are the number, in two halves, each of which is a small integer. */
const DIGITS = 8
const HALF = 2 ** 24
const NUMBERS = HALF * HALF
const RANDOM = CHARACTERS - DIGITS
/** Ids drawn from the system at a time: asking for each alone costs 80 times as much. */
const POOL = 512

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
const CODES = Uint8Array.from(ALPHABET, (character) => character.charCodeAt(0))
/** What a character stands for; 64 for what is none of base64url. */
const VALUES = new Uint8Array(128).fill(64)
for (const [value, code] of CODES.entries()) VALUES[code] = value

/** The character for the lowest 6 bits. */
function code(bits: number | undefined = 0): number {
  return CODES[bits & 63] as number
}

/**
 * A source of ids: the one for a submission, of which each has a number greater than the one before. `random` (numbers in
 * [0, 1)) replaces the system's randomness where ids must repeat.
 */
export function createIds(random: (() => number) | undefined): (submission: number) => string {
  const pool = new Uint8Array(RANDOM * POOL)
  const fill = (): void => {
    if (random === undefined) randomFillSync(pool)
    else for (let i = 0; i < pool.length; i++) pool[i] = Math.floor(random() * 256)
  }
  fill()
  const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0] = pool
  const start = ((a << 16) | (b << 8) | c) * HALF + ((d << 16) | (e << 8) | f)
  let next = RANDOM // what the number was made of is in no id
  return (submission) => {
    if (next === pool.length) {
      fill()
      next = 0
    }
    const at = next
    next += RANDOM
    const number = (start + submission) % NUMBERS
    const high = Math.floor(number / HALF)
    const low = number % HALF
    // In one call: a text that grows is made of parts, which whoever compares it has to join.
    return String.fromCharCode(
      code(high >> 18),
      code(high >> 12),
      code(high >> 6),
      code(high),
      code(low >> 18),
      code(low >> 12),
      code(low >> 6),
      code(low),
      code(pool[at]),
      code(pool[at + 1]),
      code(pool[at + 2]),
      code(pool[at + 3]),
      code(pool[at + 4]),
      code(pool[at + 5]),
      code(pool[at + 6]),
      code(pool[at + 7]),
      code(pool[at + 8]),
      code(pool[at + 9]),
      code(pool[at + 10]),
      code(pool[at + 11]),
      code(pool[at + 12]),
      code(pool[at + 13]),
    )
  }
}

/** The number in an id that may have been made here; undefined for any other. */
export function numberIn(id: string): number | undefined {
  if (id.length !== CHARACTERS) return undefined
  let high = 0
  let low = 0
  for (let at = 0; at < DIGITS / 2; at++) {
    high = high * 64 + (VALUES[id.charCodeAt(at)] ?? 64)
    low = low * 64 + (VALUES[id.charCodeAt(at + DIGITS / 2)] ?? 64)
  }
  return high * HALF + low
}

/** How far the number `to` is from `from`, upwards: after the last comes 0. */
export function distance(from: number, to: number): number {
  return (to - from + NUMBERS) % NUMBERS
}
