/** What runs in workers, and inline for comparison: a worker loads it by its file. */

export function noop() {}

/** So much work, and not so much time: of that two threads on one core would get as much as on two. About 50 ms. */
export function burn() {
  let hash = 1
  for (let i = 0; i < 36_000_000; i++) hash = Math.imul(hash ^ i, 0x01000193)
  return hash
}
