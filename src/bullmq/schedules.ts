/** Schedules: each a text in one hash, swapped if it is as it was read; one that fires is swapped as its task is stored. */
import type { NewTask } from '../engine.js'
import type { Inserted } from '../local/store.js'
import { type ScheduleRecord, specText } from '../schedule.js'
import type { BullTask } from './job.js'
import type { Submissions } from './submissions.js'
import type { World } from './world.js'

export class Schedules {
  readonly #world: World
  readonly #submissions: Submissions

  constructor(world: World, submissions: Submissions) {
    this.#world = world
    this.#submissions = submissions
  }

  async #texts(): Promise<ReadonlyMap<string, string>> {
    const texts = (await this.#world.asking(
      this.#world.backend.verbs('schedules', this.#world.clock.now(), {}),
    )) as string[]
    return new Map(texts.map((text) => [(JSON.parse(text) as ScheduleRecord).id, text]))
  }

  async put(schedule: ScheduleRecord): Promise<void> {
    for (;;) {
      const was = (await this.#texts()).get(schedule.id) ?? ''
      const old = was === '' ? undefined : (JSON.parse(was) as ScheduleRecord)
      if (old !== undefined && specText(old) === specText(schedule)) return
      const kept = old?.last === undefined ? {} : { last: old.last, lastTask: old.lastTask }
      if (await this.#swap('schedules', schedule.id, was, JSON.stringify({ ...schedule, ...kept }))) return
    }
  }

  async remove(id: string): Promise<boolean> {
    for (;;) {
      const was = (await this.#texts()).get(id) ?? ''
      if (was === '') return false
      if (await this.#swap('schedules', id, was, '')) return true
    }
  }

  async #swap(key: string, field: string, was: string, becomes: string): Promise<boolean> {
    const asked = { key, field, request: this.#world.request() }
    return (await this.#world.backend.verbs('swap', this.#world.clock.now(), asked, was, becomes)) === 1
  }

  async all(): Promise<readonly ScheduleRecord[]> {
    const all = [...(await this.#texts()).values()].map((text) => JSON.parse(text) as ScheduleRecord)
    return all.sort((a, b) => (a.id < b.id ? -1 : 1))
  }

  async fire(
    schedule: ScheduleRecord,
    following: number,
    task: NewTask | undefined,
    now: number,
  ): Promise<readonly Inserted<BullTask>[] | undefined> {
    const { id, next } = schedule
    const was = (await this.#texts()).get(id)
    const is = was === undefined ? undefined : (JSON.parse(was) as ScheduleRecord)
    if (was === undefined || is === undefined || is.next !== next || specText(is) !== specText(schedule))
      return undefined
    const fired = task === undefined ? {} : { last: next, lastTask: task.id }
    const becomes = JSON.stringify({ ...is, ...fired, next: following })
    return this.#world.asking(this.#submissions.store(task === undefined ? [] : [task], now, { id, was, becomes }))
  }
}
