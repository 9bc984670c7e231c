/** A clock that runs so many times faster: what is held for seconds is held for ms, on a real machine with real sockets. */
import type { Clock } from 'background-runner'

/** @param since epoch ms from which it runs ahead; processes that share tasks need the same */
export function fastClock(factor: number, since: number = Date.now()): Clock {
  return {
    now: () => since + (Date.now() - since) * factor,
    monotonic: () => performance.now() * factor,
    setTimeout: (callback, ms) => setTimeout(callback, ms / factor),
    clearTimeout: (handle) => clearTimeout(handle as NodeJS.Timeout),
  }
}
