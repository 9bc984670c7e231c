/** What the parts of the store share: who this process is, where it asks, and what it runs. */
import { randomUUID } from 'node:crypto'
import type { Clock } from '../clock.js'
import type { StoreHost } from '../local/store.js'
import type { Backend, MakeBackend } from './backend.js'
import { type BullTask, queueOf, type Row, toTask } from './job.js'

export interface BullSettings {
  /** Before the names of its queues. */
  readonly name: string
  readonly backend: MakeBackend
  /** How long a worker's silence is borne before its jobs are put back, ms. */
  readonly lease: number
}

export class World {
  readonly name: string
  readonly lease: number
  readonly me: string = randomUUID()
  readonly backend: Backend
  clock!: Clock
  host!: StoreHost<BullTask>
  names: readonly string[] = []
  works = false
  closing = false
  /** What this process runs, by job. */
  readonly running: Map<string, BullTask> = new Map()
  /** Verbs that are under way. */
  readonly asked: Set<Promise<unknown>> = new Set()
  /** So often this process has brought work: an outlook that was asked for before knows nothing of that. */
  brought = 0
  /** How much it had brought when an outlook found nothing left; -1: something was left. */
  idleAt = -1
  #requests = 0

  constructor({ name, lease, backend }: BullSettings) {
    this.name = name
    this.lease = lease
    this.backend = backend(this.me)
  }

  /** Nothing is left, as far as this process knows: that others have come to an end is no news to it. */
  get isIdle(): boolean {
    return this.idleAt === this.brought
  }

  queue(name: string): string {
    return queueOf(this.name, name)
  }

  task(row: Row): BullTask {
    return toTask(row, this.name)
  }

  asking<Answer>(verb: Promise<Answer>): Promise<Answer> {
    this.asked.add(verb)
    const done = (): void => void this.asked.delete(verb)
    verb.then(done, done)
    return verb
  }

  async read(jobs: readonly (readonly [string, string])[]): Promise<BullTask[]> {
    if (jobs.length === 0) return []
    const rows = (await this.backend.verbs('read', this.clock.now(), { jobs })) as (Row | null)[]
    return rows.filter((row) => row !== null).map((row) => this.task(row))
  }

  async guard(work: () => Promise<unknown>): Promise<void> {
    try {
      await work()
    } catch (error) {
      if (!this.closing) this.host.fault(error)
    }
  }

  /** The number of a verb: what is asked again, for want of an answer, is known by it. */
  request(): number {
    return ++this.#requests
  }
}
