/**
 * The reference scheduler for tasks under limits: the rules of local/memory-lanes.ts, read aloud. It knows no heaps and no
 * parked lanes: for each choice it looks at all that waits.
 */

/** What limits the tasks of a name. */
export interface Rules {
  readonly slots: number | undefined
  readonly rate: { readonly max: number; readonly interval: number } | undefined
}

export interface Waiting {
  readonly id: string
  readonly name: string
  readonly slot: string | undefined
  readonly rate: string | undefined
  readonly requires: Readonly<Record<string, number>>
  priority: number
  due: number
  readonly order: number
}

export class Scheduler {
  readonly #rules: ReadonlyMap<string, Rules>
  readonly #resources: Readonly<Record<string, number>>
  concurrency: number
  readonly waiting: Map<string, Waiting> = new Map()
  readonly running: Map<string, Waiting> = new Map()
  /** By gate: when handlers were called. */
  readonly #calls: { readonly gate: string; readonly at: number }[] = []
  readonly #turns: Map<string, number> = new Map()
  #turn = 0
  /** Whatever was ever started, in its order. */
  readonly started: string[] = []

  constructor(rules: ReadonlyMap<string, Rules>, resources: Readonly<Record<string, number>>, concurrency: number) {
    this.#rules = rules
    this.#resources = resources
    this.concurrency = concurrency
  }

  /** It is due, and waits. */
  add(task: Waiting): void {
    const lane = laneOf(task)
    if (![...this.waiting.values()].some((each) => laneOf(each) === lane)) this.#turns.set(lane, this.#turn - 0.5)
    this.waiting.set(task.id, task)
  }

  /** Its priority is another one: in its lane it stands anew. */
  prioritise(id: string, priority: number): void {
    const task = this.waiting.get(id) as Waiting
    if (task.priority === priority) return
    this.waiting.delete(id)
    this.add({ ...task, priority })
  }

  /** Starts all that may start. */
  start(now: number): void {
    while (this.running.size < this.concurrency) {
      const next = this.next(now)
      if (next === undefined) return
      this.waiting.delete(next.id)
      this.running.set(next.id, next)
      if (isLimited(next)) this.#turns.set(laneOf(next), ++this.#turn) // others have no part in it
      if (next.rate !== undefined) this.#calls.push({ gate: `${next.name} ${next.rate}`, at: now })
      this.started.push(next.id)
    }
  }

  next(now: number): Waiting | undefined {
    const reserved = new Set<string>()
    let lines = groupBy([...this.waiting.values()], lineOf)
    for (;;) {
      const firsts = lines
        .map((line) => this.#firstOf(line, now))
        .filter((first) => first !== undefined)
        .filter((first) => !Object.keys(first.requires).some((each) => reserved.has(each)))
      const best = firsts.toSorted(inOrder)[0]
      if (best === undefined || this.#fits(best)) return best
      for (const each of Object.keys(best.requires)) reserved.add(each)
      lines = lines.filter((line) => lineOf(line[0] as Waiting) !== lineOf(best))
    }
  }

  /** Of a line: of the lanes that no gate keeps, the one whose turn it is. */
  #firstOf(line: Waiting[], now: number): Waiting | undefined {
    return groupBy(line, laneOf)
      .map((lane) => lane.toSorted(inOrder)[0] as Waiting)
      .filter((first) => this.hasRoom(first, now))
      .toSorted((a, b) => b.priority - a.priority || this.#turnOf(a) - this.#turnOf(b) || inOrder(a, b))[0]
  }

  #turnOf(task: Waiting): number {
    return this.#turns.get(laneOf(task)) as number
  }

  hasRoom(task: Waiting, now: number): boolean {
    return !this.#keyIsFull(task) && !this.#windowIsFull(task, now)
  }

  #keyIsFull({ name, slot }: Waiting): boolean {
    const rules = this.#rules.get(name)
    if (slot === undefined || rules?.slots === undefined) return false
    return [...this.running.values()].filter((each) => each.name === name && each.slot === slot).length >= rules.slots
  }

  #windowIsFull({ name, rate }: Waiting, now: number): boolean {
    const rules = this.#rules.get(name)
    if (rate === undefined || rules?.rate === undefined) return false
    const { max, interval } = rules.rate
    return this.#calls.filter(({ gate, at }) => gate === `${name} ${rate}` && at + interval > now).length >= max
  }

  /** What of its limits keeps a task that waits: the types of the reasons. */
  reasons(task: Waiting, now: number): string[] {
    return [
      ...(this.#keyIsFull(task) ? ['key'] : []),
      ...(this.#windowIsFull(task, now) ? ['rateLimit'] : []),
      ...(this.#fits(task) ? [] : ['resource']),
    ]
  }

  #fits({ requires }: Waiting): boolean {
    return Object.entries(requires).every(([resource, amount]) => {
      const taken = [...this.running.values()].reduce((sum, each) => sum + (each.requires[resource] ?? 0), 0)
      return taken + amount <= (this.#resources[resource] ?? 0) + 1e-9
    })
  }

  /** When time brings room for something next. */
  nextRoom(now: number): number {
    const ends = this.#calls
      .map(({ gate, at }) => at + (this.#rules.get(gate.split(' ')[0] as string)?.rate?.interval ?? 0))
      .filter((end) => end > now)
    return Math.min(Number.POSITIVE_INFINITY, ...ends)
  }
}

function isLimited({ slot, rate, requires }: Waiting): boolean {
  return slot !== undefined || rate !== undefined || Object.keys(requires).length > 0
}

function lineOf({ name, requires }: Waiting): string {
  return `${name} ${Object.keys(requires).sort()}`
}

function laneOf(task: Waiting): string {
  return `${lineOf(task)} ${task.slot ?? '-'} ${task.rate ?? '-'}`
}

function inOrder(a: Waiting, b: Waiting): number {
  return b.priority - a.priority || a.due - b.due || a.order - b.order
}

function groupBy(tasks: readonly Waiting[], by: (task: Waiting) => string): Waiting[][] {
  const groups = new Map<string, Waiting[]>()
  for (const task of tasks) groups.set(by(task), [...(groups.get(by(task)) ?? []), task])
  return [...groups.values()]
}
