/**
 * Histories of tasks under limits, side by side with the reference scheduler: the same tasks run at every instant, and they
 * were started in the same order. So no limit is exceeded, nothing waits for which there is room, and all of it ends.
 */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { BackgroundRunner, defineTask, type Engine, memory } from 'background-runner'
import { sqlite } from 'background-runner/sqlite'
import fc from 'fast-check'
import { afterAll, describe, expect, it } from 'vitest'
import { turns } from '../../src/testing/real-time.js'
import { DAWN, VirtualClock } from '../../src/testing/virtual-clock.js'
import { folderForMany } from '../support/folder.js'
import { patiently, TIMEOUT } from './history.js'
import { type Rules, Scheduler, type Waiting } from './limits-model.js'

const CI = process.env['CI'] === 'true'
const RUNS = Number(process.env['RUNS'] ?? (CI ? 1_000 : 100))
const SEED = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31))
console.log(`property seed: SEED=${SEED}`)

const folder = folderForMany()
afterAll(() => rmSync(folder, { recursive: true }))
let files = 0

const RESOURCES = { cpu: 4, gpu: 1 }
const RULES: ReadonlyMap<string, Rules> = new Map([
  ['keyed', { slots: 2, rate: undefined }],
  ['rated', { slots: undefined, rate: { max: 2, interval: 100 } }],
  ['both', { slots: 1, rate: { max: 3, interval: 250 } }],
  ['plain', { slots: undefined, rate: undefined }],
])
/** The reasons that limits are. */
const LIMITS: ReadonlySet<string> = new Set(['key', 'rateLimit', 'resource'])
/** ms after which a task that failed is due again. */
const AGAIN = 50

interface Input {
  readonly key: string
  readonly window: string
}

type Step =
  | {
      readonly type: 'submit'
      readonly name: string
      readonly key: string
      readonly window: string
      readonly requires: Readonly<Record<string, number>>
      readonly priority: number
      readonly delay: number
      readonly times: number
      /** Among all tasks so far, those that it comes after. */
      readonly after: readonly number[]
    }
  | { readonly type: 'end' | 'fail' | 'cancel'; readonly which: number }
  | { readonly type: 'priority'; readonly which: number; readonly priority: number }
  | { readonly type: 'advance'; readonly ms: number }
  | { readonly type: 'concurrency'; readonly n: number }

const which = fc.nat(30)
const priority = fc.constantFrom(0, 0, 0, 1, 2)
const amounts = fc.constantFrom({}, {}, { cpu: 1 }, { cpu: 2 }, { cpu: 4 }, { gpu: 1 }, { cpu: 0.5, gpu: 1 })
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      type: fc.constant('submit' as const),
      name: fc.constantFrom(...RULES.keys()),
      key: fc.constantFrom('a', 'a', 'b', 'c'),
      window: fc.constantFrom('x', 'x', 'y'),
      requires: amounts,
      priority,
      delay: fc.constantFrom(0, 0, 0, 30, 120),
      times: fc.integer({ min: 1, max: 4 }),
      after: fc.oneof({ weight: 4, arbitrary: fc.constant([]) }, fc.array(fc.nat(40), { maxLength: 2 })),
    }),
  },
  { weight: 6, arbitrary: fc.record({ type: fc.constant('end' as const), which }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('fail' as const), which }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('cancel' as const), which }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('priority' as const), which, priority }) },
  { weight: 3, arbitrary: fc.record({ type: fc.constant('advance' as const), ms: fc.integer({ min: 1, max: 200 }) }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('concurrency' as const), n: fc.integer({ min: 1, max: 6 }) }) },
)

class World {
  readonly #clock = new VirtualClock(() => this.#settle())
  readonly #runner: BackgroundRunner
  readonly #model: Scheduler
  readonly #started: string[] = []
  readonly #running: Map<string, { resolve(): void; reject(error: Error): void }> = new Map()
  /** Due later, in both worlds. */
  readonly #later: Waiting[] = []
  /** What has to end before a task, by its id. */
  readonly #blocked: Map<string, { readonly task: Waiting; readonly by: Set<string> }> = new Map()
  readonly #ends: Map<string, 'succeeded' | 'cancelled'> = new Map()
  #now = DAWN
  #order = 0

  constructor(engine: Engine, concurrency: number) {
    this.#model = new Scheduler(RULES, RESOURCES, concurrency)
    const run = (_input: Input, { id }: { readonly id: string }): Promise<void> =>
      new Promise((resolve, reject) => {
        this.#started.push(id)
        this.#running.set(id, { resolve, reject })
      })
    const tasks = [...RULES].map(([name, { slots, rate }]) => [
      name,
      defineTask({
        retry: { attempts: 1_000, backoff: { type: 'fixed', delay: AGAIN, jitter: false } },
        ...(slots !== undefined && { concurrency: { max: slots, by: ({ key }: Input) => key } }),
        ...(rate !== undefined && { rateLimit: { ...rate, by: ({ window }: Input) => window } }),
        run,
      }),
    ])
    this.#runner = new BackgroundRunner({
      tasks: Object.fromEntries(tasks),
      clock: this.#clock,
      engine,
      concurrency,
      resources: RESOURCES,
    })
  }

  async #settle(): Promise<void> {
    for (let before = -1; before !== this.#started.length; ) {
      before = this.#started.length
      for (let i = 0; i < 2; i++) {
        await turns()
        await this.#runner.counts()
      }
    }
  }

  async live(steps: readonly Step[]): Promise<void> {
    await this.#runner.ready()
    for (const each of steps) {
      await this.#apply(each)
      await this.#agree(each)
    }
    // All of it ends.
    for (let n = 0; this.#ends.size < this.#order; n++) {
      expect(n).toBeLessThan(2_000)
      const step: Step = this.#model.running.size > 0 ? { type: 'end', which: 0 } : { type: 'advance', ms: 50 }
      await this.#apply(step)
      await this.#agree(step)
    }
    expect(await this.#runner.counts()).toMatchObject({ queued: 0, scheduled: 0, running: 0, failed: 0 })
    await this.#runner.close()
  }

  async #apply(step: Step): Promise<void> {
    switch (step.type) {
      case 'submit':
        for (let i = 0; i < step.times; i++) {
          await this.#submit(step)
          // Each has its own turn: what may start has started before the next one is there.
          await this.#settle()
        }
        return
      case 'end':
      case 'fail': {
        const task = pick([...this.#model.running.values()], step.which)
        if (task === undefined) return
        const running = this.#running.get(task.id)
        this.#running.delete(task.id)
        this.#model.running.delete(task.id)
        if (step.type === 'end') {
          running?.resolve()
          this.#succeed(task.id)
        } else {
          running?.reject(new Error('again'))
          this.#later.push({ ...task, due: this.#now + AGAIN })
        }
        this.#model.start(this.#now)
        return this.#settle()
      }
      case 'cancel': {
        const blocked = [...this.#blocked.values()].map((each) => each.task)
        const task = pick([...new Set([...this.#model.waiting.values(), ...this.#later, ...blocked])], step.which)
        if (task === undefined) return
        await this.#runner.cancel(task.id)
        this.#cancel(task.id)
        this.#model.start(this.#now)
        return this.#settle()
      }
      case 'priority': {
        const task = pick([...this.#model.waiting.values()], step.which)
        if (task === undefined) return
        await this.#runner.setPriority(task.id, step.priority)
        this.#model.prioritise(task.id, step.priority)
        this.#model.start(this.#now)
        return this.#settle()
      }
      case 'advance':
        return this.#advance(step.ms)
      case 'concurrency':
        this.#runner.concurrency = step.n
        this.#model.concurrency = step.n
        this.#model.start(this.#now)
        return this.#settle()
    }
  }

  /** What came after it only may begin. */
  #succeed(id: string): void {
    this.#ends.set(id, 'succeeded')
    for (const { task, by } of [...this.#blocked.values()]) {
      if (!by.delete(id) || by.size > 0) continue
      this.#blocked.delete(task.id)
      if (task.due <= this.#now) this.#model.add(task)
    }
  }

  /** And all that comes after it. */
  #cancel(id: string): void {
    this.#ends.set(id, 'cancelled')
    this.#model.waiting.delete(id)
    this.#blocked.delete(id)
    const later = this.#later.findIndex((each) => each.id === id)
    if (later >= 0) this.#later.splice(later, 1)
    for (const { task, by } of [...this.#blocked.values()])
      if (by.has(id) && !this.#ends.has(task.id)) this.#cancel(task.id)
  }

  async #submit(step: Step & { readonly type: 'submit' }): Promise<void> {
    const { name, key, window, requires, priority, delay } = step
    const all = Array.from({ length: this.#order }, (_, i) => `t${i + 1}`)
    const after = step.after.map((each) => pick(all, each)).filter((each) => each !== undefined)
    const rules = RULES.get(name)
    const task: Waiting = {
      id: `t${++this.#order}`,
      name,
      slot: rules?.slots === undefined ? undefined : key,
      rate: rules?.rate === undefined ? undefined : window,
      requires,
      priority,
      due: this.#now + delay,
      order: this.#order,
    }
    await this.#runner.submit(name, { key, window } as never, { id: task.id, priority, delay, requires, after })
    if (after.some((each) => this.#ends.get(each) === 'cancelled')) return this.#cancel(task.id)
    const by = new Set(after.filter((each) => !this.#ends.has(each)))
    if (by.size > 0) this.#blocked.set(task.id, { task, by })
    if (delay > 0) this.#later.push(task)
    else if (by.size === 0) this.#model.add(task)
    this.#model.start(this.#now)
  }

  /** From one instant at which something happens to the next. */
  async #advance(ms: number): Promise<void> {
    const end = this.#now + ms
    for (;;) {
      const next = Math.min(end, this.#model.nextRoom(this.#now), ...this.#later.map(({ due }) => due))
      const passed = next - this.#now
      this.#now = next
      const due = this.#later.filter((each) => each.due <= next).toSorted((a, b) => a.due - b.due || a.order - b.order)
      for (const each of due) {
        this.#later.splice(this.#later.indexOf(each), 1)
        if (!this.#blocked.has(each.id)) this.#model.add(each)
      }
      this.#model.start(next)
      await this.#clock.advance(passed)
      if (next === end) return
    }
  }

  async #agree(step: Step): Promise<void> {
    const told = JSON.stringify(step)
    expect(this.#started, told).toEqual(this.#model.started)
    expect([...this.#running.keys()].toSorted(), told).toEqual([...this.#model.running.keys()].toSorted())
    const blocked = pick([...this.#blocked.values()], this.#started.length)
    if (blocked !== undefined && blocked.task.due <= this.#now) {
      const { reasons } = await this.#runner.explain(blocked.task.id)
      const [reason] = reasons
      expect(reason?.type === 'after' && [...reason.tasks].toSorted(), told).toEqual([...blocked.by].toSorted())
    }
    const task = pick([...this.#model.waiting.values()], this.#started.length)
    if (task === undefined) return
    // What is named is what keeps it; and something does.
    const { reasons } = await this.#runner.explain(task.id)
    expect(reasons, `${told} ${task.id}`).not.toEqual([])
    const ofLimits = new Set(reasons.map(({ type }) => type).filter((type) => LIMITS.has(type)))
    expect(ofLimits, `${told} ${task.id}`).toEqual(new Set(this.#model.reasons(task, this.#now)))
  }
}

function pick<Item>(items: readonly Item[], which: number): Item | undefined {
  return items[which % Math.max(1, items.length)]
}

const ENGINES: readonly (readonly [string, () => Engine, number])[] = [
  ['memory', () => memory(), RUNS],
  ['sqlite', () => sqlite({ path: join(folder, `${files++}.db`) }), RUNS],
]

describe.each(ENGINES)('histories under limits, on %s', (_name, create, numRuns) => {
  it('run as the reference scheduler has it', { timeout: TIMEOUT }, async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { maxLength: 40, size: 'max' }),
        fc.integer({ min: 1, max: 6 }),
        patiently((steps, concurrency) => new World(create(), concurrency).live(steps)),
      ),
      { numRuns, seed: SEED, endOnFailure: process.env['SHRINK'] === undefined },
    )
  })
})
