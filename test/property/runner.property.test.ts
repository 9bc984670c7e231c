/** The runner against the reference model: random histories, after each step the same states, attempts and slots. */
import {
  BackgroundRunner,
  defineTask,
  NonRetryableError,
  QueueFullError,
  RetryLaterError,
  type TaskRecord,
} from 'background-runner'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { turns } from '../../src/testing/real-time.js'
import { DAWN, VirtualClock } from '../../src/testing/virtual-clock.js'
import { Model, type ModelTask, type Spec } from './model.js'

const RUNS = Number(process.env['RUNS'] ?? (process.env['CI'] === 'true' ? 500 : 75))
/** Four tests share the runs, so that each stays short. */
const PARTS = [1, 2, 3, 4]
const MAX_PENDING = 12

type Ending = 'success' | 'failure' | 'fatal' | 'later' | 'anything'
interface Running {
  end(ending: Ending): void
}

/** What handlers may throw; none of it may harm anybody else. */
const ANYTHING: readonly (() => unknown)[] = [
  () => undefined,
  () => 'a string',
  () => Object.freeze(new Error('frozen')),
  () => ({
    get message(): string {
      throw new Error('a getter that throws')
    },
  }),
  () => Object.create(null),
  () => Symbol('thrown'),
  () => 42n,
]

type Step =
  | { type: 'submit'; spec: Spec }
  | { type: 'submitMany'; specs: readonly Spec[] }
  | { type: 'cancel'; at: number; force: boolean }
  | { type: 'retry'; at: number; delay: number }
  | { type: 'setPriority'; at: number; priority: number }
  | { type: 'remove'; at: number }
  | { type: 'pause' }
  | { type: 'resume' }
  | { type: 'concurrency'; to: number }
  | { type: 'advance'; ms: number }
  | { type: 'end'; at: number; ending: Ending }
  | { type: 'close'; drain: boolean }

const spec: fc.Arbitrary<Spec> = fc.record({
  deaf: fc.boolean(),
  priority: fc.integer({ min: -2, max: 2 }),
  delay: fc.constantFrom(0, 0, 0, 700, 2_300, 600_000),
  attempts: fc.integer({ min: 1, max: 3 }),
  backoff: fc.constantFrom(0, 1_100, 30_000),
  timeout: fc.constantFrom(undefined, undefined, 1_900, 9_000),
})
const at = fc.nat({ max: 30 })
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ type: fc.constant('submit' as const), spec }) },
  {
    weight: 1,
    arbitrary: fc.record({ type: fc.constant('submitMany' as const), specs: fc.array(spec, { maxLength: 5 }) }),
  },
  { weight: 3, arbitrary: fc.record({ type: fc.constant('cancel' as const), at, force: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('retry' as const), at, delay: fc.constantFrom(0, 0, 1_300) }) },
  {
    weight: 2,
    arbitrary: fc.record({ type: fc.constant('setPriority' as const), at, priority: fc.integer({ min: -3, max: 3 }) }),
  },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('remove' as const), at }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('pause' as const) }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('resume' as const) }) },
  {
    weight: 1,
    arbitrary: fc.record({ type: fc.constant('concurrency' as const), to: fc.integer({ min: 1, max: 4 }) }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      type: fc.constant('advance' as const),
      ms: fc.constantFrom(0, 10, 500, 1_000, 5_000, 61_000, 601_000),
    }),
  },
  {
    weight: 8,
    arbitrary: fc.record({
      type: fc.constant('end' as const),
      at,
      ending: fc.constantFrom<Ending[]>('success', 'success', 'failure', 'fatal', 'later', 'anything'),
    }),
  },
)
const history = fc.record({
  concurrency: fc.integer({ min: 1, max: 3 }),
  steps: fc.array(step, { maxLength: 58, size: 'max' }),
  close: fc.boolean(),
})

describe('random histories agree with the reference model', () => {
  for (const part of PARTS) {
    it(`in every state, attempt, slot and event (part ${part} of ${PARTS.length})`, { timeout: 30_000 }, async () => {
      await fc.assert(fc.asyncProperty(history, run), {
        numRuns: RUNS,
        endOnFailure: process.env['SHRINK'] === undefined,
        ...seed(part),
      })
    })
  }
})

/** A failure prints its seed and its history at once; SEED repeats it, SHRINK=1 makes the history short, which takes a while. */
function seed(part: number): { seed: number } {
  const base = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31))
  if (part === 1) console.log(`property seed: SEED=${base}`)
  return { seed: (base + part) | 0 }
}

async function run({
  concurrency,
  steps,
  close,
}: {
  concurrency: number
  steps: readonly Step[]
  close: boolean
}): Promise<void> {
  const world = new World(concurrency)
  for (const each of steps) {
    await world.apply(each)
    await world.agree()
  }
  await world.finish(close)
}

class World {
  readonly clock: VirtualClock = new VirtualClock()
  readonly model: Model
  readonly running: Map<string, Running> = new Map()
  readonly events: Map<string, string[]> = new Map()
  readonly faults: unknown[] = []
  readonly runner: ReturnType<World['create']>
  #anything = 0

  constructor(concurrency: number) {
    this.model = new Model(DAWN, concurrency, MAX_PENDING)
    this.runner = this.create(concurrency)
    for (const event of ['submitted', 'started', 'retrying', 'succeeded', 'failed', 'cancelled'] as const) {
      this.runner.on(event, (record: TaskRecord) => {
        const told = this.events.get(record.id) ?? []
        told.push(event)
        this.events.set(record.id, told)
      })
    }
    this.runner.on('error', (error) => this.faults.push(error))
  }

  create(concurrency: number) {
    return new BackgroundRunner({
      concurrency,
      clock: this.clock,
      maxPending: MAX_PENDING,
      tasks: {
        work: defineTask({
          run: (input: { deaf: boolean }, { id, attempt, signal }): Promise<string> =>
            new Promise((resolve, reject) => {
              if (!input.deaf) signal.addEventListener('abort', () => reject(signal.reason))
              this.running.set(`${id} ${attempt}`, {
                end: (ending) => {
                  if (ending === 'success') resolve('done')
                  else if (ending === 'failure') reject(new Error('failed'))
                  else if (ending === 'fatal') reject(new NonRetryableError('fatal'))
                  else if (ending === 'later') reject(new RetryLaterError({ delay: 1_700 }))
                  else reject(ANYTHING[this.#anything++ % ANYTHING.length]?.())
                },
              })
            }),
        }),
      },
    })
  }

  async apply(step: Step): Promise<void> {
    const { model, runner } = this
    switch (step.type) {
      case 'submit':
        return this.#submit([step.spec], async () => [
          await runner.submit('work', { deaf: step.spec.deaf }, options(step.spec)),
        ])
      case 'submitMany':
        return this.#submit(step.specs, () =>
          runner.submitMany(
            'work',
            step.specs.map(({ deaf }) => ({ deaf })),
            (_, index) => options(step.specs[index] as Spec),
          ),
        )
      case 'pause':
        await runner.pause()
        model.paused = true
        return
      case 'resume':
        await runner.resume()
        model.paused = false
        return
      case 'concurrency':
        runner.concurrency = step.to
        model.concurrency = step.to
        return
      case 'advance':
        await this.clock.advance(step.ms)
        model.advance(step.ms)
        return
      case 'end': {
        const task = pick(model.all('running'), step.at)
        if (task === undefined) return
        this.running.get(`${task.id} ${task.attempt}`)?.end(step.ending)
        if (step.ending === 'success') model.succeed(task)
        else model.reject(task, step.ending === 'failure' || step.ending === 'anything' ? 'plain' : step.ending, 1_700)
        return
      }
      case 'cancel':
        return this.#steer(
          step.at,
          ['queued', 'scheduled', 'running'],
          (id) => runner.cancel(id, { reason: 'asked', force: step.force }),
          (task) => model.cancel(task, step.force),
        )
      case 'retry':
        return this.#steer(
          step.at,
          ['failed', 'cancelled'],
          (id) => runner.retry(id, { delay: step.delay }),
          (task) => model.retry(task, step.delay),
        )
      case 'setPriority':
        return this.#steer(
          step.at,
          ['queued', 'scheduled'],
          (id) => runner.setPriority(id, step.priority),
          (task) => {
            task.current = step.priority
          },
        )
      case 'remove':
        return this.#steer(
          step.at,
          ['succeeded', 'failed', 'cancelled'],
          (id) => runner.remove(id),
          (task) => {
            model.tasks.delete(task.id)
          },
        )
    }
  }

  async #submit(specs: readonly Spec[], submit: () => Promise<{ id: string }[]>): Promise<void> {
    if (!this.model.hasRoomFor(specs.length)) return expect(submit()).rejects.toBeInstanceOf(QueueFullError)
    const handles = await submit()
    for (const [index, { id }] of handles.entries()) this.model.submit(id, specs[index] as Spec)
  }

  async #steer(
    at: number,
    allowed: readonly string[],
    verb: (id: string) => Promise<unknown>,
    apply: (task: ModelTask) => void,
  ): Promise<void> {
    const task = pick([...this.model.tasks.values()], at)
    if (task === undefined)
      return expect(
        verb('unknown').then((found) => found === false && Promise.reject({ code: 'TASK_NOT_FOUND' })),
      ).rejects.toMatchObject({ code: 'TASK_NOT_FOUND' })
    if (!allowed.includes(task.state)) return expect(verb(task.id)).rejects.toMatchObject({ code: 'INVALID_STATE' })
    await verb(task.id)
    apply(task)
  }

  /** Lets what was begun settle, and compares everything. */
  async agree(): Promise<void> {
    await turns()
    this.model.schedule()
    const { tasks } = await this.runner.list({ limit: 1_000 })
    const shown = (
      each: { id: string; state: string; attempt: number; maxAttempts: number; runAt: number },
      priority: number,
    ): string => `${each.id} ${each.state} ${each.attempt}/${each.maxAttempts} p${priority} @${each.runAt - DAWN}`
    expect(tasks.map((each) => shown(each, each.priority))).toEqual(
      [...this.model.tasks.values()].reverse().map((each) => shown(each, each.current)),
    )
    for (const task of this.model.tasks.values()) expect(this.events.get(task.id)).toEqual(task.events)
    expect(this.faults).toEqual([])
  }

  async finish(drain: boolean): Promise<void> {
    const { model, runner, clock } = this
    if (drain) {
      // Everything can come to an end.
      await runner.resume()
      const unfinished = async (): Promise<number> => {
        const { queued, scheduled, running } = await runner.counts()
        return queued + scheduled + running
      }
      for (let rounds = 0; rounds < 60 && (await unfinished()) > 0; rounds++) {
        for (const each of this.running.values()) each.end('success')
        this.running.clear()
        await clock.advance(rounds % 3 === 0 ? 601_000 : 0)
      }
      expect(await unfinished()).toBe(0)
      const { completed, returned, abandoned, pending } = await runner.close()
      expect({ completed, returned, abandoned, pending }).toEqual({
        completed: 0,
        returned: 0,
        abandoned: 0,
        pending: 0,
      })
      return
    }
    model.completed = 0
    model.closing = true
    const closing = runner.close({ drain: false, deadline: 1_500 })
    await clock.advance(2_500)
    model.advance(1_500)
    model.shutDown()
    model.advance(1_000)
    expect(await closing).toEqual({
      completed: model.completed,
      returned: model.returned,
      abandoned: model.all('running').length,
      pending: model.pending - model.returned,
    })
    // What was abandoned may still end: nothing of it may be heard.
    const before = JSON.stringify([...this.events])
    for (const each of this.running.values()) each.end('failure')
    await turns()
    expect(JSON.stringify([...this.events])).toBe(before)
    expect(this.faults).toEqual([])
  }
}

function options({ priority, delay, attempts, backoff, timeout }: Spec) {
  return {
    priority,
    delay,
    retry: { attempts, backoff: { type: 'fixed', delay: backoff } },
    ...(timeout !== undefined && { timeout }),
  } as const
}

function pick<T>(from: readonly T[], at: number): T | undefined {
  return from.length === 0 ? undefined : from[at % from.length]
}
