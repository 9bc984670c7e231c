/**
 * Tasks that come after others (`after`): what becomes of one when another one ends.
 *
 * No cycle can be made: a task names others that are there already.
 */

import type { NewTask } from '../engine.js'
import { TaskNotFoundError } from '../errors.js'
import { hasEnded } from '../lifecycle.js'
import type { StoredTask } from '../record.js'

/** What the end of a parent means for a task: that is one less to wait for, or its own end. */
export function afterEnd({ state }: StoredTask, child: StoredTask): 'goes on' | 'is cancelled' {
  return state === 'succeeded' || child.extras?.onParentFailure === 'run' ? 'goes on' : 'is cancelled'
}

/** Why a task is cancelled whose parent has not succeeded. */
export function reasonOf({ id, state }: StoredTask): string {
  return `task ${id}, which it comes after, ${state === 'failed' ? 'failed' : 'was cancelled'}`
}

/**
 * The parents of each task that have to be waited for, and those that have ended.
 *
 * @param find a task that is stored @throws {TaskNotFoundError} one is neither stored nor earlier among `tasks`
 */
export function checkParents(tasks: readonly NewTask[], find: (id: string) => unknown): void {
  const earlier = new Set<string>()
  for (const { id, extras } of tasks) {
    for (const parent of extras?.after ?? []) {
      if (!earlier.has(parent) && find(parent) === undefined) throw new TaskNotFoundError(parent)
    }
    earlier.add(id)
  }
}

export function isOver(task: StoredTask | undefined): boolean {
  return task === undefined || hasEnded(task.state)
}
