/** The runner and the reference model, side by side: what is done to the one is done to the other, and then they are compared. */
import {
  BackgroundRunner,
  defineTask,
  type Engine,
  NonRetryableError,
  QueueFullError,
  RetryLaterError,
  type TaskRecord,
} from 'background-runner'
import { expect } from 'vitest'
import { DAWN, VirtualClock } from '../../src/testing/virtual-clock.js'
import type { Ending, History, Step } from './history.js'
import { Model, type ModelTask, type Spec } from './model.js'

const MAX_PENDING = 12

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

/** Where the tasks of one history live. */
export interface Home {
  /** An engine over them: another one after each crash. */
  engine(): Engine
  /** Resolves when all that can happen at this instant has happened. */
  settle(): Promise<void>
  /** Ends the process that has the last engine, without a goodbye. */
  crash(): void
}

export async function live({ concurrency, steps, close }: History, home: Home): Promise<void> {
  const world = new World(concurrency, home)
  await world.runner.ready()
  for (const each of steps) {
    await world.apply(each)
    await world.agree()
  }
  await world.finish(close)
}

class World {
  readonly model: Model
  readonly running: Map<string, Running> = new Map()
  readonly events: Map<string, string[]> = new Map()
  readonly faults: unknown[] = []
  readonly #home: Home
  clock: VirtualClock
  runner: ReturnType<World['create']>
  #anything = 0

  constructor(concurrency: number, home: Home) {
    this.model = new Model(DAWN, concurrency, MAX_PENDING)
    this.#home = home
    this.clock = new VirtualClock(() => home.settle())
    this.runner = this.create()
  }

  create() {
    const runner = new BackgroundRunner({
      concurrency: this.model.concurrency,
      clock: this.clock,
      engine: this.#home.engine(),
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
    for (const event of ['submitted', 'started', 'retrying', 'succeeded', 'failed', 'cancelled'] as const) {
      runner.on(event, (record: TaskRecord) => {
        const told = this.events.get(record.id) ?? []
        told.push(event)
        this.events.set(record.id, told)
      })
    }
    runner.on('error', (error) => {
      if (runner === this.runner) this.faults.push(error) // one whose process has died has nothing to say
    })
    return runner
  }

  /** @param busy with a verdict and a submit on their way */
  async #crash(busy: boolean, at: number): Promise<void> {
    const { model, runner, clock } = this
    if (busy) {
      const task = pick(model.all('running'), at)
      if (task !== undefined) this.#end(task, 'success')
      runner.submit('work', { deaf: true }).catch(() => {})
    }
    this.#home.crash()
    this.clock = new VirtualClock(() => this.#home.settle(), model.now)
    this.runner = this.create()
    // What is left of it in this process comes to its end, and can do nothing.
    const closed = runner.close({ deadline: 0 })
    await clock.advance(2_000)
    await closed
    await this.runner.ready()
    model.crash()
  }

  #end({ id, attempt }: ModelTask, ending: Ending): void {
    this.running.get(`${id} ${attempt}`)?.end(ending)
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
        this.#end(task, step.ending)
        if (step.ending === 'success') model.succeed(task)
        else model.reject(task, step.ending === 'failure' || step.ending === 'anything' ? 'plain' : step.ending, 1_700)
        return
      }
      case 'crash':
        return this.#crash(step.busy, step.at)
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
    await this.#home.settle()
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
    await this.#home.settle()
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
