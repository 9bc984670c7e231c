/**
 * The due tasks of one name in their order: priority, then when they became due, then submission.
 *
 * A linked list for each priority in use, and a heap of those priorities. Nearly every task comes in order and is
 * appended in O(1); one that does not (its priority was set, it was handed back) goes into the level's small heap beside
 * the list. So push, take, remove and a change of priority are O(1) or O(log n), whatever stands in the backlog.
 */
import { Chain, type Linked } from './chain.js'
import { Heap, type Slotted } from './heap.js'

/** What a backlog needs of a task. The links belong to the backlog while the task is in it. */
export interface Waiting<Self> extends Slotted, Linked<Self> {
  readonly priority: number
  /** Epoch ms */
  readonly runAt: number
  /** Rises with each submission. */
  readonly order: number
}

/** Whether `a` became due before `b`; among equals, whether it was submitted before. */
export function dueBefore<Task extends Waiting<Task>>(a: Task, b: Task): boolean {
  return a.runAt < b.runAt || (a.runAt === b.runAt && a.order < b.order)
}

/** Whether `a` goes before `b`: priority, then when it became due, then submission. */
export function comesBefore<Task extends Waiting<Task>>(a: Task, b: Task): boolean {
  return a.priority > b.priority || (a.priority === b.priority && dueBefore(a, b))
}

class Level<Task extends Waiting<Task>> implements Slotted {
  readonly priority: number
  slot = -1
  size = 0
  readonly #inOrder: Chain<Task> = new Chain()
  /** Those that did not come in order. */
  #strays: Heap<Task> | undefined

  constructor(priority: number) {
    this.priority = priority
  }

  get first(): Task | undefined {
    const { head } = this.#inOrder
    const stray = this.#strays?.first
    if (stray === undefined) return head
    return head === undefined || dueBefore(stray, head) ? stray : head
  }

  countBefore(task: Task, most: number): number {
    let count = 0
    for (let each = this.#inOrder.head; each !== undefined && count < most && dueBefore(each, task); each = each.next)
      count++
    for (const each of this.#strays ?? []) if (dueBefore(each, task)) count++
    return Math.min(count, most)
  }

  push(task: Task): void {
    this.size++
    const { tail } = this.#inOrder
    if (tail === undefined || dueBefore(tail, task)) return this.#inOrder.push(task)
    this.#strays ??= new Heap<Task>(dueBefore)
    this.#strays.push(task)
  }

  remove(task: Task): void {
    this.size--
    if (task.slot >= 0) this.#strays?.remove(task)
    else this.#inOrder.remove(task)
  }
}

export class Backlog<Task extends Waiting<Task>> {
  readonly #levels: Map<number, Level<Task>> = new Map()
  readonly #byPriority: Heap<Level<Task>> = new Heap((a, b) => a.priority > b.priority)
  size = 0

  get first(): Task | undefined {
    return this.#byPriority.first?.first
  }

  push(task: Task): void {
    let level = this.#levels.get(task.priority)
    if (level === undefined) {
      level = new Level(task.priority)
      this.#levels.set(task.priority, level)
      this.#byPriority.push(level)
    }
    level.push(task)
    this.size++
  }

  /** How many come before a task that is in it. */
  countBefore(task: Task, most: number): number {
    let count = 0
    for (const level of this.#levels.values()) {
      if (level.priority > task.priority) count += level.size
      else if (level.priority === task.priority) count += level.countBefore(task, most)
    }
    return Math.min(count, most)
  }

  /** Removes a task that was pushed with this priority. */
  remove(task: Task, priority: number): void {
    const level = this.#levels.get(priority) as Level<Task>
    level.remove(task)
    this.size--
    if (level.first !== undefined) return
    this.#levels.delete(priority)
    this.#byPriority.remove(level)
  }
}
