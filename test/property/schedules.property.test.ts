/**
 * Random histories of schedules, in several processes over one file, agree with a model that is nothing but a loop over
 * the seconds: each occurrence fires once, or is passed over, whoever comes, goes and changes what.
 */
import assert from 'node:assert/strict'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { BackgroundRunner, defineTask, type ScheduleRecord } from 'background-runner'
import { sqlite } from 'background-runner/sqlite'
import fc from 'fast-check'
import { afterAll, it, vi } from 'vitest'
import type { Database, Open } from '../../src/sqlite/driver.js'
import { turns } from '../../src/testing/real-time.js'
import { DAWN, VirtualClock } from '../../src/testing/virtual-clock.js'
import { folderForMany } from '../support/folder.js'
import { parameters, patiently, TIMEOUT } from './history.js'

const RUNS = Number(process.env['RUNS'] ?? (process.env['CI'] === 'true' ? 1_000 : 100))
const PROCESSES = 3

/** Commits of all processes: as long as anything is written, something may follow from it. */
const written = vi.hoisted(() => ({ commits: 0 }))

vi.mock('../../src/sqlite/driver.js', async (original) => {
  const actual = await original<typeof import('../../src/sqlite/driver.js')>()
  return {
    ...actual,
    loadDriver: async (): Promise<Open> => {
      const open = await actual.loadDriver()
      return (path): Database => {
        const database = open(path)
        return {
          ...database,
          prepare: (sql) => {
            const statement = database.prepare(sql)
            if (sql !== 'COMMIT') return statement
            return {
              ...statement,
              run: (...values) => {
                written.commits++
                return statement.run(...values)
              },
            }
          },
        }
      }
    },
  }
})

type Overlap = 'skip' | 'queue'
type Step =
  | { readonly do: 'wait'; readonly seconds: number }
  | {
      readonly do: 'schedule'
      readonly by: number
      readonly id: string
      readonly every: number
      readonly overlap: Overlap
    }
  | { readonly do: 'unschedule'; readonly by: number; readonly id: string }
  | { readonly do: 'finish' }
  | { readonly do: 'start or stop'; readonly which: number }

const which = fc.nat(PROCESSES - 1)
const id = fc.constantFrom('a', 'b')
const steps = fc.array(
  fc.oneof(
    { weight: 5, arbitrary: fc.record({ do: fc.constant('wait' as const), seconds: fc.integer({ min: 1, max: 12 }) }) },
    {
      weight: 5,
      arbitrary: fc.record({
        do: fc.constant('schedule' as const),
        by: which,
        id,
        every: fc.constantFrom(2, 3, 5),
        overlap: fc.constantFrom<Overlap>('skip', 'queue'),
      }),
    },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('unschedule' as const), by: which, id }) },
    { weight: 3, arbitrary: fc.record({ do: fc.constant('finish' as const) }) },
    { weight: 3, arbitrary: fc.record({ do: fc.constant('start or stop' as const), which }) },
  ),
  { minLength: 3, maxLength: 18 },
)

/** What should be. Times are in seconds. */
class Model {
  now = 0
  isAnyoneThere = true
  readonly schedules: Map<string, { every: number; overlap: Overlap; next: number; last?: number }> = new Map()
  readonly submitted: string[] = []
  readonly #unfinished: Set<string> = new Set()

  schedule(id: string, every: number, overlap: Overlap): void {
    const before = this.schedules.get(id)
    if (before?.every === every && before.overlap === overlap) return
    this.schedules.set(id, { ...before, every, overlap, next: this.now + every })
  }

  finish(): void {
    if (this.isAnyoneThere) this.#unfinished.clear()
  }

  second(): void {
    this.now++
    this.look()
  }

  look(): void {
    if (!this.isAnyoneThere) return
    for (const [id, schedule] of this.schedules) {
      if (schedule.next > this.now) continue
      const isAtWork = schedule.last !== undefined && this.#unfinished.has(`${id}-${schedule.last}`)
      if (schedule.overlap === 'queue' || !isAtWork) {
        schedule.last = schedule.next
        this.submitted.push(`${id}-${schedule.next}`)
        this.#unfinished.add(`${id}-${schedule.next}`)
      }
      while (schedule.next <= this.now) schedule.next += schedule.every
    }
  }
}

/** The processes, as they are. */
class Reality {
  readonly clock: VirtualClock = new VirtualClock(() => this.#settle())
  readonly #path: string
  readonly #runners: (BackgroundRunner | undefined)[] = Array.from({ length: PROCESSES }, () => undefined)
  readonly #handlers: Set<() => void> = new Set()
  readonly #faults: unknown[] = []

  constructor(path: string) {
    this.#path = path
  }

  get open(): BackgroundRunner[] {
    return this.#runners.filter((runner) => runner !== undefined)
  }

  /** The process of this number, or else any. */
  process(number: number): BackgroundRunner | undefined {
    return this.#runners[number] ?? this.open[0]
  }

  async startOrStop(number: number): Promise<void> {
    const runner = this.#runners[number]
    if (runner === undefined) {
      const work = defineTask({ run: (_input: unknown, { signal }) => this.#handle(signal) })
      const started = new BackgroundRunner({
        tasks: { work },
        engine: sqlite({ path: this.#path }),
        clock: this.clock,
        concurrency: 1_000,
      })
      started.on('error', (error) => void this.#faults.push(error))
      this.#runners[number] = started as BackgroundRunner
      await started.ready()
    } else {
      this.#runners[number] = undefined
      const closing = runner.close({ deadline: 0, drain: false })
      await this.clock.advance(0)
      await closing
    }
    await this.#settle()
  }

  /** Works until it is told to end, or asked to stop. */
  #handle(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const end = (): void => {
        this.#handlers.delete(end)
        resolve()
      }
      this.#handlers.add(end)
      signal.addEventListener('abort', () => {
        this.#handlers.delete(end)
        reject(signal.reason)
      })
    })
  }

  async finish(): Promise<void> {
    while (this.#handlers.size > 0) {
      for (const end of [...this.#handlers]) end()
      await this.#settle()
    }
  }

  async #settle(): Promise<void> {
    for (let before = -1; before !== written.commits; ) {
      before = written.commits
      for (const runner of this.open) await runner.counts() // who reads notices what others have written
      await turns()
    }
  }

  /** Fails unless all that is stored is as the model has it. */
  async agrees(model: Model): Promise<void> {
    await this.#settle()
    assert.deepEqual(this.#faults, [])
    const runner = this.open.at(-1)
    if (runner === undefined) return
    const seconds = (time: number): number => (time - DAWN) / 1_000
    const told = (await runner.schedules()).map((each: ScheduleRecord) => {
      const { id, every = 0, overlap, next, last } = each
      return { id, every: every / 1_000, overlap, next: seconds(next), last: last && seconds(last) }
    })
    const expected = [...model.schedules].map(([id, { every, overlap, next, last }]) => ({
      id,
      every,
      overlap,
      next,
      last,
    }))
    assert.deepEqual(
      told,
      expected.sort((a, b) => (a.id < b.id ? -1 : 1)),
    )
    const { tasks } = await runner.list({ limit: 1_000 })
    const ids = tasks.map(({ id }) => id.replace(/\d+$/, (time) => String(seconds(Number(time)))))
    assert.deepEqual(ids.sort(), [...model.submitted].sort())
  }

  async end(): Promise<void> {
    await this.finish()
    for (let n = 0; n < PROCESSES; n++) if (this.#runners[n] !== undefined) await this.startOrStop(n)
  }
}

async function live(history: readonly Step[], path: string): Promise<void> {
  const model = new Model()
  const reality = new Reality(path)
  try {
    await reality.startOrStop(0)
    await reality.startOrStop(1)
    for (const step of history) {
      await take(step, model, reality)
      await reality.agrees(model)
    }
  } finally {
    await reality.end()
  }
}

async function take(step: Step, model: Model, reality: Reality): Promise<void> {
  switch (step.do) {
    case 'wait':
      for (let second = 0; second < step.seconds; second++) model.second()
      return reality.clock.advance(step.seconds * 1_000)
    case 'schedule': {
      const { id, every, overlap } = step
      const runner = reality.process(step.by)
      if (runner === undefined) return
      model.schedule(id, every, overlap)
      return runner.schedule(id, { task: 'work', every: every * 1_000, overlap })
    }
    case 'unschedule': {
      const runner = reality.process(step.by)
      if (runner === undefined) return
      assert.equal(await runner.unschedule(step.id), model.schedules.delete(step.id))
      return
    }
    case 'finish':
      model.finish()
      return reality.finish()
    case 'start or stop':
      await reality.startOrStop(step.which)
      model.isAnyoneThere = reality.open.length > 0
      return model.look()
  }
}

const folder = folderForMany()
afterAll(() => rmSync(folder, { recursive: true }))
let files = 0

it('random histories of schedules in several processes agree with the model', { timeout: TIMEOUT }, async () => {
  await fc.assert(
    fc.asyncProperty(
      steps,
      patiently((history) => live(history, join(folder, `${files++}.db`))),
    ),
    parameters(1, RUNS),
  )
})
