/**
 * The seam below the store: where BullMQ keeps its jobs. It answers questions (`ask`), each in one step that happens wholly
 * or not at all, says what others do, and waits for new work.
 */
import type { Clock } from '../clock.js'
import { EngineError } from '../errors.js'

/**
 * The number of what is kept beside BullMQ's jobs. A program that knows a lower one than is there is refused: it would not
 * understand its tasks.
 */
export const FORMAT = 1

/** What can be asked; lua-verbs.ts, lua-work.ts and lua-house.ts tell of each what it takes and gives. */
export type Question =
  | 'insert'
  | 'claim'
  | 'settle'
  | 'read'
  | 'put'
  | 'amend'
  | 'tell'
  | 'renew'
  | 'bury'
  | 'outlook'
  | 'counts'
  | 'list'
  | 'prune'
  | 'pause'
  | 'holds'
  | 'explain'
  | 'schedules'
  | 'swap'
  | 'leave'
  | 'mine'

/** What it answers: whoever asks knows. */
export type Answer = unknown

/** Parameters as an object, before what is raw; those of the questions that are asked for each task one by one. */
export type Asker = (
  question: Question,
  now: number,
  parameters: object | readonly (string | number)[],
  ...raw: string[]
) => Promise<Answer>

export interface Backend {
  /** Where it is, for messages. */
  readonly name: string
  /** @throws {EngineError} {MissingDependencyError} */
  open(clock: Clock, host: BackendHost): Promise<void>
  /** For verbs: bounded, unless the app would rather wait. Rejects with an `EngineError`. */
  readonly verbs: Asker
  /** For claims and verdicts: what is asked while it is away is answered when it is back. */
  readonly work: Asker
  /**
   * Resolves when a queue has work, or after a few seconds: of all who wait for it one gets that queue. Soon after `end` it
   * resolves too; it need not.
   */
  waitForWork(queues: readonly string[], end: AbortSignal): Promise<string | undefined>
  /** Somebody else shall get the work that was waited for. */
  passOn(queue: string): Promise<void>
  /** Begins, or ends, to hear what is said on a channel: `all`, `changed`, `w:<worker>`, `knows:<queue>`. */
  listen(...channels: string[]): Promise<void>
  unlisten(channel: string): Promise<void>
  close(): void
}

export interface BackendHost {
  /** What was said on a channel that is listened to. */
  heard(channel: string, message: string): void
  /** It was away, and is back: what was said meanwhile was not heard, and answers may be lost. */
  back(): void
  fault(error: unknown): void
}

/** How a backend is made. @param me the worker's id, with which it signs what it says and holds its locks */
export type MakeBackend = (me: string) => Backend

/** @throws {EngineError} what is there was made by a newer version */
export function checkFormat(format: number, where: string): void {
  if (format > FORMAT)
    throw new EngineError(
      `${where} was made by a newer version of background-runner: its format is ${format}, this version knows ${FORMAT}`,
    )
}
