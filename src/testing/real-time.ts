/**
 * Real time: the one file of this folder that asks for it. A harness with virtual time still lives on the real event
 * loop: it has to let it turn, and to give up on what never comes.
 *
 * Taken from Node as this file is loaded, not from the globals: a test that fakes its timers does not stop the harness.
 */
import { performance } from 'node:perf_hooks'
import timers from 'node:timers'

const { setImmediate, setTimeout, clearTimeout } = timers
const now: () => number = performance.now.bind(performance)

/** Begins to count; gives what tells how many ms have passed. */
export function stopwatch(): () => number {
  const began = now()
  return () => now() - began
}

/** Resolves on the next turn of the event loop. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

/** Resolves after `ms`. */
export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

/** Holds the event loop for `ms`. */
export function occupy(ms: number): void {
  for (const held = stopwatch(); held() < ms; );
}

/** Calls back after `ms`, unless what it gives is called before. */
export function later(ms: number, callback: () => void): () => void {
  const timer = setTimeout(callback, ms)
  return () => clearTimeout(timer)
}

/** ms. An engine that drains gives a turn up after 5: what a longer turn has put off is done in the next ones. */
const LONG_TURN = 3

/**
 * Some turns of the event loop: microtasks, and whatever was put off to the next turn, have run. Only a row of short
 * turns counts: on a busy machine any turn may be long enough for a drain to pause.
 */
export async function turns(count = 4): Promise<void> {
  for (let short = 0; short < count; ) {
    const turn = stopwatch()
    await nextTurn()
    short = turn() < LONG_TURN ? short + 1 : 0
  }
}
