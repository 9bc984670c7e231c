/**
 * Real time: the one file of this folder that asks for it. What is outside of the core cannot reach the core's clock, and
 * whatever here waits or counts is given a `Clock`, so that a test can hand in its own.
 */
import type { Clock } from '../index.js'

export const realTime: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  setTimeout: (callback, ms) => setTimeout(callback, ms),
  clearTimeout: (handle) => clearTimeout(handle as NodeJS.Timeout),
}

/** Calls back once after `ms`, and holds no process open. Returns what cancels it. */
export function later(clock: Clock, ms: number, callback: () => void): () => void {
  const handle = clock.setTimeout(callback, ms)
  ;(handle as { unref?: () => void } | undefined)?.unref?.()
  return () => clock.clearTimeout(handle)
}
