/**
 * Tasks that come after others (`after`): what becomes of one when another one ends.
 *
 * No cycle can be made: a task names others that are there already.
 */

import type { NewTask } from '../engine.js'
import { TaskNotFoundError } from '../errors.js'
import { hasEnded } from '../lifecycle.js'
import type { StoredTask } from '../record.js'

/** What of a task that has ended those that come after it want to know. */
export type Ended = Pick<StoredTask, 'id' | 'state'>

/** What the end of a parent means for a task: that is one less to wait for, or its own end. */
export function afterEnd({ state }: Ended, child: StoredTask): 'goes on' | 'is cancelled' {
  return state === 'succeeded' || child.extras?.onParentFailure === 'run' ? 'goes on' : 'is cancelled'
}

/** Why a task is cancelled whose parent has not succeeded; or was removed before its end, which only other tools do. */
export function reasonOf({ id, state }: { readonly id: string; readonly state: Ended['state'] | 'removed' }): string {
  return `task ${id}, which it comes after, ${state === 'failed' ? 'failed' : `was ${state === 'removed' ? 'removed' : 'cancelled'}`}`
}

/**
 * Whether all that the new ones of `tasks` come after is there. What is submitted again is answered as it is, also when
 * what it came after is gone.
 *
 * @param find a task that is stored
 * @param existing the stored task that a submit means
 * @throws {TaskNotFoundError} one is neither stored nor made by an earlier one of `tasks`
 */
export function checkParents(
  tasks: readonly NewTask[],
  find: (id: string) => unknown,
  existing: (task: NewTask) => unknown,
): void {
  if (!tasks.some(({ extras }) => extras?.after !== undefined)) return
  const made = new Set<string>()
  const keys = new Set<string>()
  for (const task of tasks) {
    const { id, extras } = task
    const isAgain = made.has(id) || (extras?.key !== undefined && keys.has(extras.key)) || existing(task) !== undefined
    if (isAgain) continue
    for (const parent of extras?.after ?? []) {
      if (!made.has(parent) && find(parent) === undefined) throw new TaskNotFoundError(parent)
    }
    made.add(id)
    if (extras?.key !== undefined) keys.add(extras.key)
  }
}

export function isOver(task: StoredTask | undefined): boolean {
  return task === undefined || hasEnded(task.state)
}
