/**
 * What a runner and its workers say to each other.
 *
 * A worker is opened once, by the pool's library. From then on all goes as messages, each with the number of its errand:
 * the errand itself, what a handler and its runner have to tell each other, and last the reply. They come in the order in
 * which they were said, and also if their worker dies right afterwards: so what was not heard of a worker that is gone was
 * never said.
 */
import type { MessagePort } from 'node:worker_threads'
import type { Execution } from '../executor.js'
import type { Json, Snapshot } from '../json.js'
import type { ModuleFile } from '../module-file.js'
import type { AttemptRecord } from '../record.js'
import type { CarriedError } from './carried-error.js'

/** Of a context: what does not change while the handler runs. */
export interface Facts {
  readonly id: string
  readonly name: string
  readonly attempt: number
  readonly retries: number
  readonly createdAt: number
  /** What most tasks do not have, and what need not be sent then. */
  readonly rest?: {
    readonly previous?: AttemptRecord
    readonly metadata?: Json
    readonly context?: Json
    /** What earlier attempts have saved: see saved-state.ts. */
    readonly stored?: Json
  }
}

/** What a handler is called with. */
export interface Errand {
  readonly input: unknown
  /** The input was made into bytes by `v8.serialize`, and those into a text in base64: the channel takes JSON. */
  readonly isSerialized?: true
  /** What in the input is a Buffer: on its way to a thread it loses its prototype, and is but a Uint8Array. */
  readonly buffers?: readonly Uint8Array[]
  readonly facts: Facts
}

/** What a worker is opened with: the same for all its errands. */
export interface Beginning {
  readonly file: ModuleFile
  readonly limits: Limits
  /** What a thread sends its messages by; a child process has its channel. */
  readonly link?: ThreadLink
  /** The pid of a child process's parent. */
  readonly parent?: number
  /** Somebody wants to know when a handler waits, and all that it says. */
  readonly isWatched?: true
}

export type Limits = Execution['limits']

export interface ThreadLink {
  readonly port: MessagePort
  /** Two numbers: how many messages the runner has taken; and the errand of which the handler was called last. */
  readonly shared: Int32Array
}

/** What became of an errand. */
export type Reply = { readonly output?: Snapshot | undefined } | { readonly error: CarriedError }

/** Said by a worker that ends by itself. */
export interface LastWords {
  /** Whose doing it is, as far as that can be told: the present errand, or an earlier one that left something behind. */
  readonly by: { readonly number: number; readonly id: string } | undefined
  /** What nobody caught. */
  readonly error: CarriedError | undefined
}

/** From a worker. */
export type Told = { readonly number: number } & (
  | { readonly type: 'begun' }
  | { readonly type: 'progress'; readonly value: unknown }
  | { readonly type: 'save'; readonly value: Json; readonly save: number }
  | {
      readonly type: 'log'
      readonly message: string
      readonly fields?: Readonly<Record<string, unknown>>
      /** Those of the fields that are errors. */
      readonly errors?: Readonly<Record<string, CarriedError>>
    }
  | { readonly type: 'fault'; readonly error: CarriedError }
  | { readonly type: 'reply'; readonly reply: Reply }
  /** For nothing but its runner, of whom it has heard so many messages. */
  | { readonly type: 'waits'; readonly heard: number }
  | { readonly type: 'end'; readonly words: LastWords }
)

/** To a worker. */
export type Asked = { readonly number: number } & (
  | ({ readonly type: 'errand' } & Errand)
  | { readonly type: 'abort'; readonly reason: CarriedError }
  | { readonly type: 'saved'; readonly save: number; readonly error?: CarriedError | undefined }
)

/** Where the two numbers are. */
export const TAKEN = 0
export const CALLED = 1

/** So many messages may be on their way from a thread; one more waits until the runner has taken some. */
export const MOST_UNDERWAY = 1_000

/** The code with which a child ends that has no channel any more. */
export const CUT_OFF = 112
