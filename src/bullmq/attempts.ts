/**
 * Attempts, from their claim to the verdict on them. A verdict and the claim that follows it are one script, one round trip.
 * What runs here is known by its lock: while it is held no other worker has the job, and a verdict is written only while it is.
 */
import { after, nextTurn } from '../clock.js'
import type { Outcome, TaskEvent } from '../engine.js'
import { InvalidStateError, show } from '../errors.js'
import type { Json } from '../json.js'
import * as life from '../lifecycle.js'
import { reasonOf, saysMuch } from '../local/holds.js'
import type { Admission, SettledWithHold } from '../local/store.js'
import { extrasOf, type Hold, toRecord } from '../record.js'
import type { Followers } from './followers.js'
import { type BullTask, endOf, nowText, type Row } from './job.js'
import type { Locks } from './locks.js'
import type { Lookout } from './lookout.js'
import type { World } from './world.js'

/** After a fault, a verdict is written again after this many ms. */
const AGAIN = 1_000
/** Where PostgreSQL cannot say which queue is at a limit of its own, all are asked again after this many ms. */
const DECLINED = 1_000
/** A suspect that may not run beside another one is put back for this long, ms. */
const SUSPENDED = 1_000
/** Of `br:now`. */
const UNCHANGED = '-'
const WHERE = {
  succeeded: 'completed',
  failed: 'failed',
  cancelled: 'failed',
  scheduled: 'delayed',
  queued: 'wait',
} as const

/** A claim that is asked for together with a verdict. */
interface Claiming {
  readonly queues: readonly string[]
  readonly lock: number
}

/** A verdict as the script `settle` takes it. */
interface Verdict {
  readonly to: (typeof WHERE)[keyof typeof WHERE]
  readonly flags: string
  readonly delay?: number
  readonly hold?: number
  readonly text?: string
  readonly reason?: string | undefined
  readonly error?: string
}

/** A verdict that waits until the end of the turn for the claim that may follow it. */
interface Settling {
  readonly write: (next: Claiming | undefined) => void
  next?: Claiming
}

type Claimed = Row | 'limited' | 'more' | 'declined' | null

export class Attempts {
  readonly #world: World
  readonly #followers: Followers
  readonly #locks: Locks
  readonly #lookout: Lookout
  /** The verdict that waits for the claim that may follow it. */
  #settling: Settling | undefined
  /** Who waits for the claim that follows a verdict. */
  readonly #following: Map<Claiming, { resolve(claimed: Claimed): void; reject(error: unknown): void }> = new Map()
  /** Until then nothing is claimed. */
  declinedUntil = 0

  constructor(world: World, followers: Followers, locks: Locks, lookout: Lookout) {
    this.#world = world
    this.#followers = followers
    this.#locks = locks
    this.#lookout = lookout
  }

  async claim(admission: Admission, now: number): Promise<BullTask | undefined> {
    if (!this.#world.works || this.#world.closing) return undefined
    this.#lookout.admission = admission
    const reserved = [...admission.open]
    if (reserved.length === 0) return undefined
    const marker = this.#lookout.takeMarker()
    // Reserved until the answer is there: it may be any of them, and other claims are under way.
    for (const name of reserved) admission.take(name)
    const next: Claiming = {
      queues: reserved.map((name) => this.#world.queue(name)),
      lock: this.#world.lease,
    }
    let claimed: Claimed = null
    let task: BullTask | undefined
    const settling = this.#settling
    const follows = settling !== undefined && settling.next === undefined
    try {
      if (follows) {
        settling.next = next
        claimed = await new Promise<Claimed>((resolve, reject) => {
          this.#following.set(next, { resolve, reject })
        })
      } else claimed = await this.#claimNow(next, now)
      task = await this.#taken(claimed, now)
      return task
    } finally {
      this.#giveBack(admission, reserved, task)
      if (claimed === null) this.#lookout.lookOut()
      // Another slot may be free, and nobody waits for the next one: what follows a verdict has the slot that it had.
      else if (!follows && !this.#lookout.isWaiting) this.#world.host.changed([])
      // What the marker stood for may still be there, and nobody else knows of it.
      const isThere = task === undefined ? !next.queues.includes(marker as string) : task.queue !== marker
      if (marker !== undefined && isThere) this.#lookout.passOn(marker)
    }
  }

  async #claimNow(claiming: Claiming, now: number): Promise<Claimed> {
    return (await this.#world.backend.work('claim', now, claimArguments(claiming))) as Claimed
  }

  #giveBack(admission: Admission, reserved: readonly string[], task: BullTask | undefined): void {
    const open = admission.open.length
    for (const name of reserved) if (name !== task?.name) admission.give(name)
    // Another claim may have found it closed meanwhile.
    if (task !== undefined && admission.open.length > open) this.#world.host.changed([])
  }

  async #taken(claimed: Claimed, now: number): Promise<BullTask | undefined> {
    if (claimed === null) return undefined
    if (claimed === 'limited' || claimed === 'more') return this.#again()
    if (claimed === 'declined') {
      this.declinedUntil = now + DECLINED
      return undefined
    }
    const [queue, job, , fields] = claimed
    const task = this.#world.task([queue, job, 'queued', fields])
    task.attempt--
    const end = endOf(task)
    if (end !== undefined) {
      await this.#convict(task, now)
      return this.#again()
    }
    if (life.isSuspect(task) && [...this.#world.running.values()].some(life.isSuspect)) {
      await this.#putBack(task, now, { to: 'delayed', delay: SUSPENDED, flags: 'u' })
      return this.#again()
    }
    life.claim(task, now)
    this.#locks.taken(task)
    // Several may be claimed at one moment: if it dies with this process, it is known which of them ran.
    if (life.isSuspect(task)) await this.#world.guard(() => this.#put(task, 'br:alone', String(task.attempt)))
    return task
  }

  /**
   * Puts back what was claimed while the connection was lost before the answer came: nobody runs it, and nobody has died
   * of it. What was claimed before this is asked has been answered before this is.
   */
  async handBackUnknown(): Promise<void> {
    if (!this.#world.works) return
    const rows = (await this.#world.backend.work('mine', this.#world.clock.now(), {})) as Row[]
    await new Promise<void>(nextTurn)
    for (const task of rows.map((row) => this.#world.task(row))) {
      // One that was asked to stop meanwhile is put back as one whose process has died: it ends as cancelled.
      if (this.#world.closing || this.#world.running.has(task.job) || task.cancel !== '') continue
      task.attempt--
      await this.#putBack(task, this.#world.clock.now(), { to: 'wait', flags: 'u' })
      this.#world.host.changed([])
    }
  }

  #again(): undefined {
    nextTurn(() => this.#world.host.changed([]))
    return undefined
  }

  /** It was claimed, and its deaths are its end. */
  async #convict(task: BullTask, now: number): Promise<void> {
    const cancelled = task.extras?.cancelRequestedAt !== undefined
    task.state = cancelled ? 'cancelled' : 'failed'
    task.finishedAt = now
    const flags = cancelled ? 'cdu' : 'du'
    await this.#putBack(task, now, { to: 'failed', flags, text: nowText(task), reason: task.error?.message })
    this.#world.host.recovered(cancelled ? 'cancelled' : 'failed', toRecord(task))
  }

  /** It was claimed, which BullMQ has counted, and has not run: `task` is as it was before. */
  async #putBack(task: BullTask, now: number, verdict: Verdict): Promise<void> {
    const claimed = { ...task, attempt: task.attempt + 1 }
    for (;;) {
      const answer = await this.#world.backend.work('settle', now, this.#verdict(claimed, verdict))
      const [word, cancel] = answer as [string, unknown]
      if (word !== 'cancel') return
      claimed.cancel = String(cancel) // whoever claims it next knows of it
    }
  }

  /** The arguments of the script `settle`. */
  #verdict(task: BullTask, verdict: Verdict, next?: Claiming): (string | number)[] {
    const { to, flags, delay = '', hold = '', text = UNCHANGED, reason = '', error = '' } = verdict
    const { queue, job, attempt, maxAttempts, name, cancel } = task
    return [
      ...[queue, job, attempt, maxAttempts, to, flags, delay, hold, name, cancel, text, reason, error],
      ...(next === undefined ? [''] : claimArguments(next)),
    ]
  }

  settle(task: BullTask, outcome: Outcome, now: number): Promise<TaskEvent | SettledWithHold | undefined> {
    return new Promise((resolve, reject) => {
      const settling: Settling = {
        write: (next) => void this.#settle(task, outcome, now, next).then(resolve, reject),
      }
      this.#settling = settling
      // The claim that follows is asked for before this.
      queueMicrotask(() => {
        if (this.#settling === settling) this.#settling = undefined
        settling.write(settling.next)
      })
    })
  }

  async #settle(
    task: BullTask,
    outcome: Outcome,
    now: number,
    next: Claiming | undefined,
  ): Promise<TaskEvent | SettledWithHold | undefined> {
    try {
      for (;;) {
        // The lock is of this process: whether it is of this attempt is known here.
        if (this.#world.running.get(task.job) !== task) {
          if (next !== undefined) this.#following.get(next)?.resolve(await this.#claimNow(next, now))
          return undefined
        }
        const draft: BullTask = { ...task, extras: task.extras && { ...task.extras } }
        const event = life.settle(draft, outcome, now)
        const [word, hold, telling, following] = await this.#insist(() =>
          this.#write(draft, task, event, outcome, now, next),
        )
        if (word === 'cancel') {
          // It was asked for elsewhere, and that has not been heard of yet.
          task.cancel = String(hold)
          Object.assign(extrasOf(task), JSON.parse(task.cancel))
          continue
        }
        if (this.#world.running.get(task.job) === task) this.#world.running.delete(task.job)
        if (next !== undefined) this.#following.get(next)?.resolve(following as Claimed)
        if (telling === 1) void this.#followers.tell()
        if (word === 'lost') return undefined
        draft.now = nowText(draft)
        Object.assign(task, draft)
        if (hold === null) return event
        return { event, hold: hold === 'held' ? holdOf(task.name, outcome) : undefined }
      }
    } catch (error) {
      if (next !== undefined) this.#following.get(next)?.reject(error)
      throw error
    } finally {
      if (next !== undefined) this.#following.delete(next)
    }
  }

  async #write(
    draft: BullTask,
    task: BullTask,
    event: TaskEvent,
    outcome: Outcome,
    now: number,
    next: Claiming | undefined,
  ): Promise<[string, unknown, number, unknown]> {
    const text = nowText(draft)
    const { state, output } = draft
    const flags = [
      state === 'cancelled' ? 'c' : '',
      output === null ? 'n' : '',
      task.died ? 'd' : '',
      saysMuch(event, outcome) ? 's' : '',
    ]
    const result = output === undefined ? 'null' : JSON.stringify(output)
    const verdict: Verdict = {
      to: WHERE[state as keyof typeof WHERE],
      flags: flags.join(''),
      text: text === task.now ? UNCHANGED : text,
      reason: state === 'succeeded' ? result : draft.error?.message,
      ...(state === 'scheduled' && { delay: Math.max(0, draft.runAt - now) }),
      ...(outcome.hold !== undefined && { hold: outcome.hold, error: JSON.stringify(reasonOf(outcome)) }),
    }
    return (await this.#world.backend.work('settle', now, this.#verdict(draft, verdict, next))) as [
      string,
      unknown,
      number,
      unknown,
    ]
  }

  /** A verdict is never given up. */
  async #insist<Answer>(work: () => Promise<Answer>): Promise<Answer> {
    for (;;) {
      try {
        return await work()
      } catch (error) {
        if (this.#world.closing) throw error
        this.#world.host.fault(error)
        await new Promise<void>((resolve) => after(this.#world.clock, AGAIN, resolve, 'background'))
      }
    }
  }

  async progress(task: BullTask, value: Json): Promise<void> {
    await this.#put(task, 'progress', JSON.stringify(value)) // or it is no longer ours: nobody misses it
  }

  async save(task: BullTask, value: Json): Promise<void> {
    if (!(await this.#put(task, 'br:saved', JSON.stringify(value))))
      throw new InvalidStateError(
        `attempt ${task.attempt} of task ${show(task.id)} was taken over by another process: it can save no more`,
      )
    extrasOf(task).saved = value
  }

  async #put(task: BullTask, field: string, json: string): Promise<boolean> {
    if (this.#world.running.get(task.job) !== task) return false
    const { queue, job: id } = task
    return (await this.#world.backend.work('put', this.#world.clock.now(), { queue, id, field }, json)) === 1
  }
}

function claimArguments({ lock, queues }: Claiming): (string | number)[] {
  return [lock, ...queues]
}

function holdOf(name: string, outcome: Outcome): Hold {
  return { name, until: outcome.hold as number, error: reasonOf(outcome) }
}
