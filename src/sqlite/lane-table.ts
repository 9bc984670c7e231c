/**
 * Whose turn it is among tasks under limits, in the file: the rules of local/memory-lanes.ts, for all processes together.
 *
 * A row of `lanes` has its first task, when it went last, and the gate that it is parked at. What runs is counted by the
 * rows of the tasks themselves, so that nothing has to be tidied up when a process dies; what a window counts is in calls.ts.
 * That a lane is parked is a hint, which saves looking at it: one that is let out too often is parked again.
 *
 * Everything that writes is called within a group's transaction. What is kept in memory is read again when another
 * connection has written.
 */
import type { EngineSettings } from '../engine.js'
import { MOST_IDS, type Reason } from '../explanation.js'
import { getOrMake } from '../local/get-or-make.js'
import type { TaskExtras } from '../record.js'
import { Calls, type Window } from './calls.js'
import type { Database, Row, Statement, Value } from './driver.js'
import type { Names } from './names.js'
import { Resources } from './resources.js'
import type { SqliteTask } from './rows.js'

/** No more lanes are counted to find out how many tasks may go. */
const ENOUGH = 100
/** So many lanes are parked in one go: more would hold the event loop. */
const STEP = 100

export type LaneSettings = Pick<EngineSettings, 'limits' | 'resources' | 'clock'>

type GateKind = 'slot' | 'rate'
/** As `lanes.parked` has it; 0: it is open. */
const PARKED = { slot: 1, rate: 2 } as const

interface Lane {
  readonly id: number
  readonly name: number
  /** Names of resources, sorted, as JSON. */
  readonly resources: string
  readonly slot: string | null
  readonly rate: string | null
  /** Its first task; undefined: nothing of it waits, and something runs. */
  first: Place | undefined
  turn: number
  parked: number
}

/** Where a task stands in its lane. */
export type Place = Pick<SqliteTask, 'seq' | 'priority' | 'runAt'>

/** What it reads of tasks that wait. */
export interface WaitingTasks {
  read(seq: number): SqliteTask | undefined
  /** The first of a lane that comes after another. */
  next(lane: number, after: Place): Place | undefined
}

export class LaneTable {
  readonly #names: Names
  readonly #limits: EngineSettings['limits']
  readonly #resources: Resources
  readonly #calls: Calls
  readonly #waiting: WaitingTasks
  readonly #sql: (text: string) => Statement
  // What was read since another connection last wrote.
  readonly #lanes: Map<number, Lane> = new Map()
  /** name → resources, slot and rate → lane */
  readonly #byKey: Map<string, Lane> = new Map()
  /** name → its sets of resources. */
  readonly #lines: Map<number, Set<string>> = new Map()
  /** How much of each gate is used. */
  readonly #used: Map<string, number> = new Map()
  readonly #isParked: { slot: boolean | undefined; rate: boolean | undefined } = { slot: undefined, rate: undefined }
  /** The turn that was last, and what the file has of it. */
  #turn = 0
  #storedTurn = 0
  #hasAny: boolean | undefined
  /** Lanes that a gate keeps stand before those that may go: `park` has to go on. */
  unfinished = false

  constructor(database: Database, names: Names, { limits, resources, clock }: LaneSettings, waiting: WaitingTasks) {
    this.#names = names
    this.#limits = limits
    this.#waiting = waiting
    const prepared = new Map<string, Statement>()
    this.#sql = (text) => getOrMake(prepared, text, () => database.prepare(text))
    this.#resources = new Resources(this.#sql, resources)
    this.#calls = new Calls(this.#sql, clock)
  }

  /** A transaction came to nothing. */
  undo(): void {
    this.#calls.undo()
    this.forget()
  }

  /** Another connection has written. */
  forget(): void {
    this.#lanes.clear()
    this.#byKey.clear()
    this.#lines.clear()
    this.#used.clear()
    this.#resources.forget()
    this.#calls.forget()
    this.#hasAny = undefined
    this.#isParked.slot = undefined
    this.#isParked.rate = undefined
  }

  /** @param turn that was last, whosever it was */
  refresh(turn: number): void {
    this.#storedTurn = turn
    this.#turn = Math.max(this.#turn, turn)
  }

  /** Within the group's transaction. */
  beforeCommit(): void {
    if (this.#turn === this.#storedTurn) return
    this.#sql("UPDATE meta SET value = ? WHERE key = 'turn'").run(this.#turn)
    this.#storedTurn = this.#turn
  }

  /** Whether anything waits or runs under limits: false nearly always, and then nobody has to ask any further. */
  get hasAny(): boolean {
    this.#hasAny ??= this.#sql('SELECT 1 FROM lanes LIMIT 1').get() !== undefined
    return this.#hasAny
  }

  /** Limits may have changed since the file was last open: all is looked at again. */
  openAll(): void {
    for (const kind of ['slot', 'rate'] as const)
      this.#sql(`UPDATE lanes INDEXED BY lanes_at_${kind} SET parked = 0 WHERE parked = ${PARKED[kind]}`).run()
    for (const [name, { rate }] of this.#limits) {
      const number = this.#names.number(name)
      if (rate !== undefined && number !== undefined) this.#calls.setInterval(number, rate.interval)
    }
    this.forget()
  }

  // What waits.

  /** Where a task under limits stands; the lane is made if it is not there. */
  join(name: number, limits: Limits): number {
    const { slot = null, rate = null, requires } = limits as { readonly [Each in keyof Limits]: Limits[Each] | null }
    const resources = JSON.stringify(Object.keys(requires ?? {}).sort())
    const key = JSON.stringify([name, slot, rate, resources])
    let lane = this.#byKey.get(key)
    if (lane === undefined) {
      const row = this.#sql(
        'SELECT * FROM lanes INDEXED BY lanes_key WHERE name = ? AND resources = ? AND slot IS ? AND rate IS ?',
      ).get(name, resources, slot, rate)
      lane = row === undefined ? this.#make(name, slot, rate, resources) : this.#keep(row)
      this.#byKey.set(key, lane)
    }
    return lane.id
  }

  #make(name: number, slot: string | null, rate: string | null, resources: string): Lane {
    const id = this.#sql('INSERT INTO lanes (name, slot, rate, resources, turn) VALUES (?, ?, ?, ?, 0)').run(
      name,
      slot,
      rate,
      resources,
    ).inserted
    const lane: Lane = { id, name, slot, rate, resources, first: undefined, turn: 0, parked: 0 }
    this.#lanes.set(id, lane)
    this.#lines.get(name)?.add(resources)
    this.#hasAny = true
    return lane
  }

  #lane(id: number): Lane {
    return this.#laneIfThere(id) as Lane
  }

  /** Outside of a transaction it may have gone since its task was read. */
  #laneIfThere(id: number): Lane | undefined {
    const lane = this.#lanes.get(id)
    if (lane !== undefined) return lane
    const row = this.#sql('SELECT * FROM lanes WHERE id = ?').get(id)
    return row && this.#keep(row)
  }

  /** One and the same object for a row, as long as it is remembered. */
  #keep(row: Row): Lane {
    const id = row['id'] as number
    const known = this.#lanes.get(id)
    if (known !== undefined) return known
    const priority = row['priority'] as number | null
    const lane: Lane = {
      id,
      name: row['name'] as number,
      slot: row['slot'] as string | null,
      rate: row['rate'] as string | null,
      resources: row['resources'] as string,
      first: priority === null ? undefined : { priority, runAt: row['run_at'] as number, seq: row['first'] as number },
      turn: row['turn'] as number,
      parked: row['parked'] as number,
    }
    this.#lanes.set(id, lane)
    return lane
  }

  #write({ id, first, turn, parked }: Lane): void {
    if (parked === PARKED.slot) this.#isParked.slot = true
    if (parked === PARKED.rate) this.#isParked.rate = true
    this.#sql('UPDATE lanes SET priority = ?, run_at = ?, first = ?, turn = ?, parked = ? WHERE id = ?').run(
      first?.priority ?? null,
      first?.runAt ?? null,
      first?.seq ?? null,
      turn,
      parked,
      id,
    )
  }

  /** It waits now; its row is written. */
  came(id: number, { seq, priority, runAt }: Place): void {
    const lane = this.#lane(id)
    const { first } = lane
    if (first !== undefined && !comesBefore({ seq, priority, runAt }, first)) return
    lane.first = { priority, runAt, seq }
    if (first === undefined) lane.turn = this.#turn - 1
    // There may be room already, and another lane of its line be let out for it: the better one goes first.
    const wasOpen = first !== undefined && lane.parked === 0
    lane.parked = this.#gateOf(lane)
    this.#write(lane)
    // It may be the one that was let out for the room of one gate, and another gate keeps it.
    if (wasOpen && lane.parked !== 0) this.#passOn(lane, lane.parked)
  }

  /** It waits there no more, or with another priority; its row will be written. */
  left(id: number, { seq, priority, state }: Pick<SqliteTask, 'seq' | 'priority' | 'state'>): void {
    const lane = this.#lane(id)
    const { first } = lane
    if (first?.seq !== seq || (state === 'queued' && first.priority === priority)) return
    this.#advance(lane)
    if (lane.first === undefined) return this.#emptied(lane)
    this.#write(lane)
    // For the room that there is it was let out, perhaps: another one is better now, perhaps.
    if (lane.parked === 0 && lane.first.priority < first.priority) this.#passOn(lane, 0)
  }

  /** Its next task comes first. */
  #advance(lane: Lane): void {
    lane.first = this.#waiting.next(lane.id, placeOf(lane))
  }

  /** Nothing of it waits any more. */
  #emptied(lane: Lane, isKept: boolean = this.#isKept(lane)): void {
    lane.parked = 0
    if (isKept) this.#write(lane)
    else this.#remove(lane)
    this.#passOn(lane, 0)
  }

  /** A suspect waits there no more; its row is written. */
  dropped(id: number): void {
    const lane = this.#lane(id)
    if (lane.first === undefined && !this.#isKept(lane)) this.#remove(lane)
  }

  /** Something of it runs, or stands apart as a suspect. */
  #isKept(lane: Lane): boolean {
    return (
      this.#sql(
        `SELECT 1 FROM tasks INDEXED BY tasks_lane_kept WHERE lane = ? AND (state = 2 OR (state = 0 AND suspect = 1)) LIMIT 1`,
      ).get(lane.id) !== undefined
    )
  }

  #remove(lane: Lane): void {
    const { id, name, slot, rate, resources } = lane
    this.#sql('DELETE FROM lanes WHERE id = ?').run(id)
    this.#lanes.delete(id)
    this.#byKey.delete(JSON.stringify([name, slot, rate, resources]))
    // It can be read again, and most keys never come again.
    if (slot !== null) this.#used.delete(gateKey(name, 'slot', slot))
    if (rate !== null) this.#used.delete(gateKey(name, 'rate', rate))
  }

  // Gates.

  /** How many more may pass. */
  #room(lane: Lane, kind: GateKind): number {
    const key = lane[kind]
    if (key === null) return Number.POSITIVE_INFINITY
    const limits = this.#limits.get(this.#names.name(lane.name))
    const max = kind === 'slot' ? limits?.slots : limits?.rate?.max
    return max === undefined ? Number.POSITIVE_INFINITY : max - this.#usedOf(lane.name, kind, key)
  }

  #isFull(lane: Lane, kind: GateKind): boolean {
    return this.#room(lane, kind) <= 0
  }

  #usedOf(name: number, kind: GateKind, key: string): number {
    return getOrMake(this.#used, gateKey(name, kind, key), () => {
      if (kind === 'rate') return this.#calls.count({ name, rate: key })
      let sum = 0
      for (const resources of this.#linesOf(name))
        sum += this.#count(
          `SELECT count(*) AS n FROM lanes INDEXED BY lanes_key CROSS JOIN tasks INDEXED BY tasks_lane_kept ON tasks.lane = lanes.id
           WHERE lanes.name = ? AND lanes.resources = ? AND lanes.slot = ? AND tasks.state = 2`,
          name,
          resources,
          key,
        )
      return sum
    })
  }

  #count(text: string, ...values: Value[]): number {
    return this.#sql(text).get(...values)?.['n'] as number
  }

  /** The gate that keeps it, as `parked` has it. */
  #gateOf(lane: Lane): number {
    return this.#isFull(lane, 'slot') ? PARKED.slot : this.#isFull(lane, 'rate') ? PARKED.rate : 0
  }

  #use(name: number, kind: GateKind, key: string | null, by: number): void {
    if (key === null) return
    const at = gateKey(name, kind, key)
    const used = this.#used.get(at)
    if (used !== undefined) this.#used.set(at, used + by)
  }

  /** One more may pass, or `times` more: of each line so many of those that are parked there, the best ones. */
  #free(name: number, kind: GateKind, key: string, times = 1): void {
    this.#use(name, kind, key, -times)
    for (const resources of this.#linesOf(name))
      for (let i = 0; i < times && this.#letOut(name, resources, kind, key); i++);
  }

  /** Says whether there was one. */
  #letOut(name: number, resources: string, kind: GateKind, key: string): boolean {
    if (!this.#anyParked(kind)) return false
    const row = this.#sql(
      `SELECT * FROM lanes INDEXED BY lanes_at_${kind} WHERE parked = ${PARKED[kind]} AND name = ? AND ${kind} = ? AND resources = ?
       ORDER BY priority DESC, turn, run_at, first LIMIT 1`,
    ).get(name, key, resources)
    if (row === undefined) return false
    const lane = this.#keep(row)
    lane.parked = 0
    this.#isParked[kind] = undefined
    this.#write(lane)
    return true
  }

  /** Whether any lane is parked at a gate of this kind. */
  #anyParked(kind: GateKind): boolean {
    this.#isParked[kind] ??=
      this.#sql(`SELECT 1 FROM lanes INDEXED BY lanes_at_${kind} WHERE parked = ${PARKED[kind]} LIMIT 1`).get() !==
      undefined
    return this.#isParked[kind]
  }

  /** Room that it may not use is another's of its line. @param except where it is parked itself */
  #passOn(lane: Lane, except: number): void {
    for (const kind of ['slot', 'rate'] as const) {
      const key = lane[kind]
      if (key !== null && PARKED[kind] !== except && !this.#isFull(lane, kind))
        this.#letOut(lane.name, lane.resources, kind, key)
    }
  }

  #linesOf(name: number): Set<string> {
    return getOrMake(this.#lines, name, () => {
      const lines = new Set<string>()
      for (let last = ''; ; ) {
        const row = this.#sql(
          'SELECT resources FROM lanes INDEXED BY lanes_key WHERE name = ? AND resources > ? ORDER BY resources LIMIT 1',
        ).get(name, last)
        if (row === undefined) return lines
        last = row['resources'] as string
        lines.add(last)
      }
    })
  }

  /** Whether there is what the first task of a lane needs. */
  #fitsAt(lane: Lane): boolean {
    const task = this.#waiting.read(placeOf(lane).seq)
    return task !== undefined && this.#resources.fits(task)
  }

  // Turns.

  /** The task that goes next, of the names that may start one. @param kept for others, of the resources */
  best(names: readonly string[], isKept: (name: string) => boolean, kept: readonly string[]): SqliteTask | undefined {
    return this.#choose(names, isKept, kept, (name, resources) => this.#firstOf(name, resources))
  }

  /** Whether any may go, as `best` would find it; nothing is written. */
  mayGo(names: readonly string[], isKept: (name: string) => boolean, kept: readonly string[]): boolean {
    const first = (name: number, resources: string): Lane | undefined => {
      const lane = this.#open(name, resources)
      if (lane === undefined || this.#gateOf(lane) === 0) return lane
      this.unfinished = true
      return undefined
    }
    return this.#choose(names, isKept, kept, first) !== undefined
  }

  /** @param firstOf the best lane of a line that no gate keeps */
  #choose(
    names: readonly string[],
    isKept: (name: string) => boolean,
    kept: readonly string[],
    firstOf: (name: number, resources: string) => Lane | undefined,
  ): SqliteTask | undefined {
    /** Lines whose first task waits for resources, and what is kept for those. */
    const passed = new Set<string>()
    const reserved = new Set(kept)
    for (;;) {
      let best: Lane | undefined
      for (const name of names) {
        const number = this.#names.number(name)
        if (number === undefined || isKept(name)) continue
        for (const resources of this.#linesOf(number)) {
          if (passed.has(`${number} ${resources}`)) continue
          if (reserved.size > 0 && namesIn(resources).some((each) => reserved.has(each))) continue
          const lane = firstOf(number, resources)
          if (lane !== undefined && (best === undefined || comesBefore(placeOf(lane), placeOf(best)))) best = lane
        }
      }
      if (best === undefined) return undefined
      const task = this.#waiting.read(placeOf(best).seq)
      if (task !== undefined && this.#resources.fits(task)) return task
      passed.add(`${best.name} ${best.resources}`)
      if (task === undefined) continue // it has gone while this was read
      // What needs more than there ever is here waits for a process that has more, and keeps nothing from others.
      if (this.#resources.couldFit(task)) for (const each of namesIn(best.resources)) reserved.add(each)
    }
  }

  /** The best lane of a line that no gate keeps; those that one does are parked there. */
  #firstOf(name: number, resources: string): Lane | undefined {
    for (let parked = 0; parked < STEP; parked++) {
      const lane = this.#open(name, resources)
      if (lane === undefined) return undefined
      lane.parked = this.#gateOf(lane)
      if (lane.parked === 0) return lane
      this.#write(lane)
      this.#passOn(lane, lane.parked)
    }
    this.unfinished = true
    return undefined
  }

  /** Parks what a gate keeps, some of it, if there is any before what may go. */
  park(names: readonly string[]): void {
    this.unfinished = false
    for (const name of names) {
      const number = this.#names.number(name)
      if (number !== undefined) for (const resources of this.#linesOf(number)) this.#firstOf(number, resources)
    }
  }

  /** What keeps a task that waits. */
  explain(task: SqliteTask, names: readonly string[], isKept: (name: string) => boolean, now: number): Reason[] {
    const lane = task.lane === null ? undefined : this.#laneIfThere(task.lane)
    if (lane === undefined) return []
    const { slots, rate } = this.#limits.get(task.name) ?? {}
    const reasons: Reason[] = []
    if (lane.slot !== null && slots !== undefined && this.#isFull(lane, 'slot'))
      reasons.push({ type: 'key', key: lane.slot, max: slots, by: this.#runningOf(lane) })
    if (lane.rate !== null && rate !== undefined && this.#windowIsFull(lane, now)) {
      const until = this.#calls.nextOf(windowOf(lane), now)
      reasons.push({ type: 'rateLimit', key: lane.rate, max: rate.max, ...(until !== undefined && { until }) })
    }
    for (const lacking of this.#resources.lacking(task))
      reasons.push({ type: 'resource', ...lacking, by: this.#holding(lacking.resource) })
    if (reasons.length > 0) return reasons
    return this.#reservation(task, lane, names, isKept, now)
  }

  /** What a task needs that is kept for another one whose turn comes before. */
  #reservation(
    task: SqliteTask,
    own: Lane,
    names: readonly string[],
    isKept: (name: string) => boolean,
    now: number,
  ): Reason[] {
    const reserved = new Map<string, string>()
    const lanes = names
      .flatMap((name) => {
        const number = isKept(name) ? undefined : this.#names.number(name)
        return number === undefined ? [] : [...this.#linesOf(number)].map((resources) => this.#open(number, resources))
      })
      .filter((lane) => lane !== undefined && !this.#isFull(lane, 'slot') && !this.#windowIsFull(lane, now)) as Lane[]
    for (const lane of lanes.sort((a, b) => (comesBefore(placeOf(a), placeOf(b)) ? -1 : 1))) {
      const resources = namesIn(lane.resources)
      const isOpen = !resources.some((each) => reserved.has(each)) && placeOf(lane).seq !== task.seq
      const first = isOpen && resources.length > 0 ? this.#waiting.read(placeOf(lane).seq) : undefined
      if (first !== undefined && !this.#resources.fits(first) && this.#resources.couldFit(first))
        for (const each of resources) reserved.set(each, first.id)
      if (lane.name !== own.name || lane.resources !== own.resources) continue
      const resource = resources.find((each) => reserved.has(each))
      return resource === undefined ? [] : [{ type: 'reserved', resource, for: reserved.get(resource) as string }]
    }
    return []
  }

  /** As `#isFull`, also where `advance` has still to come. */
  #windowIsFull(lane: Lane, now: number): boolean {
    if (!this.#isFull(lane, 'rate')) return false
    return this.#room(lane, 'rate') + this.#calls.countOver(windowOf(lane), now) <= 0
  }

  /** What runs of a key. */
  #runningOf({ name, slot }: Lane): string[] {
    return this.#sql(
      `SELECT tasks.id FROM lanes JOIN tasks INDEXED BY tasks_lane_kept ON tasks.lane = lanes.id
       WHERE lanes.name = ? AND lanes.slot = ? AND tasks.state = 2 LIMIT ${MOST_IDS}`,
    )
      .all(name, slot)
      .map((row) => row['id'] as string)
  }

  /** What runs with some of a resource. */
  #holding(resource: string): string[] {
    return this.#sql(
      `SELECT tasks.id, tasks.extras FROM lanes JOIN tasks INDEXED BY tasks_lane_kept ON tasks.lane = lanes.id
       WHERE lanes.resources <> '[]' AND tasks.state = 2`,
    )
      .all()
      .filter((row) => (JSON.parse(row['extras'] as string) as TaskExtras).requires?.[resource] !== undefined)
      .map((row) => row['id'] as string)
      .slice(0, MOST_IDS)
  }

  /** Whether its limits let it begin, whose turn it ever is. */
  admits(task: SqliteTask): boolean {
    if (task.lane === null) return true
    const lane = this.#laneIfThere(task.lane)
    return lane !== undefined && this.#gateOf(lane) === 0 && this.#resources.fits(task)
  }

  /** What a task keeps for itself that stands apart, if it waits for nothing else. */
  keeps(task: SqliteTask): readonly string[] {
    const lane = task.lane === null ? undefined : this.#laneIfThere(task.lane)
    if (lane === undefined || this.#gateOf(lane) !== 0) return []
    return this.#resources.fits(task) || !this.#resources.couldFit(task) ? [] : Object.keys(task.extras?.requires ?? {})
  }

  /** It begins; its row is written. */
  begins(task: SqliteTask): void {
    const lane = this.#lane(task.lane as number)
    const { name, slot, rate } = lane
    this.#use(name, 'slot', slot, 1)
    if (rate !== null) {
      this.#calls.begins(task, { name, rate }, this.#intervalOf(task.name) ?? 0)
      this.#use(name, 'rate', rate, 1)
    }
    this.#resources.take(task)
    this.#turn = Math.max(this.#turn + 2, 2 * task.startedAt)
    lane.turn = this.#turn
    if (lane.first?.seq === task.seq) this.#advance(lane) // a suspect stands apart
    if (lane.first === undefined) return this.#emptied(lane, true)
    lane.parked = this.#gateOf(lane)
    this.#write(lane)
    if (lane.parked !== 0) this.#passOn(lane, lane.parked)
  }

  /** The handler of a task is called: from now on its call counts for the interval. */
  called(task: SqliteTask, now: number): void {
    this.#calls.made(task, now, this.#intervalOf(task.name))
  }

  #intervalOf(name: string): number | undefined {
    return this.#limits.get(name)?.rate?.interval
  }

  /** One of it is about to be queued again: what is used is counted while its row still says that it runs. */
  count(id: number): void {
    const { name, slot, rate } = this.#lane(id)
    if (slot !== null) this.#usedOf(name, 'slot', slot)
    if (rate !== null) this.#usedOf(name, 'rate', rate)
  }

  /** It runs no more; its row is written. @param unknownSince whether its handler was called is not known; epoch ms */
  ends(task: SqliteTask, unknownSince?: number): void {
    const lane = this.#lane(task.lane as number)
    const { name, slot, rate } = lane
    this.#resources.giveBack(task)
    if (slot !== null) this.#free(name, 'slot', slot)
    if (rate !== null && unknownSince !== undefined) this.called(task, unknownSince)
    else if (rate !== null && this.#calls.ends(task)) this.#free(name, 'rate', rate)
    if (lane.first === undefined && !this.#isKept(lane)) this.#remove(lane)
  }

  /** Lets out what time has brought room for. */
  advance(now: number): void {
    for (const { name, rate, n } of this.#calls.advance(now)) this.#free(name, 'rate', rate, n)
  }

  /** Whether `advance` has something to do. */
  isDue(now: number): boolean {
    return this.#calls.isDue(now)
  }

  /** Epoch ms at which time may bring room for something that waits: a call is over then, whosever it is. */
  get nextRoom(): number | undefined {
    return this.#anyParked('rate') ? this.nextCall : undefined
  }

  /** Epoch ms at which the next call counts no more. */
  get nextCall(): number | undefined {
    return this.#calls.next
  }

  /** How many tasks of a name may go, at most; 0 where none may. */
  ready(name: string): number {
    const number = this.#names.number(name)
    if (number === undefined) return 0
    let sum = 0
    for (const resources of this.#linesOf(number)) {
      const first = this.#open(number, resources)
      if (first === undefined) continue
      if (this.#gateOf(first) !== 0) this.unfinished = true
      else if (resources === '[]' || this.#fitsAt(first)) {
        const { slots = ENOUGH, rate } = this.#limits.get(name) ?? {}
        sum += this.#countOpen(number, resources) * Math.min(slots, rate?.max ?? ENOUGH)
      }
    }
    return sum
  }

  /**
   * What is read outside of a transaction may be of two states of the file, if another connection writes just then: what
   * does not fit together is left out, and the news of that commit will have all looked at again.
   */
  #open(name: number, resources: string): Lane | undefined {
    const row = this.#sql(
      `SELECT * FROM lanes INDEXED BY lanes_open WHERE parked = 0 AND priority IS NOT NULL AND name = ? AND resources = ?
       ORDER BY priority DESC, turn, run_at, first LIMIT 1`,
    ).get(name, resources)
    const lane = row && this.#keep(row)
    return lane?.first === undefined ? undefined : lane
  }

  #countOpen(name: number, resources: string): number {
    return this.#count(
      `SELECT count(*) AS n FROM (SELECT 1 FROM lanes INDEXED BY lanes_open
         WHERE parked = 0 AND priority IS NOT NULL AND name = ? AND resources = ? LIMIT ${ENOUGH})`,
      name,
      resources,
    )
  }
}

/** What of a task says where it stands. */
type Limits = Pick<TaskExtras, 'slot' | 'rate' | 'requires'>

function gateKey(name: number, kind: GateKind, key: string): string {
  return `${kind} ${name} ${key}`
}

function namesIn(resources: string): readonly string[] {
  return JSON.parse(resources) as string[]
}

function windowOf({ name, rate }: Lane): Window {
  return { name, rate: rate as string }
}

function placeOf(lane: Lane): Place {
  return lane.first as Place
}

/** Whether `a` goes before `b`: priority, then when it became due, then submission. */
export function comesBefore(a: Place, b: Place): boolean {
  if (a.priority !== b.priority) return a.priority > b.priority
  return a.runAt < b.runAt || (a.runAt === b.runAt && a.seq < b.seq)
}
