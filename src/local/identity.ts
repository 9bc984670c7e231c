/** Which task an id and a key mean, and what a batch would refuse: the same for every store. */
import type { NewTask } from '../engine.js'
import { InvalidStateError, show } from '../errors.js'

interface Named {
  readonly id: string
  readonly name: string
}

/** The task that a submit finds instead of making one. @throws {InvalidStateError} the id or the key belongs to another */
export function sameTask<Task extends Named>(
  task: NewTask,
  byId: Task | undefined,
  byKey: Task | undefined,
): Task | undefined {
  if (byId !== undefined && byId.name !== task.name) refuseId(task.id, `a task of another name, ${show(byId.name)}`)
  if (byId !== undefined && byKey !== undefined && byId.id !== byKey.id) refuseId(task.id, 'another task than the key')
  return byKey ?? byId
}

/**
 * All or nothing: throws what storing the tasks one by one would throw, before the first is stored.
 *
 * @param existing the task that is already there, if any
 * @returns how many are new
 */
export function rehearse(tasks: readonly NewTask[], existing: (task: NewTask) => unknown): number {
  const ids = new Map<string, NewTask>()
  const keys = new Map<string, NewTask>()
  for (const task of tasks) {
    const { id, extras } = task
    const byKey = extras?.key === undefined ? undefined : keys.get(extras.key)
    const byId = ids.get(id)
    if (byId !== undefined && byKey !== undefined && byId !== byKey) refuseId(id, 'another task than the key')
    if (existing(task) !== undefined || byId !== undefined || byKey !== undefined) continue
    ids.set(id, task)
    if (extras?.key !== undefined) keys.set(extras.key, task)
  }
  return ids.size
}

function refuseId(id: string, owner: string): never {
  throw new InvalidStateError(`the id ${show(id)} belongs to ${owner}`)
}
