/** The second seam: where a handler is called. The attempt knows it and nothing else does; so far there is one place. */
import type { TaskContext, TaskDefinition } from './task.js'

export interface Executor {
  /** Calls the handler. May throw, or return a value or a promise of one. */
  execute(definition: TaskDefinition, input: unknown, ctx: TaskContext): unknown
}

/** On the event loop of this process. A handler here cannot be stopped from outside, only asked to. */
export const inline: Executor = {
  execute: (definition, input, ctx) => definition.run(input as never, ctx),
}
