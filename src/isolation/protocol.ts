/**
 * What a runner and its workers say to each other.
 *
 * An errand goes out and one reply comes back, both through the pool's library; in between, whatever a handler and its
 * runner have to tell each other goes as messages, each with the number of its errand. A reply says how many messages
 * were sent before it, since it may overtake them.
 */
import type { MessagePort } from 'node:worker_threads'
import type { Execution } from '../executor.js'
import type { Json, Snapshot } from '../json.js'
import type { ModuleFile } from '../module-file.js'
import type { AttemptRecord } from '../record.js'
import type { CarriedError } from './carried-error.js'

/** Of a context: what does not change while the handler runs. A list, which is cheaper to send than names. */
export type Facts = readonly [
  id: string,
  name: string,
  attempt: number,
  retries: number,
  createdAt: number,
  previous: AttemptRecord | undefined,
  metadata: Json | undefined,
  context: Json | undefined,
  /** What earlier attempts have saved: see saved-state.ts. */
  stored: Json | undefined,
]

/** What a worker gets to do. */
export interface Errand {
  readonly number: number
  readonly input: unknown
  readonly facts: Facts
  /** With the first errand of a worker. */
  readonly first?: Beginning | undefined
}

/** What is the same for all errands of a worker. */
export interface Beginning {
  readonly file: ModuleFile
  readonly limits: Limits
  /** What a thread sends its messages by; a child process has its channel. */
  readonly link: ThreadLink | undefined
}

export type Limits = Execution['limits']

export interface ThreadLink {
  readonly port: MessagePort
  /** One counter: how many messages the runner has taken. */
  readonly taken: Int32Array
}

/** What became of an errand. `sent`: how many messages it sent. */
export type Reply = ({ readonly output?: Snapshot } | { readonly error: CarriedError }) & { readonly sent: number }

/** From a worker. */
export type Told = { readonly number: number } & (
  | { readonly type: 'begun' }
  | { readonly type: 'progress'; readonly value: unknown }
  | { readonly type: 'save'; readonly value: Json; readonly save: number }
  | { readonly type: 'log'; readonly message: string; readonly fields: Readonly<Record<string, unknown>> | undefined }
  | { readonly type: 'fault'; readonly error: CarriedError }
)

/** To a worker. */
export type Asked = { readonly number: number } & (
  | { readonly type: 'abort'; readonly reason: CarriedError }
  | { readonly type: 'saved'; readonly save: number; readonly error?: CarriedError | undefined }
)

/** So many messages may be on their way from a thread; one more waits until the runner has taken some. */
export const MOST_UNDERWAY = 1_000
