/** What is kept of a schedule, and shown of it. */
import type { Json } from './json.js'

/** What shall run, and when. */
export interface ScheduleSpec {
  /** The name of the task. */
  readonly task: string
  readonly input?: Json
  /** A cron pattern; or `every`. */
  readonly cron?: string
  /** ms */
  readonly every?: number
  /** In which the pattern is read; where there is one. */
  readonly timezone?: string
  readonly overlap: 'skip' | 'queue'
}

/** A schedule as its engine keeps it. Times are epoch ms. */
export interface ScheduleRecord extends ScheduleSpec {
  readonly id: string
  /** When it fires next; in the past where nobody was there to fire it. */
  readonly next: number
  /** The last occurrence that fired; one that was passed over did not. */
  readonly last?: number
  /** The id of the task that it submitted. */
  readonly lastTask?: string
}

/** The spec alone, as text: two schedules are the same if this is. */
export function specText({ task, input, cron, every, timezone, overlap }: ScheduleSpec): string {
  return JSON.stringify({ task, input, cron, every, timezone, overlap })
}
