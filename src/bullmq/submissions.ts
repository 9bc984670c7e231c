/** Submitting: what is stored of a new task, and what it means that it is not. */
import { nextTurn } from '../clock.js'
import type { NewTask } from '../engine.js'
import { InvalidStateError, QueueFullError, show, TaskNotFoundError } from '../errors.js'
import * as life from '../lifecycle.js'
import type { Inserted } from '../local/store.js'
import type { Followers } from './followers.js'
import { type BullTask, bullPriority, idOf, jobOf, nameOf, newTask, submittedText } from './job.js'
import type { World } from './world.js'

export class Submissions {
  readonly #world: World
  readonly #followers: Followers
  #maxPending: number | undefined

  constructor(world: World, followers: Followers) {
    this.#world = world
    this.#followers = followers
  }

  /** @param maxPending may be infinite */
  open(maxPending: number): void {
    this.#maxPending = Number.isFinite(maxPending) ? maxPending : undefined
  }

  insert(tasks: readonly NewTask[], now: number): Promise<readonly Inserted<BullTask>[]> {
    return this.#world.asking(this.store(tasks, now)) as Promise<readonly Inserted<BullTask>[]>
  }

  /** Undefined: the schedule is not as it was read. */
  async store(
    tasks: readonly NewTask[],
    now: number,
    schedule?: { readonly id: string; readonly was: string; readonly becomes: string },
  ): Promise<readonly Inserted<BullTask>[] | undefined> {
    const stored = tasks.map((task) => {
      const { key, tags, after: parents, onParentFailure } = task.extras ?? {}
      return {
        id: jobOf(task.id),
        new: task.idIsNew,
        queue: this.#world.queue(task.name),
        name: task.name,
        priority: bullPriority(task.priority),
        attempts: task.maxAttempts,
        delay: life.dueAt(task, now) - now,
        key,
        tags,
        after: parents?.map(jobOf),
        run: onParentFailure === 'run',
      }
    })
    const raw = tasks.flatMap((task) => [
      task.input === undefined ? '' : JSON.stringify(task.input),
      submittedText(task),
    ])
    const swap = schedule === undefined ? [] : [schedule.was, schedule.becomes]
    const answer = (await this.#world.backend.verbs(
      'insert',
      now,
      {
        tasks: stored,
        request: this.#world.request(),
        maxPending: this.#maxPending,
        schedule: schedule && { id: schedule.id },
      },
      ...swap,
      ...raw,
    )) as [string, ...unknown[]]
    if (answer[0] === 'changed') return undefined
    this.#checkStored(answer)
    const isNew = answer.some((each) => (each as [string, number])[1] === 0)
    if (isNew) this.#world.brought++
    const cancelled = answer.at(-1) as string[]
    if (cancelled.length > 0) nextTurn(() => this.#world.guard(() => this.#followers.tellEnded(cancelled))) // after their submit
    return tasks.map((task, i) => {
      const [job, found] = answer[i + 1] as [string, number]
      return {
        id: idOf(job),
        deduplicated: found === 1,
        task: { ...newTask(task, this.#world.queue(task.name), now), id: idOf(job) },
      }
    })
  }

  #checkStored([word, about, more]: [string, ...unknown[]]): void {
    if (word === 'full') throw new QueueFullError(about as number, this.#maxPending as number)
    const id = idOf(String(about))
    if (word === 'unknown') throw new TaskNotFoundError(id)
    if (word === 'key') throw new InvalidStateError(`the id ${show(id)} belongs to another task than the key`)
    if (word !== 'name') return
    const queue = more as string
    const name = nameOf(this.#world.name, queue)
    throw new InvalidStateError(`the id ${show(id)} belongs to a task of another name, ${show(name)}`)
  }
}
