/**
 * Task ids: 22 characters of base64url, a number that rises with each and 80 random bits.
 *
 * The number begins at random and tells nobody how many there were. Ids of one process lie side by side: what keeps them in
 * order (an index of a database) has its newest ones in one place, and what keeps them in memory finds them by the number,
 * without hashing.
 */
import { randomFillSync } from 'node:crypto'

const BYTES = 16
/** Of those the number, which is first. */
const NUMBER = 6
const CHARACTERS = Math.ceil((BYTES * 8) / 6)
/** The first characters are the number and nothing else: 6 bytes are 8 of them. */
const DIGITS = (NUMBER * 8) / 6
const MOST = 2 ** (NUMBER * 8)
/** Ids drawn from the system at a time: asking for each alone costs 30 times as much. */
const POOL = 256

/** A source of ids. `random` (numbers in [0, 1)) replaces the system's randomness where ids must repeat. */
export function createIds(random: (() => number) | undefined): () => string {
  const pool = Buffer.alloc(BYTES * POOL)
  const fill = (): void => {
    if (random === undefined) randomFillSync(pool)
    else for (let i = 0; i < pool.length; i++) pool[i] = Math.floor(random() * 256)
  }
  fill()
  let number = pool.readUIntBE(0, NUMBER)
  let next = 0
  return () => {
    if (next === pool.length) {
      fill()
      next = 0
    }
    pool.writeUIntBE(number, next, NUMBER)
    number = (number + 1) % MOST
    next += BYTES
    return pool.toString('base64url', next - BYTES, next)
  }
}

/** What a character stands for; 64 for what is none of base64url. */
const VALUES = new Uint8Array(128).fill(64)
for (const [value, character] of [...'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'].entries()) {
  VALUES[character.charCodeAt(0)] = value
}

/** The number in an id that may have been made here; undefined for any other. */
export function numberIn(id: string): number | undefined {
  if (id.length !== CHARACTERS) return undefined
  // In two halves, each of which is a small integer.
  let high = 0
  let low = 0
  for (let at = 0; at < DIGITS / 2; at++) {
    high = high * 64 + (VALUES[id.charCodeAt(at)] ?? 64)
    low = low * 64 + (VALUES[id.charCodeAt(at + DIGITS / 2)] ?? 64)
  }
  return high * 64 ** (DIGITS / 2) + low
}
