/**
 * The second seam: where a handler is called. The attempt knows it and nothing else does.
 *
 * Inline, on the event loop of this process; or, if the definition asks for it, in a worker: `isolation/` is loaded then
 * and only then.
 */
import { elsewhere } from './elsewhere.js'
import type { ErrorLimits } from './error-record.js'
import type { Json, Snapshot } from './json.js'
import type { TaskContext, TaskDefinition } from './task.js'

/** Calls handlers. */
export interface Executor {
  /** Calls the handler. May throw, or return a value, a promise of one, or a `Taken`. */
  execute(execution: Execution, input: unknown, ctx: TaskContext): unknown
  /** Ends all that it started; resolves when nothing of it is left. Only where there is something to end. */
  close?(): Promise<void>
}

/** What an executor is told of an attempt, and tells it. */
export interface Execution {
  readonly definition: TaskDefinition
  /** Of the texts of an error, and of an output in bytes of JSON. */
  readonly limits: ErrorLimits & { readonly input: number; readonly output: number }
  /** What earlier attempts, and this one, have saved: see saved-state.ts. */
  readonly stored: Json | undefined
  /** Resolves when it is stored. */
  store(value: Json): Promise<void>
  /** The handler is called now: from here on its timeout counts, and not before. */
  begin(): void
  /** The handler runs where it can be ended from outside, and this is how. */
  controlledBy(remote: Remote): void
  /** A fault that does not decide the attempt. */
  report(error: unknown): void
}

/** A handler that runs elsewhere. */
export interface Remote {
  /** Asks it to stop: its signal is aborted with this reason. */
  abort(reason: Error): void
  /** Ends it. What `execute` gave rejects with the reason once nothing of it runs any more. */
  end(reason: Error): void
}

/** An output of which a worker has already made sure that JSON can hold it, or why it cannot. */
export class Taken {
  readonly snapshot: Snapshot

  constructor(snapshot: Snapshot) {
    this.snapshot = snapshot
  }
}

/** On the event loop of this process. A handler here cannot be stopped from outside, only asked to. */
export const inline: Executor = {
  execute(execution, input, ctx) {
    execution.begin()
    return execution.definition.run(input as never, ctx)
  },
}

/** Where the handlers of a definition are called. @throws {MissingDependencyError} a worker needs a package that is not there */
export async function executorFor(isolation: NonNullable<TaskDefinition['isolation']>): Promise<Executor> {
  const { openPool } = await elsewhere('a module', import('./isolation/index.js'))
  return openPool(isolation)
}
