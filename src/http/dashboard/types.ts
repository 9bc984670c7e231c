/** What the server tells, as far as the dashboard looks at it. No DOM: tests in Node use it as well. */
import type { Hold, Json, SerializedError, TaskRecord, TaskState } from '../../index.js'

import type { Right } from '../access.js'

export type { Point, Range, Series as Stats } from '../statistics.js'

export type Counts = Readonly<Record<TaskState, number>>
/** A task as a list shows it. */
export interface Summary {
  readonly id: string
  readonly name: string
  readonly state: TaskState
  readonly attempt: number
  readonly maxAttempts: number
  readonly priority: number
  readonly progress?: Json
  readonly tags?: readonly string[]
  readonly createdAt: number
  readonly runAt: number
  readonly startedAt?: number
  readonly finishedAt?: number
  readonly cancelRequestedAt?: number
  readonly error?: SerializedError
}

export interface Overview {
  readonly now: number
  readonly can: readonly Right[]
  /** The names that may be submitted. */
  readonly submit: readonly string[]
  readonly counts: Counts
  readonly holds: readonly Hold[]
  /** null: not known. */
  readonly paused: boolean | null
}

export interface Page {
  readonly tasks: readonly Summary[]
  readonly next?: string
}

/** What a list holds, or what many are changed by. */
export interface Filter {
  readonly states: readonly TaskState[]
  readonly names: readonly string[]
  readonly tags: readonly string[]
}

export interface BulkResult {
  readonly changed: number
  readonly skipped: number
  readonly more: boolean
}

/** `connecting` also means: lost, and tried again. */
export type LiveState = 'connecting' | 'open'

/** What came since the last time. */
export interface News {
  /** The latest of each, in the order of the first. */
  readonly tasks: ReadonlyMap<string, Summary & Partial<TaskRecord>>
  readonly removed: ReadonlySet<string>
  readonly counts: Counts | undefined
  /** More has changed than is told: read again. */
  readonly reset: boolean
}
