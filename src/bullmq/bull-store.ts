/**
 * Tasks as BullMQ's jobs: the store behind `bullmq()`.
 *
 * A task is a job of the queue of its name, and moves by BullMQ's own scripts, within ours (lua.ts). A verdict and the
 * claim that follows it are one script, one round trip. What runs here is known by its lock: while it is held no other
 * worker has the job, and a verdict is written only while it is.
 */
import { randomUUID } from 'node:crypto'
import { type Alarm, after, type Clock, nextTurn, systemClock } from '../clock.js'
import type {
  CancelRequest,
  Capabilities,
  ListPage,
  ListQuery,
  NewTask,
  Outcome,
  RetentionPolicy,
  TaskCounts,
  TaskEvent,
} from '../engine.js'
import { InvalidStateError, QueueFullError, show, TaskNotFoundError } from '../errors.js'
import { MOST_AHEAD, MOST_IDS, type Reason } from '../explanation.js'
import type { Json } from '../json.js'
import * as life from '../lifecycle.js'
import { fromCursor, toCursor } from '../local/cursor.js'
import { reasonOf, saysMuch } from '../local/holds.js'
import type {
  Admission,
  Cancelled,
  Inserted,
  Outlook,
  Pruned,
  SettledWithHold,
  Store,
  StoreHost,
  StoreSettings,
} from '../local/store.js'
import { extrasOf, type Hold, type SerializedError, type TaskExtras, type TaskRecord, toRecord } from '../record.js'
import { type ScheduleRecord, specText } from '../schedule.js'
import type { Backend, MakeBackend } from './backend.js'
import {
  type BullTask,
  bullPriority,
  cancelText,
  endOf,
  idOf,
  jobOf,
  nameOf,
  newTask,
  nowText,
  queueOf,
  type Row,
  submittedText,
  toTask,
} from './job.js'

/** After a fault, a verdict is written again after this many ms. */
const AGAIN = 1_000
/** Where BullMQ keeps a queue back for reasons of its own, it is asked again after this many ms. */
const DECLINED = 1_000
/** A suspect that may not run beside another one is put back for this long, ms. */
const SUSPENDED = 1_000
/** While somebody waits for tasks they are looked at this often, ms: what other tools do to them is told to nobody. */
const NET = 10_000
/** So many followers of ended tasks are told, or finished tasks removed, in one script. */
const STEP = 500
/** No task's name has one. */
const LONE_SURROGATE = /\p{Surrogate}/u
/** Of `br:now`. */
const UNCHANGED = '-'
const WHERE = {
  succeeded: 'completed',
  failed: 'failed',
  cancelled: 'failed',
  scheduled: 'delayed',
  queued: 'wait',
} as const

export interface BullSettings {
  /** Before the names of its queues. */
  readonly name: string
  readonly backend: MakeBackend
  /** How long a worker's silence is borne before its jobs are put back, ms. */
  readonly lease: number
}

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

type Claimed = Row | 'declined' | null

export class BullStore implements Store<BullTask> {
  readonly name = 'bullmq'
  readonly capabilities: Capabilities = {
    durable: true,
    shared: true,
    feed: 'all',
    limits: 'process',
    quotas: false,
    schedules: true,
  }
  readonly #settings: BullSettings
  readonly #me: string = randomUUID()
  readonly #backend: Backend
  #clock!: Clock
  #host!: StoreHost<BullTask>
  #names: readonly string[] = []
  #works = false
  #maxPending: number | undefined
  /** What this process runs, by job. */
  readonly #running: Map<string, BullTask> = new Map()
  /** What was asked to stop before the answer was here that it runs here. */
  readonly #early: Set<string> = new Set()
  /** The verdict that waits for the claim that may follow it at once. */
  #settling: Settling | undefined
  #declinedUntil = 0
  #beat: Alarm | undefined
  /** The renewal that is under way. */
  #keeping: { readonly tasks: readonly BullTask[]; readonly since: number } | undefined
  #isOpen = false
  #closing = false
  /** The queues whose new work is being waited for, and what ends that. */
  #waiting: { readonly queues: ReadonlySet<string>; readonly end: AbortController } | undefined
  /** As it was given with the first claim. */
  #admission: Admission | undefined
  /** One after the other: what the one has put back, and was begun again, the other would put back once more. */
  #handingBack: Promise<void> = Promise.resolve()
  /** Verbs that are under way. */
  readonly #asked: Set<Promise<unknown>> = new Set()
  /** So often this process has brought work: an outlook that was asked for before knows nothing of that. */
  #brought = 0
  /** The marker that this process has got, and has not yet claimed anything for. */
  #marker: string | undefined
  #idle = true
  #looksAtFeed = false
  #net: Alarm | undefined
  #telling = false

  constructor(settings: BullSettings) {
    this.#settings = settings
    this.#backend = settings.backend(this.#me)
  }

  async open({ clock, maxPending, names, work, host }: StoreSettings<BullTask>): Promise<void> {
    this.#clock = clock
    this.#host = host
    this.#works = work
    this.#names = names
    this.#maxPending = Number.isFinite(maxPending) ? maxPending : undefined
    await this.#backend.open(clock, {
      heard: (channel, message) => this.#heard(channel, message),
      back: () => {
        if (this.#closing) return
        host.changed('any')
        this.#handingBack = this.#handingBack.then(() => this.#guard(() => this.#handBackUnknown()))
      },
      fault: (error) => host.fault(error),
    })
    this.#isOpen = true
    const known = work ? names.map((each) => `knows:${this.#queue(each)}`) : []
    await this.#backend.listen('all', `w:${this.#me}`, ...known)
    if (this.#looksAtFeed) this.#listen()
    if (work) await this.#bury()
  }

  #queue(name: string): string {
    return queueOf(this.#settings.name, name)
  }

  #task(row: Row): BullTask {
    return toTask(row, this.#settings.name)
  }

  // Submitting.

  insert(tasks: readonly NewTask[], now: number): Promise<readonly Inserted<BullTask>[]> {
    return this.#asking(this.#insert(tasks, now)) as Promise<readonly Inserted<BullTask>[]>
  }

  #asking<Answer>(verb: Promise<Answer>): Promise<Answer> {
    this.#asked.add(verb)
    const done = (): void => void this.#asked.delete(verb)
    verb.then(done, done)
    return verb
  }

  /** Undefined: the schedule is not as it was read. */
  async #insert(
    tasks: readonly NewTask[],
    now: number,
    schedule?: { readonly id: string; readonly was: string; readonly becomes: string },
  ): Promise<readonly Inserted<BullTask>[] | undefined> {
    const stored = tasks.map((task) => {
      const { key, tags, after: parents, onParentFailure } = task.extras ?? {}
      return {
        id: jobOf(task.id),
        new: task.idIsNew,
        queue: this.#queue(task.name),
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
    const answer = (await this.#backend.verbs(
      'insert',
      now,
      { tasks: stored, maxPending: this.#maxPending, schedule: schedule && { id: schedule.id } },
      ...swap,
      ...raw,
    )) as [string, ...unknown[]]
    if (answer[0] === 'changed') return undefined
    this.#checkStored(answer)
    const isNew = answer.some((each) => (each as [string, number])[1] === 0)
    if (isNew) this.#brought++
    const cancelled = answer.at(-1) as string[]
    if (cancelled.length > 0) nextTurn(() => this.#guard(() => this.#tellEnded(cancelled))) // after their submit
    return tasks.map((task, i) => {
      const [job, found] = answer[i + 1] as [string, number]
      return {
        id: idOf(job),
        deduplicated: found === 1,
        task: { ...newTask(task, this.#queue(task.name), now), id: idOf(job) },
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
    const name = nameOf(this.#settings.name, queue)
    throw new InvalidStateError(`the id ${show(id)} belongs to a task of another name, ${show(name)}`)
  }

  // Working.

  async claim(admission: Admission, now: number): Promise<BullTask | undefined> {
    if (!this.#works || this.#closing) return undefined
    this.#admission = admission
    const reserved = [...admission.open]
    if (reserved.length === 0) return undefined
    const marker = this.#marker
    this.#marker = undefined
    // Reserved until the answer is there: it may be any of them, and other claims are under way.
    for (const name of reserved) admission.take(name)
    const next: Claiming = {
      queues: reserved.map((name) => this.#queue(name)),
      lock: this.#settings.lease,
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
      if (claimed === null) this.#lookOut()
      // Another slot may be free, and nobody waits for the next one: what follows a verdict has the slot that it had.
      else if (!follows && this.#waiting === undefined) this.#host.changed([])
      // What the marker stood for may still be there, and nobody else knows of it.
      const isThere = task === undefined ? !next.queues.includes(marker as string) : task.queue !== marker
      if (marker !== undefined && isThere) this.#passOn(marker)
    }
  }

  readonly #following: Map<Claiming, { resolve(claimed: Claimed): void; reject(error: unknown): void }> = new Map()

  async #claimNow(claiming: Claiming, now: number): Promise<Claimed> {
    return (await this.#backend.work('claim', now, claimArguments(claiming))) as Claimed
  }

  #giveBack(admission: Admission, reserved: readonly string[], task: BullTask | undefined): void {
    const open = admission.open.length
    for (const name of reserved) if (name !== task?.name) admission.give(name)
    // Another claim may have found it closed meanwhile.
    if (task !== undefined && admission.open.length > open) this.#host.changed([])
  }

  async #taken(claimed: Claimed, now: number): Promise<BullTask | undefined> {
    if (claimed === null) return undefined
    if (claimed === 'declined') {
      this.#declinedUntil = now + DECLINED
      return undefined
    }
    const [queue, job, , fields] = claimed
    const task = this.#task([queue, job, 'queued', fields])
    task.attempt--
    const end = endOf(task)
    if (end !== undefined) {
      await this.#convict(task, now)
      return this.#again()
    }
    if (life.isSuspect(task) && [...this.#running.values()].some(life.isSuspect)) {
      await this.#putBack(task, now, { to: 'delayed', delay: SUSPENDED, flags: 'u' })
      return this.#again()
    }
    life.claim(task, now)
    const before = this.#running.get(task.job)
    if (before !== undefined) this.#lose([before]) // and has come back to the same process
    this.#beats()
    this.#running.set(task.job, task)
    if (this.#early.delete(task.job)) void this.#guard(() => this.#renew([task]))
    // Several may be claimed at one moment: if it dies with this process, it is known which of them ran.
    if (life.isSuspect(task)) await this.#guard(() => this.#put(task, 'br:alone', String(task.attempt)))
    return task
  }

  /**
   * Puts back what was claimed while the connection was lost before the answer came: nobody runs it, and nobody has died
   * of it. What was claimed before this is asked has been answered before this is.
   */
  async #handBackUnknown(): Promise<void> {
    if (!this.#works) return
    const rows = (await this.#backend.work('mine', this.#clock.now(), {})) as Row[]
    await new Promise<void>(nextTurn)
    for (const task of rows.map((row) => this.#task(row))) {
      // One that was asked to stop meanwhile is put back as one whose process has died: it ends as cancelled.
      if (this.#closing || this.#running.has(task.job) || task.cancel !== '') continue
      task.attempt--
      await this.#putBack(task, this.#clock.now(), { to: 'wait', flags: 'u' })
      this.#host.changed([])
    }
  }

  #again(): undefined {
    nextTurn(() => this.#host.changed([]))
    return undefined
  }

  /** It was claimed, and its deaths are its end. */
  async #convict(task: BullTask, now: number): Promise<void> {
    const cancelled = task.extras?.cancelRequestedAt !== undefined
    task.state = cancelled ? 'cancelled' : 'failed'
    task.finishedAt = now
    const flags = cancelled ? 'cdu' : 'du'
    await this.#putBack(task, now, { to: 'failed', flags, text: nowText(task), reason: task.error?.message })
    this.#host.recovered(cancelled ? 'cancelled' : 'failed', toRecord(task))
  }

  /** It was claimed, which BullMQ has counted, and has not run: `task` is as it was before. */
  async #putBack(task: BullTask, now: number, verdict: Verdict): Promise<void> {
    const claimed = { ...task, attempt: task.attempt + 1 }
    for (;;) {
      const answer = await this.#backend.work('settle', now, this.#verdict(claimed, verdict))
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
        if (this.#running.get(task.job) !== task) {
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
        if (this.#running.get(task.job) === task) this.#running.delete(task.job)
        if (next !== undefined) this.#following.get(next)?.resolve(following as Claimed)
        if (telling === 1) void this.#tell()
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
    return (await this.#backend.work('settle', now, this.#verdict(draft, verdict, next))) as [
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
        if (this.#closing) throw error
        this.#host.fault(error)
        await new Promise<void>((resolve) => after(this.#clock, AGAIN, resolve, 'background'))
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
    if (this.#running.get(task.job) !== task) return false
    const { queue, job: id } = task
    return (await this.#backend.work('put', this.#clock.now(), { queue, id, field }, json)) === 1
  }

  // Asking.

  async find(id: string): Promise<BullTask | undefined> {
    const asked = this.#asking(this.#backend.verbs('read', this.#clock.now(), { ids: [jobOf(id)] }))
    const [row] = (await asked) as (Row | null)[]
    return row === null || row === undefined ? undefined : this.#task(row)
  }

  async list({ states, names, tags, limit, cursor }: ListQuery): Promise<ListPage> {
    let before = cursor === undefined ? Number.MAX_SAFE_INTEGER : fromCursor(cursor)
    const hits: [number, string, string][] = []
    while (before > 1 && hits.length <= limit) {
      const found = (await this.#backend.verbs('list', this.#clock.now(), {
        states,
        tags,
        queues: names?.filter((name) => !LONE_SURROGATE.test(name)).map((name) => this.#queue(name)),
        limit: limit + 1 - hits.length,
        before,
      })) as unknown[]
      const reached = found.pop() as number
      const here = (found as [number, string, string][]).filter(([seq]) => seq >= reached)
      hits.push(...here.sort((a, b) => b[0] - a[0]).slice(0, limit + 1 - hits.length))
      before = hits.length > limit ? 0 : reached
    }
    const page = hits.slice(0, limit)
    const tasks = await this.#read(page.map(([, queue, job]) => [queue, job]))
    const last = page.at(-1)
    return { tasks: tasks.map(toRecord), ...(hits.length > limit && last !== undefined && { next: toCursor(last[0]) }) }
  }

  async #read(jobs: readonly (readonly [string, string])[]): Promise<BullTask[]> {
    if (jobs.length === 0) return []
    const rows = (await this.#backend.verbs('read', this.#clock.now(), { jobs })) as (Row | null)[]
    return rows.filter((row) => row !== null).map((row) => this.#task(row))
  }

  async counts(): Promise<TaskCounts> {
    // What was asked before is done before: it goes in several steps, and over several connections.
    while (this.#asked.size > 0) {
      await Promise.allSettled(this.#asked)
      await new Promise<void>(nextTurn)
    }
    const sums = (await this.#backend.verbs('counts', this.#clock.now(), {})) as number[]
    const [queued = 0, scheduled = 0, running = 0, succeeded = 0, failed = 0, cancelled = 0] = sums
    // Others have brought work: whoever waits for its end has to be told of that.
    if (this.#idle && queued + scheduled + running > 0) nextTurn(() => this.#host.changed([]))
    return { queued, scheduled, running, succeeded, failed, cancelled }
  }

  // Steering.

  async cancel(id: string, request: CancelRequest, now: number): Promise<Cancelled> {
    return this.#step(id, now, (task) => {
      const effect = life.cancel(task, request, now)
      return [effect === 'asked' ? { op: 'mark' } : { op: 'cancel' }, { effect }]
    }).then(({ task, effect }) => {
      const running = this.#running.get(task.job)
      if (running !== undefined) {
        running.cancel = cancelText(task)
        Object.assign(extrasOf(running), JSON.parse(running.cancel) as TaskExtras)
      }
      return { record: toRecord(task), effect }
    })
  }

  async retry(id: string, runAt: number, now: number): Promise<TaskRecord> {
    const { task } = await this.#step(id, now, (draft) => {
      life.retry(draft, runAt, now)
      return [{ op: 'retry', runAt, after: draft.extras?.after?.map(jobOf) }, {}]
    })
    this.#brought++
    return toRecord(task)
  }

  async setPriority(id: string, priority: number): Promise<TaskRecord> {
    const { task } = await this.#step(id, this.#clock.now(), (draft) => {
      life.reprioritise(draft, priority)
      return [{ op: 'priority', priority: bullPriority(priority) }, {}]
    })
    return toRecord(task)
  }

  async remove(id: string): Promise<boolean> {
    try {
      await this.#step(id, this.#clock.now(), (task) => {
        life.checkRemovable(task)
        return [{ op: 'remove' }, {}]
      })
      return true
    } catch (error) {
      if (error instanceof TaskNotFoundError) return false
      throw error
    }
  }

  /** One step of a task's life, by a verb: tried on what was read, written if it is still so. */
  #step<More extends object>(
    id: string,
    now: number,
    take: (task: BullTask) => [object, More],
  ): Promise<{ readonly task: BullTask } & More> {
    return this.#asking(this.#tryStep(id, now, take))
  }

  async #tryStep<More extends object>(
    id: string,
    now: number,
    take: (task: BullTask) => [object, More],
  ): Promise<{ readonly task: BullTask } & More> {
    for (;;) {
      const task = await this.find(id)
      if (task === undefined) throw new TaskNotFoundError(id)
      const { state, attempt, queue, job } = task
      const was = { now: task.now, cancel: task.cancel }
      const [operation, more] = take(task)
      const written = (await this.#backend.verbs(
        'amend',
        now,
        { ...operation, queue, id: job, state, attempt },
        was.now,
        was.cancel,
        nowText(task),
        cancelText(task),
      )) as [number] | null
      if (written === null) continue // it has moved on meanwhile
      if (written[0] === 1) void this.#tell()
      return { task, ...more }
    }
  }

  async holds(): Promise<readonly Hold[]> {
    const all = (await this.#backend.verbs('holds', this.#clock.now(), {})) as [string, string, string][]
    return all.map(([name, until, error]) => ({
      name,
      until: Number(until),
      error: JSON.parse(error) as SerializedError,
    }))
  }

  async pause(paused: boolean): Promise<void> {
    await this.#backend.verbs('pause', this.#clock.now(), { paused })
  }

  async explain({ queue, job, state }: BullTask): Promise<Reason[]> {
    const [paused, parents, hold, workers, ahead] = (await this.#backend.verbs('explain', this.#clock.now(), {
      queue,
      id: job,
    })) as [number, string[], [string, string] | null, number, number]
    const reasons: Reason[] = paused === 1 ? [{ type: 'paused' }] : []
    if (parents.length > 0) reasons.push({ type: 'after', tasks: parents.slice(0, MOST_IDS) })
    if (hold !== null) reasons.push({ type: 'held', until: Number(hold[0]), error: JSON.parse(hold[1]) })
    if (workers === 0) reasons.push({ type: 'worker' })
    if (parents.length > 0 || state === 'scheduled') return reasons
    if (ahead > 0) reasons.push({ type: 'ahead', count: Math.min(ahead, MOST_AHEAD) })
    return reasons
  }

  // Schedules.

  async #scheduleTexts(): Promise<Record<string, string>> {
    const texts = (await this.#asking(this.#backend.verbs('schedules', this.#clock.now(), {}))) as string[]
    return Object.fromEntries(texts.map((text) => [(JSON.parse(text) as ScheduleRecord).id, text]))
  }

  async putSchedule(schedule: ScheduleRecord): Promise<void> {
    for (;;) {
      const was = (await this.#scheduleTexts())[schedule.id] ?? ''
      const old = was === '' ? undefined : (JSON.parse(was) as ScheduleRecord)
      if (old !== undefined && specText(old) === specText(schedule)) return
      const kept = old?.last === undefined ? {} : { last: old.last, lastTask: old.lastTask }
      if (await this.#swap('schedules', schedule.id, was, JSON.stringify({ ...schedule, ...kept }))) return
    }
  }

  async removeSchedule(id: string): Promise<boolean> {
    for (;;) {
      const was = (await this.#scheduleTexts())[id] ?? ''
      if (was === '') return false
      if (await this.#swap('schedules', id, was, '')) return true
    }
  }

  async #swap(key: string, field: string, was: string, becomes: string): Promise<boolean> {
    return (await this.#backend.verbs('swap', this.#clock.now(), { key, field }, was, becomes)) === 1
  }

  async schedules(): Promise<readonly ScheduleRecord[]> {
    const all = Object.values(await this.#scheduleTexts()).map((text) => JSON.parse(text) as ScheduleRecord)
    return all.sort((a, b) => (a.id < b.id ? -1 : 1))
  }

  async fireSchedule(
    schedule: ScheduleRecord,
    following: number,
    task: NewTask | undefined,
    now: number,
  ): Promise<readonly Inserted<BullTask>[] | undefined> {
    const { id, next } = schedule
    const was = (await this.#scheduleTexts())[id]
    const is = was === undefined ? undefined : (JSON.parse(was) as ScheduleRecord)
    if (was === undefined || is === undefined || is.next !== next || specText(is) !== specText(schedule))
      return undefined
    const fired = task === undefined ? {} : { last: next, lastTask: task.id }
    const becomes = JSON.stringify({ ...is, ...fired, next: following })
    return this.#asking(this.#insert(task === undefined ? [] : [task], now, { id, was, becomes }))
  }

  // Keeping house.

  async prune({ succeeded, failed, cancelled, count }: RetentionPolicy, now: number): Promise<Pruned> {
    const gone = (await this.#backend.work('prune', now, {
      succeeded: now - succeeded,
      failed: Math.floor(now - failed),
      cancelled: now - cancelled,
      count,
      most: STEP,
    })) as string[]
    return { ids: gone.map(idOf), more: gone.length > 0 }
  }

  async outlook(now: number): Promise<Outlook> {
    const queues = this.#names.map((name) => this.#queue(name))
    const brought = this.#brought
    const [ready, next, busy, more, telling] = (await this.#backend.work('outlook', now, { queues })) as [
      number,
      number | '',
      number,
      number,
      number,
    ]
    this.#idle = busy === 0
    if (busy === 3 || this.#running.size > 0) this.#beats()
    if (telling > 0) void this.#tell()
    const isDeclined = this.#declinedUntil > now
    if (ready === 0) this.#lookOut()
    else if (this.#marker !== undefined)
      nextTurn(() =>
        nextTurn(() => {
          if (this.#marker !== undefined) this.#passOn(this.#marker)
        }),
      )
    return {
      ready: isDeclined ? 0 : ready,
      nextDue: isDeclined
        ? Math.min(this.#declinedUntil, next === '' ? Number.POSITIVE_INFINITY : next)
        : next === ''
          ? undefined
          : next,
      idle: this.#idle && telling === 0 && !this.#telling && brought === this.#brought,
      more: more === 1,
    }
  }

  /** Who comes after tasks that have ended: in steps, so that Redis is free in between. */
  async #tell(): Promise<void> {
    if (this.#telling) return
    this.#telling = true
    try {
      for (let left = 1; left > 0; ) {
        const [cancelled, freed, more] = (await this.#backend.work('tell', this.#clock.now(), { most: STEP })) as [
          string[],
          number,
          number,
        ]
        await this.#tellEnded(cancelled)
        if (freed > 0) this.#host.changed([])
        left = more
      }
    } catch (error) {
      if (!this.#closing) this.#host.fault(error)
    } finally {
      this.#telling = false
      this.#host.changed([])
    }
  }

  /** They were cancelled with what they came after. */
  async #tellEnded(cancelled: readonly string[]): Promise<void> {
    const jobs = cancelled.map((each) => each.split(' ') as [string, string])
    for (const task of await this.#read(jobs)) this.#host.recovered('cancelled', toRecord(task))
  }

  // What others do.

  #heard(channel: string, message: string): void {
    if (this.#closing) return
    const [from, ...words] = message.split(' ')
    const [word] = words
    if (channel.startsWith('w:')) return this.#stopAsked(word as string)
    if (from === this.#me) return
    if (channel === 'changed') this.#host.changed(words.map(idOf))
    else if (word === 'schedules') this.#host.rescheduled?.()
    else this.#host.changed([])
  }

  /** One that runs here was asked to stop, elsewhere. */
  #stopAsked(job: string): void {
    const task = this.#running.get(job)
    if (task !== undefined) void this.#guard(() => this.#renew([task]))
    else {
      this.#early.add(job)
      after(this.#clock, AGAIN, () => this.#early.delete(job), 'background')
    }
  }

  /** Tells of what other processes did, while somebody wants to know. */
  watched(on: boolean): void {
    if (this.#looksAtFeed === on || this.#closing) return
    this.#looksAtFeed = on
    this.#listen()
  }

  /** Once the connection is there. */
  #listen(): void {
    if (!this.#isOpen) return
    const on = this.#looksAtFeed
    this.#net?.cancel()
    if (on) this.#castNet()
    const done = on ? this.#backend.listen('changed') : this.#backend.unlisten('changed')
    done.then(
      () => {
        if (on && !this.#closing) this.#host.changed('any')
      },
      (error) => {
        if (!this.#closing) this.#host.fault(error)
      },
    )
  }

  #castNet(): void {
    this.#net = after(
      systemClock,
      NET,
      () => {
        this.#host.changed('any')
        this.#castNet()
      },
      'background',
    )
  }

  /**
   * Waits for new work: for the marker that BullMQ sets where there is any, and that one of all who wait gets. Of names of
   * which no other attempt may start here it is left to others.
   */
  #lookOut(): void {
    if (this.#closing || !this.#works) return
    const queues = this.#openQueues()
    if (this.#waiting !== undefined) {
      const { queues: awaited, end } = this.#waiting
      if (queues.some((queue) => !awaited.has(queue))) end.abort()
      return
    }
    if (queues.length === 0) return
    const end = new AbortController()
    this.#waiting = { queues: new Set(queues), end }
    this.#backend.waitForWork(queues, end.signal).then(
      (queue) => {
        this.#waiting = undefined
        if (this.#closing) return
        if (queue !== undefined && !this.#openQueues().includes(queue)) {
          this.#passOn(queue)
          return this.#lookOut()
        }
        this.#marker = queue
        this.#host.changed([])
        if (queue === undefined) this.#lookOut()
      },
      (error) => {
        this.#waiting = undefined
        if (!this.#closing) this.#host.fault(error)
      },
    )
  }

  #openQueues(): string[] {
    return (this.#admission?.open ?? this.#names).map((name) => this.#queue(name))
  }

  /** While anything runs, here or elsewhere, it is kept, or looked after, three times a lease. */
  #beats(): void {
    if (this.#beat !== undefined || this.#closing || !this.#works) return
    this.#beat = after(
      this.#clock,
      Math.ceil(this.#settings.lease / 3),
      () => {
        this.#beat = undefined
        this.#keep()
        this.#guard(() => this.#bury())
        this.#host.changed([]) // which goes on with it, if anything still runs
      },
      'background',
    )
  }

  /** Keeps the locks of what runs here. Redis does not answer for a whole lease: they are not held any more. */
  #keep(): void {
    const { lease } = this.#settings
    if (this.#keeping !== undefined) {
      const { tasks, since } = this.#keeping
      if (this.#clock.monotonic() - since >= lease)
        this.#lose(tasks.filter((task) => this.#running.get(task.job) === task))
    } else if (this.#running.size > 0) {
      this.#keeping = { tasks: [...this.#running.values()], since: this.#clock.monotonic() }
      this.#guard(() => this.#renew(this.#keeping?.tasks ?? [])).finally(() => {
        this.#keeping = undefined
      })
    }
  }

  /** There is work, and no slot for it here: somebody else may have one. */
  #passOn(marker: string): void {
    if (this.#closing) return
    if (this.#marker === marker) this.#marker = undefined
    this.#guard(() => this.#backend.passOn(marker))
  }

  async #renew(tasks: readonly BullTask[]): Promise<void> {
    const jobs = tasks.map(({ queue, job }) => [queue, job])
    const answers = (await this.#backend.work('renew', this.#clock.now(), { jobs, lock: this.#settings.lease })) as [
      number,
      string,
    ][]
    for (const [i, [held, cancel]] of answers.entries()) {
      const task = tasks[i] as BullTask
      if (this.#running.get(task.job) !== task) continue
      if (held === 0) this.#lose([task])
      else if (cancel !== '' && cancel !== task.cancel) {
        task.cancel = cancel
        const asked = JSON.parse(cancel) as TaskExtras
        Object.assign(extrasOf(task), asked)
        const { cancelReason: reason, cancelForce: force } = asked
        this.#host.cancelled(task, { ...(reason !== undefined && { reason }), ...(force && { force }) })
      }
    }
  }

  /** Another worker has them by now, or may have. */
  #lose(tasks: readonly BullTask[]): void {
    if (tasks.length === 0) return
    for (const { job } of tasks) this.#running.delete(job)
    this.#host.lost(tasks)
  }

  /** Puts back what workers that are gone were running. */
  async #bury(): Promise<void> {
    const now = this.#clock.now()
    const jobs = (await this.#backend.work('bury', now, { interval: Math.ceil(this.#settings.lease / 5) })) as [
      string,
      string,
    ][]
    for (const task of await this.#read(jobs)) {
      const end = endOf(task)
      if (end === undefined) this.#host.recovered('stalled', toRecord(task))
      else await this.#endDead(task, end, now)
    }
  }

  async #endDead(task: BullTask, end: 'failed' | 'cancelled', now: number): Promise<void> {
    const { queue, job, state, attempt } = task
    const written = (await this.#backend.work(
      'amend',
      now,
      { op: end === 'failed' ? 'fail' : 'cancel', reason: task.error?.message, queue, id: job, state, attempt },
      task.now,
      task.cancel,
      nowText(task),
      cancelText(task),
    )) as [number] | null
    if (written === null) return // somebody has claimed it, and does so
    if (written[0] === 1) void this.#tell()
    this.#host.recovered(end, toRecord({ ...task, state: end, finishedAt: now }))
  }

  async #guard(work: () => Promise<unknown>): Promise<void> {
    try {
      await work()
    } catch (error) {
      if (!this.#closing) this.#host.fault(error)
    }
  }

  async close(abandoned: readonly BullTask[]): Promise<void> {
    this.#closing = true
    this.#beat?.cancel()
    this.#net?.cancel()
    if (abandoned.length > 0) {
      const jobs = abandoned.map(({ queue, job }) => [queue, job])
      let alarm: Alarm | undefined
      const late = new Promise<void>((resolve) => {
        alarm = after(this.#clock, AGAIN, resolve)
      })
      const told = this.#backend.verbs('leave', this.#clock.now(), { jobs }).catch(() => {}) // a death will be counted
      await Promise.race([told, late])
      alarm?.cancel()
    }
    this.#backend.close()
  }
}

function claimArguments({ lock, queues }: Claiming): (string | number)[] {
  return [lock, ...queues]
}

function holdOf(name: string, outcome: Outcome): Hold {
  return { name, until: outcome.hold as number, error: reasonOf(outcome) }
}
