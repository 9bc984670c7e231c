/**
 * The local engine: a store for the backlog, p-queue for the slots.
 *
 * p-queue holds tickets, not tasks. A ticket that gets a slot takes the best due task from the store, runs it, and goes
 * on taking while there are any. So priority, delay and cancel need no surgery in p-queue, p-queue never holds more than
 * about `concurrency` entries, and a claim never exceeds the free slots. A slot is held until the handler has really
 * settled: p-queue's own `timeout` and `signal` would free it while the function still runs, and are never used.
 */
import { AsyncResource } from 'node:async_hooks'
import PQueue from 'p-queue'
import { type Alarm, after, at, type Clock, KeepAlive, nextTurn, systemClock, Turn } from '../clock.js'
import type {
  CancelRequest,
  Capabilities,
  Engine,
  EngineHost,
  Enqueued,
  ListPage,
  ListQuery,
  MaybePromise,
  NewTask,
  StopReport,
  StopRequest,
  TaskCounts,
  TaskEvent,
} from '../engine.js'
import { EngineError, InvalidStateError, TaskNotFoundError } from '../errors.js'
import { type Explanation, MOST_IDS, type Reason } from '../explanation.js'
import { copyJson, type Json } from '../json.js'
import { isLimited } from '../limits.js'
import { extrasOf, type Hold, type StoredTask, type TaskRecord, toRecord } from '../record.js'
import type { ScheduleRecord } from '../schedule.js'
import { andThen } from '../thenable.js'
import { NameLimits } from './admission.js'
import { Run, type RunHost, Runs } from './runs.js'
import type { Cancelled, Inserted, Outlook, SettledWithHold, Store, StoreHost } from './store.js'

/** How long a drain may hold the event loop, ms; with the task that ends the turn it stays below 10. */
const TURN_BUDGET = 5
/** At most this many tickets begin in one turn of the event loop. */
const TICKETS_A_TURN = 100
/** While tasks end, what is over the retention goes after this many ms. */
const PRUNE_DELAY = 1_000
/** After a fault of the store, work is tried again after this many ms. */
const FAULT_DELAY = 1_000
/** How long the last count, of what waits as the engine stops, may take: ms of real time, for what does not answer is a real machine. */
const LAST_COUNT = 1_000

/** An engine over a store: what `memory()` is made of, and any other store can be. */
export function localEngine<Task extends StoredTask>(store: Store<Task>): Engine {
  return new LocalEngine(store)
}

class LocalEngine<Task extends StoredTask> implements Engine, RunHost<Task> {
  readonly name: string
  readonly capabilities: Capabilities
  readonly #store: Store<Task>
  readonly #queue: PQueue = new PQueue()
  readonly #turn: Turn = new Turn(TURN_BUDGET)
  readonly #runs: Runs<Task> = new Runs()
  readonly #watchers: Set<(ids: readonly string[]) => void> = new Set()
  /** Handlers run in the context of the runner's maker, not of whoever happened to wake the engine. */
  readonly #scope: AsyncResource = new AsyncResource('BackgroundRunner')
  #host!: EngineHost
  #clock!: Clock
  #admission!: NameLimits
  #keepAlive!: KeepAlive
  /** Whether tickets may take tasks. */
  #working = false
  #looking = false
  #busy = false
  #alarm: Alarm | undefined
  #alarmAt = Number.POSITIVE_INFINITY
  #pruneAlarm: Alarm | undefined
  /** From the opening of the store to the end of `stop`. */
  #open = false
  /** The store can be used no more. */
  #lost = false
  /** What was told of the store's faults since it was last tried anew. */
  readonly #told: Set<string> = new Set()
  #claims = 0
  #completed = 0
  /** Ids of tasks that shutdown handed back. */
  readonly #returned: Set<string> = new Set()

  constructor(store: Store<Task>) {
    this.#store = store
    this.name = store.name
    this.capabilities = store.capabilities
  }

  start(host: EngineHost): MaybePromise<void> {
    const { settings } = host
    if (this.#host !== undefined) throw new InvalidStateError('an engine belongs to one runner: make another one')
    this.#host = host
    this.#clock = settings.clock
    this.#admission = new NameLimits(settings.names)
    this.#keepAlive = new KeepAlive(settings.clock)
    this.#queue.concurrency = settings.concurrency
    this.#working = settings.work
    const { clock, random, maxPending, work, names, limits, resources } = settings
    const opening = this.#store.open({
      clock,
      random,
      maxPending,
      work,
      names: [...names.keys()],
      limits,
      resources,
      host: this.#storeHost(),
    })
    return andThen(opening, () => {
      this.#open = true
      this.#look()
    })
  }

  /** What other processes did to a store that is shared. */
  #storeHost(): StoreHost<Task> {
    return {
      changed: (ids) => {
        if (ids === 'any') this.#tellAll([])
        else this.#tellWatchers(ids)
        this.#look()
      },
      rescheduled: () => this.#host.rescheduled?.(),
      cancelled: (task, { reason, force = false }) =>
        this.#runs.stop({ type: 'cancel', reason, force }, (each) => each === task),
      lost: (tasks) => this.#runs.stop({ type: 'lost' }, (each) => tasks.includes(each)),
      recovered: (event, record) => {
        if (event !== 'stalled') this.#ended()
        this.#host.changed(event, record)
        this.#tellWatchers([record.id])
        this.#look()
      },
      fault: (error, forGood) => this.#fault(error, forGood),
    }
  }

  enqueue(tasks: readonly NewTask[]): MaybePromise<readonly Enqueued[]> {
    const inserted = this.#store.insert(tasks, this.#clock.now())
    return inserted instanceof Promise ? inserted.then((all) => this.#inserted(all)) : this.#inserted(inserted)
  }

  #inserted(inserted: readonly Inserted<Task>[]): readonly Inserted<Task>[] {
    for (const { task, deduplicated } of inserted) {
      if (deduplicated) continue
      this.#setBusy(true)
      this.announce('submitted', task)
      this.#look()
    }
    return inserted
  }

  get(id: string): MaybePromise<TaskRecord | undefined> {
    return andThen(this.#store.find(id), (task) => task && toRecord(task))
  }

  list(query: ListQuery): MaybePromise<ListPage> {
    return this.#store.list(query)
  }

  counts(): MaybePromise<TaskCounts> {
    return this.#store.counts()
  }

  cancel(id: string, request: CancelRequest): MaybePromise<TaskRecord> {
    return andThen(this.#store.cancel(id, request, this.#clock.now()), (cancelled) =>
      this.#cancelled(cancelled, request),
    )
  }

  #cancelled({ record, effect }: Cancelled, { reason, force = false }: CancelRequest): TaskRecord {
    if (effect === 'asked') {
      this.#runs.stop({ type: 'cancel', reason, force }, ({ id }) => id === record.id)
    } else {
      this.#returned.delete(record.id)
      this.#ended()
      this.#host.changed('cancelled', copyJson(record))
      this.#look()
    }
    this.#tellWatchers([record.id])
    return record
  }

  retry(id: string, { delay }: { readonly delay: number }): MaybePromise<TaskRecord> {
    const now = this.#clock.now()
    return andThen(this.#store.retry(id, now + delay, now), (record) => {
      this.#setBusy(true)
      this.#host.changed('retrying', copyJson(record))
      this.#tellWatchers([id])
      this.#look()
      return record
    })
  }

  setPriority(id: string, priority: number): MaybePromise<TaskRecord> {
    return andThen(this.#store.setPriority(id, priority), (record) => {
      this.#tellWatchers([id])
      this.#look() // it may have kept others waiting
      return record
    })
  }

  remove(id: string): MaybePromise<boolean> {
    return andThen(this.#store.remove(id), (removed) => {
      if (removed) this.#tellWatchers([id])
      return removed
    })
  }

  holds(): MaybePromise<readonly Hold[]> {
    return andThen(this.#store.holds(), copyJson)
  }

  putSchedule(schedule: ScheduleRecord): MaybePromise<void> {
    return this.#store.putSchedule?.(schedule)
  }

  removeSchedule(id: string): MaybePromise<boolean> {
    return this.#store.removeSchedule?.(id) ?? false
  }

  schedules(): MaybePromise<readonly ScheduleRecord[]> {
    return andThen(this.#store.schedules?.() ?? [], copyJson)
  }

  fireSchedule(schedule: ScheduleRecord, following: number, task: NewTask | undefined): MaybePromise<boolean> {
    return andThen(this.#store.fireSchedule?.(schedule, following, task, this.#clock.now()), (inserted) => {
      if (inserted === undefined) return false
      this.#inserted(inserted)
      return true
    })
  }

  explain(id: string): MaybePromise<Explanation> {
    return andThen(this.#store.find(id), (task) => {
      if (task === undefined) throw new TaskNotFoundError(id)
      const { name, state, runAt } = task
      if (state !== 'queued' && state !== 'scheduled') return { id, name, state, reasons: [] }
      const known = this.#store.explain?.(task, this.#admission.open, this.#runs.tasks, this.#clock.now())
      return andThen(known, (reasons = []) => {
        if (state === 'queued') return { id, name, state, reasons: [...reasons, ...this.#reasonsHere(task)] }
        // What else would keep it now is not what will when its time has come, but for what it comes after.
        const after = reasons.filter(({ type }) => type === 'after')
        return { id, name, state, reasons: [{ type: 'scheduled', until: runAt }, ...after] }
      })
    })
  }

  /** What of this process keeps a task, if it may run here. */
  #reasonsHere({ name }: Task): Reason[] {
    const { concurrency } = this.#queue
    const max = this.#host.settings.names.get(name)
    if (max === undefined || !this.#working) return this.capabilities.shared ? [] : [{ type: 'worker' }]
    const reasons: Reason[] = []
    const running = this.#runs.tasks
    const idsOf = (tasks: readonly Task[]): string[] => tasks.slice(0, MOST_IDS).map(({ id }) => id)
    const ofName = running.filter((each) => each.name === name)
    if (ofName.length >= max) reasons.push({ type: 'concurrency', max, by: idsOf(ofName) })
    if (running.length >= concurrency) reasons.push({ type: 'slots', max: concurrency, by: idsOf(running) })
    return reasons
  }

  pause(paused: boolean): MaybePromise<void> {
    return andThen(this.#store.pause(paused), () => {
      if (!paused) this.#look()
    })
  }

  watch(listener: (ids: readonly string[]) => void): () => void {
    if (this.#watchers.size === 0) this.#store.watched?.(true)
    this.#watchers.add(listener)
    return () => {
      if (this.#watchers.delete(listener) && this.#watchers.size === 0) this.#store.watched?.(false)
    }
  }

  setConcurrency(concurrency: number): void {
    this.#queue.concurrency = concurrency
    this.#look()
  }

  // The work.

  /** Looks on the next turn what there is to do: how many tickets are worth a slot, and when to look again. */
  #look(): void {
    if (this.#looking || !this.#open || this.#lost) return
    this.#looking = true
    nextTurn(() => this.#scope.runInAsyncScope(this.#lookNow))
  }

  #lookNow: () => void = () => {
    this.#looking = false
    if (!this.#open) return
    const now = this.#clock.now()
    void this.#guard(() => andThen(this.#store.outlook(now), (outlook) => this.#act(outlook, now)))
  }

  /** @param then epoch ms at which the store was asked */
  #act({ ready, nextDue, idle, more }: Outlook, then: number): void {
    this.#setBusy(!idle)
    if (more || this.#clock.now() < then) this.#look() // the clock was set back: another time may be next
    if (!this.#working) return
    this.#issueTickets(ready)
    this.#wakeAt(nextDue)
  }

  #issueTickets(ready: number): void {
    const free = this.#queue.concurrency - this.#queue.pending - this.#queue.size
    const wanted = Math.min(free, ready)
    for (let n = Math.min(wanted, TICKETS_A_TURN); n > 0; n--) {
      void this.#queue.add(() => this.#guard(() => this.#work()))
    }
    if (wanted > TICKETS_A_TURN) this.#look()
  }

  #wakeAt(time: number | undefined): void {
    if (this.#alarm !== undefined && time === this.#alarmAt) return
    this.#alarm?.cancel()
    this.#alarm = undefined
    if (time === undefined) return
    this.#alarmAt = time
    this.#alarm = at(this.#clock, time, () => {
      this.#alarm = undefined
      this.#look()
    })
  }

  /** A ticket: takes the best task that is due, runs it, and goes on while there are any. */
  async #work(): Promise<void> {
    let claimed = this.#claim(this.#clock.now())
    for (;;) {
      const later = claimed instanceof Promise
      const task = claimed instanceof Promise ? await claimed : claimed
      if (task === undefined) break
      // A store that answers later answers many claims at one moment: the event loop is free in between.
      for (let spent = later && this.#turn.spent(this.#clock.now()); spent; ) {
        await spent
        spent = this.#turn.spent(this.#clock.now())
      }
      if (!this.#open) break
      this.#claims++
      const run = new Run(this, task)
      run.attempt = this.#host.attempt(task, run)
      this.#runs.add(run)
      this.announce('started', task)
      // It may have taken the last place of its key, and what that key's next task kept for itself is free.
      if (isLimited(task.extras)) this.#look()
      const outcome = await run.attempt.run()
      if (run.telling !== undefined) await run.telling
      // However many settle at one moment, and however many wait here: the event loop is free in between.
      let now = this.#clock.now()
      for (let spent = this.#turn.spent(now); spent !== undefined; spent = this.#turn.spent(now)) {
        await spent
        now = this.#clock.now()
      }
      if (!this.#open) return // it was abandoned: what it brings is too late
      const settled = this.#store.settle(task, outcome, now)
      this.#admission.give(task.name)
      if (settled instanceof Promise) {
        // Asked for together, so that both are done at once: what is done first is asked for first.
        claimed = this.#claim(now)
        if (claimed instanceof Promise) claimed.catch(() => {})
        this.#settled(run, await settled)
      } else {
        this.#settled(run, settled)
        claimed = this.#claim(now)
      }
    }
    // Perhaps nothing is left at all; or the limit was lowered, and more tickets have stopped than had to.
    if (this.#runs.size === 0 || this.#queue.pending > this.#queue.concurrency) this.#look()
  }

  /** The next task for a ticket that has a slot. */
  #claim(now: number): MaybePromise<Task | undefined> {
    if (!this.#working || this.#queue.pending > this.#queue.concurrency) return undefined
    return this.#store.claim(this.#admission, now)
  }

  #settled(run: Run<Task>, settled: TaskEvent | SettledWithHold | undefined): void {
    const { task } = run
    const event = typeof settled === 'object' ? settled.event : settled
    this.#runs.remove(run)
    if (isLimited(task.extras)) this.#look() // it may have kept more than one waiting
    if (event === 'retrying') {
      if (task.state === 'queued') this.#returned.add(task.id)
      this.#look()
    } else if (event !== undefined) this.#ended()
    this.announce(event ?? 'stalled', task)
    if (typeof settled !== 'object') return
    this.#host.hold(task.name, copyJson(settled.hold))
    this.#look() // other slots may begin, or wait until another time
  }

  #ended(): void {
    this.#completed++
    this.#pruneAlarm ??= after(this.#clock, PRUNE_DELAY, this.#prune, 'background')
  }

  #prune: () => void = () => {
    this.#pruneAlarm = undefined
    if (!this.#open) return
    void this.#guard(() =>
      andThen(this.#store.prune(this.#host.settings.retention, this.#clock.now()), ({ ids, more }) => {
        this.#tellWatchers(ids)
        if (more) nextTurn(this.#prune)
      }),
    )
  }

  #setBusy(busy: boolean): void {
    if (!this.#open) return
    // What is shared may bring work at any time; what is not cannot, once nothing is left.
    this.#keepAlive.set(this.#working && (busy || this.capabilities.shared))
    const ended = this.#busy && !busy
    this.#busy = busy // before it is told: a listener may bring new work
    if (ended) this.#host.idle()
  }

  /** Runs what nobody waits for. */
  async #guard(work: () => MaybePromise<void>): Promise<void> {
    try {
      await work()
    } catch (error) {
      if (this.#open) this.#fault(error)
    }
  }

  /** A fault befalls every ticket: it is told once, and the work is looked at again a little later. */
  #fault(error: unknown, forGood = false): void {
    if (this.#lost || (forGood && !this.#open)) return // `start` rejects with it
    this.#lost = forGood
    const said = String(error)
    if (this.#told.has(said) && !forGood) return
    if (this.#told.size === 0) after(this.#clock, FAULT_DELAY, this.#tryAnew, 'background')
    this.#told.add(said)
    this.#host.fault(error, forGood)
  }

  #tryAnew: () => void = () => {
    this.#told.clear()
    this.#look()
  }

  // What a run writes.

  /** Resolves when it is stored and told; never rejects. */
  progress(task: Task, value: Json): Promise<void> {
    return this.#guard(() =>
      andThen(this.#store.progress(task, value), () => {
        extrasOf(task).progress = value // several may have been stored at once: each is told with its own
        this.announce('progress', task)
      }),
    )
  }

  called(task: Task): void {
    void this.#guard(() => andThen(this.#store.called?.(task, this.#clock.now()), () => this.#look()))
  }

  save(task: Task, value: Json): MaybePromise<void> {
    return this.#store.save(task, value)
  }

  announce(event: TaskEvent, task: Task): void {
    if (this.#host.hears(event)) this.#host.changed(event, toRecord(task))
    if (this.#watchers.size > 0) this.#tellWatchers([task.id])
  }

  #tellWatchers(ids: readonly string[]): void {
    if (ids.length > 0) this.#tellAll(ids)
  }

  #tellAll(ids: readonly string[]): void {
    for (const listener of [...this.#watchers]) if (this.#watchers.has(listener)) listener(ids)
  }

  // The end.

  async stop({ drain, deadline, giveUp }: StopRequest): Promise<StopReport> {
    this.#completed = 0
    if (drain && this.#working) await this.#drain(deadline)
    this.#working = false
    await this.#quiet(deadline)
    this.#runs.stop({ type: 'shutdown' })
    await this.#quiet(giveUp)
    this.#open = false
    this.#alarm?.cancel()
    this.#pruneAlarm?.cancel()
    this.#keepAlive.set(false)
    this.#runs.stop({ type: 'abandon' })
    const waiting = await this.#waiting() // after what was asked before: a cancel that is under way counts
    return {
      completed: this.#completed,
      returned: this.#returned.size,
      abandoned: this.#runs.size,
      pending: Math.max(0, waiting - this.#returned.size),
    }
  }

  /** How many tasks wait; none where the store cannot tell: closing is always possible. */
  async #waiting(): Promise<number> {
    let alarm: Alarm | undefined
    const late = new Promise<never>((_resolve, reject) => {
      alarm = after(systemClock, LAST_COUNT, () => reject(new EngineError('the store does not say what waits')))
    })
    try {
      const { queued, scheduled } = await Promise.race([this.#store.counts(), late])
      return queued + scheduled
    } catch (error) {
      this.#host.fault(error)
      return 0
    } finally {
      alarm?.cancel()
    }
  }

  close(): MaybePromise<void> {
    this.#watchers.clear()
    return this.#store.close(this.#runs.tasks)
  }

  /** Goes on until nothing is due: until a round of tickets has come back with nothing. */
  async #drain(deadline: AbortSignal): Promise<void> {
    for (let claims = -1; claims !== this.#claims && !deadline.aborted; ) {
      claims = this.#claims
      // What cannot be seen cannot be worked off: closing is always possible.
      const looked = this.#guard(() =>
        andThen(this.#store.outlook(this.#clock.now()), ({ ready, more }) => {
          if (more) claims = -1
          this.#issueTickets(ready)
        }),
      )
      await before(deadline, looked)
      await new Promise<void>(nextTurn)
      await this.#quiet(deadline)
    }
  }

  /** Resolves when no ticket is left, or when `signal` aborts. */
  #quiet(signal: AbortSignal): Promise<void> {
    return before(signal, this.#queue.onIdle())
  }
}

/** Resolves when `done` does, or when `signal` aborts. */
async function before(signal: AbortSignal, done: Promise<void>): Promise<void> {
  if (signal.aborted) return
  let stopListening = (): void => {}
  const aborted = new Promise<void>((resolve) => {
    const listener = (): void => resolve()
    signal.addEventListener('abort', listener, { once: true })
    stopListening = () => signal.removeEventListener('abort', listener)
  })
  await Promise.race([done, aborted])
  stopListening()
}
