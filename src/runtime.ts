/**
 * What an attempt runs on: its runner's clock and grace, for task types of this library whose own timers (a rate limit, a
 * wait for a last reply) must keep the time of a test's clock too.
 *
 * It hangs on the handler's context under a symbol of the global registry, since a context may come from the ESM copy of
 * this module and be read by the CommonJS one. It is no part of what users are promised.
 */
import { type Clock, systemClock } from './clock.js'

export const RUNTIME: unique symbol = Symbol.for('background-runner.runtime')

export interface Runtime {
  readonly clock: Clock
  /** ms between asking a handler to stop and calling it unresponsive. */
  readonly cancelGrace: number
  /** Whether tasks of this name are held now, by whichever process that shares the engine. */
  readonly isHeld: (name: string) => Promise<boolean>
}

const OUTSIDE: Runtime = { clock: systemClock, cancelGrace: 5_000, isHeld: async () => false }

/** The runtime behind a handler's context; where it is somebody else's (a unit test's own), the system clock and 5 s. */
export function runtimeOf(ctx: object): Runtime {
  return (ctx as { readonly [RUNTIME]?: Runtime })[RUNTIME] ?? OUTSIDE
}
