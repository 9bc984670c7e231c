/**
 * Whose turn it is among tasks under limits: keyed concurrency, rate limits, resources.
 *
 * - A **lane** is what waits of one name with the same keys and needs of the same resources. Within it the order is the
 *   usual one: priority, then when it became due, then submission.
 * - A **line** is the lanes of one name whose tasks need the same resources. The lane whose first task has the highest
 *   priority goes first; among equals the one that went longest ago, and one that comes anew before that which went last.
 *   So keys take turns, and one with 100 000 tasks lets another one's single task go next.
 * - Among lines, and the tasks without limits, the usual order of their first tasks decides.
 * - A **gate** is one key of a limit and the room that it has. A lane that finds a gate of its full is parked there; as
 *   room comes back one lane of each line is let out again, the best. So what cannot run costs nothing per claim, however
 *   many they are.
 * - Resources are taken all or nothing, in strict order: a task that waits for nothing but resources keeps those that come
 *   after it from whatever it needs. So small tasks never starve a big one, and since nobody waits with something in hand,
 *   there is no deadlock.
 *
 * Loaded where a runner has such limits.
 */
import type { EngineSettings } from '../engine.js'
import { MOST_IDS, type Reason } from '../explanation.js'
import type { StoredTask } from '../record.js'
import { Backlog, comesBefore, dueBefore, type Waiting } from './backlog.js'
import { getOrMake } from './get-or-make.js'
import { Heap, type Slotted } from './heap.js'
import { Queue } from './queue.js'

/** A task as the lanes need it. */
export interface Laned<Self extends Laned<Self>> extends StoredTask, Waiting<Self> {
  readonly priority: number
  readonly runAt: number
  /** Since it waited first. */
  lane: Lane<Self> | undefined
}

/** One key of one limit. */
export class Gate<Task extends Laned<Task>> implements Slotted {
  readonly key: string
  readonly max: number
  /** ms for which a call counts; undefined: what runs counts. */
  readonly interval: number | undefined
  /** What runs; or was called within the interval, or is about to be. */
  used = 0
  /** How many lanes lead through it. */
  lanes = 0
  readonly parked: Map<Line<Task>, Heap<Lane<Task>>> = new Map()
  /** Epoch ms at which the calls count no more, in their order. */
  readonly calls: Queue<number> = new Queue()
  /** Its place among those to which time will bring room. */
  slot = -1

  constructor(key: string, max: number, interval: number | undefined) {
    this.key = key
    this.max = max
    this.interval = interval
  }

  get isFull(): boolean {
    return this.used >= this.max
  }
}

/** The lanes of a name whose tasks need the same resources. */
class Line<Task extends Laned<Task>> {
  readonly resources: readonly string[]
  readonly lanes: Map<string, Lane<Task>> = new Map()
  readonly open: Heap<Lane<Task>> = new Heap<Lane<Task>>(goesBefore)
  /** Tasks in the open ones. */
  waiting = 0

  constructor(resources: readonly string[]) {
    this.resources = resources
  }
}

export class Lane<Task extends Laned<Task>> implements Slotted {
  readonly line: Line<Task>
  readonly key: string
  readonly gates: readonly Gate<Task>[]
  readonly backlog: Backlog<Task> = new Backlog<Task>()
  /** Of its first task, as the heap that it is in has it. */
  priority = 0
  /** When it went last; one that begins to wait comes before those that went last and all later ones. */
  turn = 0
  parkedAt: Gate<Task> | undefined
  /** Its place among the open ones of its line, or those of it that are parked at a gate. */
  slot = -1

  constructor(line: Line<Task>, key: string, gates: readonly Gate<Task>[]) {
    this.line = line
    this.key = key
    this.gates = gates
  }

  get first(): Task {
    return this.backlog.first as Task
  }
}

function goesBefore<Task extends Laned<Task>>(a: Lane<Task>, b: Lane<Task>): boolean {
  if (a.priority !== b.priority) return a.priority > b.priority
  return a.turn < b.turn || (a.turn === b.turn && dueBefore(a.first, b.first))
}

/** What of a resource is taken, and by how many. */
interface Taken {
  amount: number
  holders: number
}

/** Sums of decimal fractions are not exact. */
const EXACT = 1e-9
/** So many keys are remembered before those that are of no use are looked for. */
const SWEEP = 1_000

export class MemoryLanes<Task extends Laned<Task>> {
  readonly #limits: EngineSettings['limits']
  readonly #resources: ReadonlyMap<string, number>
  /** name → names of resources → line */
  readonly #lines: Map<string, Map<string, Line<Task>>> = new Map()
  readonly #gates: Map<string, Gate<Task>> = new Map()
  #sweepAt = SWEEP
  /** Those where lanes are parked and time will bring room, the next one first. */
  readonly #timed: Heap<Gate<Task>> = new Heap<Gate<Task>>((a, b) => nextRoom(a) < nextRoom(b))
  /** Claimed, and the handler not called yet. */
  readonly #uncalled: Set<Task> = new Set()
  readonly #taken: Map<string, Taken> = new Map()
  #turns = 0
  #now = 0
  /** Tasks that wait. */
  size = 0

  constructor(limits: EngineSettings['limits'], resources: ReadonlyMap<string, number>) {
    this.#limits = limits
    this.#resources = resources
  }

  // What waits.

  push(task: Task): void {
    const lane = this.#laneOf(task)
    task.lane = lane
    lane.backlog.push(task)
    this.size++
    if (lane.backlog.size === 1) {
      lane.turn = this.#turns - 0.5
      return this.#open(lane)
    }
    if (lane.parkedAt === undefined) this.#count(lane, 1)
    if (lane.first !== task) return
    // There may be room already, and another lane of its line be let out for it: the better one goes first.
    if (lane.parkedAt !== undefined && !this.#isFull(lane.parkedAt)) {
      this.#unpark(lane, lane.parkedAt)
      this.#open(lane)
    } else this.#rank(lane)
  }

  /** @param priority with which it was pushed */
  remove(task: Task, priority: number): void {
    const lane = task.lane as Lane<Task>
    const wasFirst = lane.first === task
    lane.backlog.remove(task, priority)
    this.size--
    if (lane.parkedAt === undefined) this.#count(lane, -1)
    if (lane.backlog.size === 0) this.#leave(lane)
    else if (wasFirst) {
      const before = lane.priority
      this.#rank(lane)
      // For the room that there is it was let out, perhaps: another one is better now, perhaps.
      if (lane.parkedAt === undefined && lane.priority < before) this.#passOn(lane)
    }
  }

  /** How many may go, about; 0 where none may. @param name of tasks of this name */
  ready(name?: string): number {
    let sum = 0
    for (const lines of name === undefined ? this.#lines.values() : [this.#lines.get(name)]) {
      for (const line of lines?.values() ?? []) {
        const lane = this.#firstOf(line)
        if (lane !== undefined && this.#fits(lane.first)) sum += line.waiting
      }
    }
    return sum
  }

  #laneOf(task: Task): Lane<Task> {
    const { name, extras } = task
    const { slot, rate, requires = {} } = extras ?? {}
    const line = this.#lineOf(name, Object.keys(requires).sort())
    const key = `${slot ?? ''}\0${rate ?? ''}`
    let lane = line.lanes.get(key)
    if (lane === undefined) {
      const { slots, rate: window } = this.#limits.get(name) ?? {}
      const gates: Gate<Task>[] = []
      if (slot !== undefined && slots !== undefined) gates.push(this.#gate(`slot\0${name}\0${slot}`, slots))
      if (rate !== undefined && window !== undefined)
        gates.push(this.#gate(`rate\0${name}\0${rate}`, window.max, window.interval))
      lane = new Lane(line, key, gates)
      line.lanes.set(key, lane)
    }
    return lane
  }

  #lineOf(name: string, resources: readonly string[]): Line<Task> {
    const lines = getOrMake(this.#lines, name, () => new Map<string, Line<Task>>())
    return getOrMake(lines, resources.join('\0'), () => new Line<Task>(resources))
  }

  #gate(key: string, max: number, interval?: number): Gate<Task> {
    if (this.#gates.size >= this.#sweepAt) this.#sweep()
    const gate = getOrMake(this.#gates, key, () => new Gate<Task>(key, max, interval))
    gate.lanes++
    return gate
  }

  /** Of its key nothing may wait, run or count any more. */
  #drop(gate: Gate<Task>): void {
    if (gate.lanes === 0 && gate.used === 0) this.#gates.delete(gate.key)
  }

  /** Forgets the keys of which nothing counts any more: nobody has looked at them since. */
  #sweep(): void {
    for (const gate of this.#gates.values()) {
      this.#forgetCalls(gate)
      this.#drop(gate)
    }
    this.#sweepAt = Math.max(SWEEP, 2 * this.#gates.size)
  }

  // Lanes: open, parked or gone.

  #count(lane: Lane<Task>, by: number): void {
    lane.line.waiting += by
  }

  #open(lane: Lane<Task>): void {
    lane.priority = lane.first.priority
    lane.line.open.push(lane)
    this.#count(lane, lane.backlog.size)
  }

  #park(lane: Lane<Task>, gate: Gate<Task>): void {
    lane.line.open.remove(lane)
    this.#count(lane, -lane.backlog.size)
    lane.parkedAt = gate
    getOrMake(gate.parked, lane.line, () => new Heap<Lane<Task>>(goesBefore)).push(lane)
    this.#retime(gate)
    this.#passOn(lane)
  }

  #unpark(lane: Lane<Task>, gate: Gate<Task>): void {
    const parked = gate.parked.get(lane.line) as Heap<Lane<Task>>
    parked.remove(lane)
    lane.parkedAt = undefined
    if (parked.first !== undefined) return
    gate.parked.delete(lane.line)
    this.#retime(gate)
  }

  /** Nothing of it waits any more. */
  #leave(lane: Lane<Task>): void {
    if (lane.parkedAt === undefined) lane.line.open.remove(lane)
    else this.#unpark(lane, lane.parkedAt)
    lane.line.lanes.delete(lane.key)
    this.#passOn(lane)
    for (const gate of lane.gates) {
      gate.lanes--
      this.#drop(gate)
    }
  }

  /** Room that it may not use is another's of its line. */
  #passOn(lane: Lane<Task>): void {
    for (const gate of lane.gates) if (gate !== lane.parkedAt && !gate.isFull) this.#letOut(gate, lane.line)
  }

  /** Its first task has become another one, or it has had its turn. */
  #rank(lane: Lane<Task>): void {
    const heap =
      lane.parkedAt === undefined ? lane.line.open : (lane.parkedAt.parked.get(lane.line) as Heap<Lane<Task>>)
    heap.remove(lane)
    lane.priority = lane.first.priority
    heap.push(lane)
  }

  #letOut(gate: Gate<Task>, line: Line<Task>): void {
    const lane = gate.parked.get(line)?.first
    if (lane === undefined) return
    this.#unpark(lane, gate)
    this.#open(lane)
  }

  // Gates.

  /** One more may pass. */
  #free(gate: Gate<Task>): void {
    gate.used--
    this.#drop(gate)
    for (const line of [...gate.parked.keys()]) this.#letOut(gate, line)
  }

  #isFull(gate: Gate<Task>): boolean {
    if (gate.isFull && gate.calls.length > 0) this.#forgetCalls(gate)
    return gate.isFull
  }

  #forgetCalls(gate: Gate<Task>): void {
    const { calls, interval = 0 } = gate
    const latest = this.#now + interval
    // The clock was set back: what was called counts from now on, and not until the clock has caught up.
    if ((calls.at(0) ?? 0) > latest) for (const _call of calls.take(calls.length)) calls.push(latest)
    let over = 0
    while ((calls.at(over) ?? Number.POSITIVE_INFINITY) <= this.#now) over++
    if (over === 0) return
    calls.take(over)
    this.#retime(gate)
    for (; over > 0; over--) this.#free(gate)
  }

  #retime(gate: Gate<Task>): void {
    if (gate.slot >= 0) this.#timed.remove(gate)
    if (gate.parked.size > 0 && gate.calls.length > 0) this.#timed.push(gate)
  }

  /** Lets out what time has brought room for. */
  advance(now: number): void {
    this.#now = now
    for (;;) {
      const { first } = this.#timed
      if (first === undefined || (nextRoom(first) > now && nextRoom(first) <= now + (first.interval ?? 0))) return
      this.#forgetCalls(first)
    }
  }

  /** Epoch ms at which time brings room for something that waits. */
  get nextRoom(): number | undefined {
    const { first } = this.#timed
    return first && nextRoom(first)
  }

  // Resources.

  #fits(task: Task): boolean {
    for (const [resource, amount] of Object.entries(task.extras?.requires ?? {})) {
      const taken = this.#taken.get(resource)?.amount ?? 0
      if (taken + amount > (this.#resources.get(resource) ?? 0) + EXACT) return false
    }
    return true
  }

  // Turns.

  /** The lane whose first task goes next, of the names that may start one. */
  best(names: readonly string[], isKept: (name: string) => boolean): Lane<Task> | undefined {
    /** What is kept for a task that comes before. */
    let reserved: Set<string> | undefined
    for (;;) {
      let best: Lane<Task> | undefined
      for (const name of names) {
        const lines = this.#lines.get(name)
        if (lines === undefined || isKept(name)) continue
        for (const line of lines.values()) {
          if (reserved !== undefined && line.resources.some((each) => reserved?.has(each))) continue
          const lane = this.#firstOf(line)
          if (lane !== undefined && (best === undefined || comesBefore(lane.first, best.first))) best = lane
        }
      }
      if (best === undefined || this.#fits(best.first)) return best
      reserved ??= new Set()
      for (const each of best.line.resources) reserved.add(each)
    }
  }

  /** What keeps a task that waits. @param running what runs */
  explain(task: Task, names: readonly string[], isKept: (name: string) => boolean, running: readonly Task[]): Reason[] {
    const { gates } = task.lane as Lane<Task>
    const { slot = '', rate = '', requires = {} } = task.extras ?? {}
    const idsOf = (tasks: readonly Task[]): string[] => tasks.slice(0, MOST_IDS).map(({ id }) => id)
    const reasons: Reason[] = []
    for (const gate of gates) {
      const { max, interval } = gate
      if (!this.#isFull(gate)) continue
      const by = idsOf(running.filter((each) => each.lane?.gates.includes(gate)))
      const until = nextRoom(gate)
      if (interval === undefined) reasons.push({ type: 'key', key: slot, max, by })
      else reasons.push({ type: 'rateLimit', key: rate, max, ...(Number.isFinite(until) && { until }) })
    }
    for (const [resource, needs] of Object.entries(requires)) {
      const free = Math.max(0, (this.#resources.get(resource) ?? 0) - (this.#taken.get(resource)?.amount ?? 0))
      const by = idsOf(running.filter((each) => each.extras?.requires?.[resource] !== undefined))
      if (needs > free + EXACT) reasons.push({ type: 'resource', resource, needs, free, by })
    }
    if (reasons.length > 0) return reasons
    return this.#reservation(task, names, isKept)
  }

  /** What a task needs that is kept for another one whose turn comes before. */
  #reservation(task: Task, names: readonly string[], isKept: (name: string) => boolean): Reason[] {
    const own = (task.lane as Lane<Task>).line
    const reserved = new Map<string, string>()
    const lanes = names
      .filter((name) => !isKept(name))
      .flatMap((name) => [...(this.#lines.get(name)?.values() ?? [])])
      .map((line) => this.#firstOf(line))
      .filter((lane) => lane !== undefined) as Lane<Task>[]
    for (const { line, first } of lanes.sort((a, b) => (comesBefore(a.first, b.first) ? -1 : 1))) {
      const kept = line.resources.find((each) => reserved.has(each))
      if (kept === undefined && first !== task && !this.#fits(first))
        for (const each of line.resources) reserved.set(each, first.id)
      if (line !== own) continue
      const resource = line.resources.find((each) => reserved.has(each))
      return resource === undefined ? [] : [{ type: 'reserved', resource, for: reserved.get(resource) as string }]
    }
    return []
  }

  /** The best lane of a line that no gate keeps; those that one does are parked there. */
  #firstOf({ open }: Line<Task>): Lane<Task> | undefined {
    for (;;) {
      const lane = open.first
      const gate = lane?.gates.find((each) => this.#isFull(each))
      if (lane === undefined || gate === undefined) return lane
      this.#park(lane, gate)
    }
  }

  /** The first task of a lane begins. */
  take(task: Task): void {
    const lane = task.lane as Lane<Task>
    lane.backlog.remove(task, task.priority)
    this.size--
    this.#count(lane, -1)
    for (const gate of lane.gates) {
      gate.used++
      if (gate.interval !== undefined) this.#uncalled.add(task)
    }
    for (const [resource, amount] of Object.entries(task.extras?.requires ?? {})) {
      const taken = getOrMake(this.#taken, resource, () => ({ amount: 0, holders: 0 }))
      taken.amount += amount
      taken.holders++
    }
    lane.turn = ++this.#turns
    if (lane.backlog.size === 0) this.#leave(lane)
    else {
      const full = lane.gates.find((gate) => gate.isFull)
      this.#rank(lane)
      if (full !== undefined) this.#park(lane, full)
    }
  }

  /** Its handler is called: from now on the call counts for the interval. */
  called(task: Task, now: number): void {
    if (!this.#uncalled.delete(task)) return
    for (const gate of (task.lane as Lane<Task>).gates) {
      if (gate.interval === undefined) continue
      gate.calls.push(now + gate.interval)
      if (gate.calls.length === 1) this.#retime(gate)
    }
  }

  /** It runs no more. */
  release(task: Task): void {
    const wasCalled = !this.#uncalled.delete(task)
    for (const gate of (task.lane as Lane<Task>).gates) if (gate.interval === undefined || !wasCalled) this.#free(gate)
    for (const [resource, amount] of Object.entries(task.extras?.requires ?? {})) {
      const taken = this.#taken.get(resource) as Taken
      taken.holders--
      taken.amount = taken.holders === 0 ? 0 : taken.amount - amount
    }
  }
}

function nextRoom<Task extends Laned<Task>>({ calls }: Gate<Task>): number {
  return calls.at(0) ?? Number.POSITIVE_INFINITY
}
