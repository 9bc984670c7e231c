/** Cron patterns: the one file that knows croner, an optional peer, which is loaded when the first pattern is read. */
import { MissingDependencyError } from './errors.js'

/** When a pattern comes next, strictly after a time; undefined: never. Times are epoch ms. */
type NextOf = (time: number) => number | undefined

/** Reads a pattern. Throws where it is none. */
export type ReadCron = (pattern: string, timezone: string) => NextOf

/** @throws {MissingDependencyError} croner is not installed */
export async function loadCron(): Promise<ReadCron> {
  const { Cron } = await load()
  return (pattern, timezone) => {
    // As cron does it: a time of day that a change of the clocks skips comes once the gap is over, one that it repeats comes
    // once; a pattern with a wildcard or a step in its time goes on at its pace.
    const cron = new Cron(pattern, { timezone, paused: true, mode: '5-or-6-parts', fixedTimeRule: 'no-wildcard' })
    if (cron.getOnce() !== null) throw new TypeError('it is a date')
    return (time) => cron.nextRun(new Date(time))?.getTime()
  }
}

async function load(): Promise<typeof import('croner')> {
  try {
    return await import('croner')
  } catch (cause) {
    throw new MissingDependencyError('croner', 'a schedule with a cron pattern', { cause })
  }
}
