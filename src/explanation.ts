/** Why a task does not run now, in the terms of the limits and rules that keep it. */
import type { SerializedError, TaskState } from './record.js'

export interface Explanation {
  readonly id: string
  /** The key of its definition in `tasks`. */
  readonly name: string
  readonly state: TaskState
  /** All that keeps it, the most telling first. Empty where nothing does: it goes next, it runs, or it has ended. */
  readonly reasons: readonly Reason[]
}

/** One thing that keeps a task. Times are epoch ms; of ids there are at most 100. */
export type Reason =
  /** The runner is paused. */
  | { readonly type: 'paused' }
  /** Its time has not come: its delay, its backoff. */
  | { readonly type: 'scheduled'; readonly until: number }
  /** Tasks that have to end before it. */
  | { readonly type: 'after'; readonly tasks: readonly string[] }
  /** Its name is held; when `until` has passed one task goes first, as a probe. */
  | { readonly type: 'held'; readonly until: number; readonly error: SerializedError }
  /** No process that works knows its name. */
  | { readonly type: 'worker' }
  /** As many of its key run as may. */
  | { readonly type: 'key'; readonly key: string; readonly max: number; readonly by: readonly string[] }
  /** Its window is full; until then, or absent where that depends on handlers that are about to be called. */
  | { readonly type: 'rateLimit'; readonly key: string; readonly max: number; readonly until?: number }
  /** It needs more of a resource than is free. */
  | {
      readonly type: 'resource'
      readonly resource: string
      readonly needs: number
      readonly free: number
      readonly by: readonly string[]
    }
  /** What it needs is kept for a task that comes before it and waits for more. */
  | { readonly type: 'reserved'; readonly resource: string; readonly for: string }
  /** As many of its name run in this process as may. */
  | { readonly type: 'concurrency'; readonly max: number; readonly by: readonly string[] }
  /** All that may run in this process at once is running. */
  | { readonly type: 'slots'; readonly max: number; readonly by: readonly string[] }
  /** So many of its name, and of its keys, come before it; counted up to 10 000. */
  | { readonly type: 'ahead'; readonly count: number }

/** No more ids are told for one reason. */
export const MOST_IDS = 100
/** No more tasks are counted. */
export const MOST_AHEAD = 10_000
