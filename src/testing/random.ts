/**
 * Chance that repeats: the same seed gives the same numbers.
 *
 * mulberry32 by Tommy Ettinger, seeded by a 32-bit FNV-1a hash; both are in the public domain
 * (https://gist.github.com/tommyettinger/46a874533244883189143505d203312c, http://www.isthe.com/chongo/tech/comp/fnv/).
 */

/** A source of numbers in [0, 1). */
export function seeded(seed: number | string): () => number {
  let state = hash(String(seed))
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

function hash(text: string): number {
  let value = 0x811c9dc5
  for (const byte of Buffer.from(text)) value = Math.imul(value ^ byte, 0x01000193)
  return value
}
