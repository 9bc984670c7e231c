/** Task ids: 128 random bits as 22 characters of base64url. */
import { randomFillSync } from 'node:crypto'

const BYTES = 16
/** Ids drawn from the system at a time: asking for each alone costs 30 times as much. */
const POOL = 256

/** A source of ids. `random` (numbers in [0, 1)) replaces the system's randomness where ids must repeat. */
export function createIds(random: (() => number) | undefined): () => string {
  const pool = Buffer.alloc(BYTES * POOL)
  let next = pool.length
  return () => {
    if (next === pool.length) {
      if (random === undefined) randomFillSync(pool)
      else for (let i = 0; i < pool.length; i++) pool[i] = Math.floor(random() * 256)
      next = 0
    }
    next += BYTES
    return pool.toString('base64url', next - BYTES, next)
  }
}
