/**
 * The books of a soak: what each kind of task has to do, and what its runs and its events were. Of a task that has ended
 * nothing is kept, so that the books do not grow.
 */

/** `share` of all tasks, `runs` of the handler, `ends`: the states that it may end in. */
export const KINDS = [
  { name: 'plain', share: 0.7, runs: 1, ends: ['succeeded'] },
  { name: 'flaky', share: 0.12, runs: 3, ends: ['succeeded'] },
  { name: 'broken', share: 0.03, runs: 3, ends: ['failed'] },
  { name: 'refused', share: 0.05, runs: 1, ends: ['failed'] },
  // It may be quicker than who cancels it.
  { name: 'cancelled', share: 0.1, runs: 1, ends: ['cancelled', 'succeeded'] },
]
/** ms after which the key of a task that is no longer kept has to be free again. */
const PATIENCE = 10_000
/** No more than the first faults are worth reading. */
const MOST = 10

export class Ledger {
  /** What happened, how often. */
  told = {
    submitted: 0,
    deduplicated: 0,
    runs: 0,
    retrying: 0,
    succeeded: 0,
    failed: 0,
    cancelled: 0,
    faults: 0,
    wrong: 0,
  }
  problems = []
  /** ms that a task is kept after its end, and its key with it. */
  #kept
  /** id → of a task that has not ended: its kind, its runs and its retries so far. */
  #open = new Map()
  /** key → who had it last, and from when (epoch ms) another may. */
  #holders = new Map()

  constructor(kept) {
    this.#kept = kept
  }

  /** Listens to a runner that has not begun. */
  listen(runner) {
    runner.on('error', (error) => {
      this.told.faults++
      this.wrong(`an error: ${error?.message}`)
    })
    runner.on('stalled', ({ id }) => this.wrong(`${id} stalled, though no process died`))
    runner.on('submitted', (record) => record.key !== undefined && this.#took(record))
    runner.on('retrying', (record) => this.#retrying(record))
    for (const event of ['succeeded', 'failed', 'cancelled']) runner.on(event, (record) => this.#ended(record))
  }

  wrong(what) {
    this.told.wrong++
    if (this.problems.length < MOST) this.problems.push(what)
  }

  /** Before it is submitted: its events may come before the answer. */
  submitted(id, kind) {
    this.told.submitted++
    this.#open.set(id, { kind, runs: 0, retries: 0 })
  }

  /** The task of `key` stands for the one that was to be submitted as `id`. */
  deduplicated(id, key, by) {
    this.told.deduplicated++
    this.#open.delete(id)
    const holder = this.#holders.get(key)
    if (by !== holder?.id) this.wrong(`${id} was answered with ${by}, but ${holder?.id} has ${key}`)
    else if (Date.now() > holder.free + PATIENCE) this.wrong(`${by} has ${key} long after it ended`)
  }

  /** The handler is called. */
  ran(id, attempt) {
    this.told.runs++
    const task = this.#open.get(id)
    if (task === undefined) return this.wrong(`${id} is run, though it has ended`)
    task.runs++
    if (task.runs !== attempt) this.wrong(`${id} is run for the ${task.runs}. time, as attempt ${attempt}`)
  }

  /** How many have not ended, and ids of some. */
  get open() {
    return this.#open.size
  }

  someOpen() {
    return [...this.#open].slice(0, 5).map(([id, { kind, runs }]) => ({ id, kind: kind.name, runs }))
  }

  #took({ id, key }) {
    const holder = this.#holders.get(key)
    if (holder !== undefined && Date.now() < holder.free) this.wrong(`${id} got ${key}, which ${holder.id} has`)
    this.#holders.set(key, { id, free: Number.POSITIVE_INFINITY })
  }

  #retrying({ id }) {
    this.told.retrying++
    const task = this.#open.get(id)
    if (task === undefined) return this.wrong(`${id} is tried again, though it has ended`)
    task.retries++
    if (task.retries !== task.runs) this.wrong(`${id} is tried again ${task.retries} times, after ${task.runs} runs`)
  }

  #ended({ id, state, attempt, key, finishedAt }) {
    this.told[state]++
    const task = this.#open.get(id)
    if (task === undefined) return this.wrong(`${id} ended as ${state}, once more than it should`)
    this.#open.delete(id)
    const { kind, runs, retries } = task
    const what = `${id} (${kind.name})`
    if (!kind.ends.includes(state)) this.wrong(`${what} ended as ${state}, not ${kind.ends}`)
    // What is cancelled may not have begun.
    const right = runs === kind.runs || (state === 'cancelled' && runs === 0)
    if (!right) this.wrong(`${what} ended after ${runs} runs, not ${kind.runs}`)
    else if (runs > 0 && attempt !== runs)
      this.wrong(`${what} ran ${runs} times, and its record has ${attempt} attempts`)
    if (retries !== Math.max(0, runs - 1)) this.wrong(`${what} ran ${runs} times, but was told of ${retries} retries`)
    if (key === undefined || this.#holders.get(key)?.id !== id) return
    // Nobody else asks for a key that has the task's own id in it.
    if (key.endsWith(id)) this.#holders.delete(key)
    else this.#holders.get(key).free = finishedAt + this.#kept
  }
}
