/**
 * A place for handlers away from their test: another thread, another process. Every definition of a world is run there by
 * a puppet, and the test's own handler, here, pulls its strings.
 */
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { types } from 'node:util'
import {
  type BackgroundRunner,
  defineTask,
  type StandardSchema,
  type TaskDefinition,
  type TaskMap,
} from 'background-runner'
import type { Place, Setup } from '../../../src/testing/conformance/world.js'
import { PuppetContext } from './context.js'
import { type Called, GoneError, type Link, type Listener, type Puppeteer } from './link.js'

/** Real ms for which it is waited that what is under way arrives. */
const PATIENCE = 10_000
/** Real ms for which a worker keeps a progress back. */
const PROGRESS = 8

/** One definition of the test, and what it is busy with before its handler can be called. */
interface Original {
  readonly definition: TaskDefinition
  /** Setups and schemas that have not answered. */
  thinking: number
}

/** One call of a handler. */
interface Call {
  readonly worker: Puppeteer
  /** Calls the test's handler. */
  readonly perform: () => void
  /** The test's handler has settled. */
  settled: boolean
}

/** An attempt, as records and calls name it. */
interface Attempted {
  readonly name: string
  readonly id: string
  readonly attempt: number
}

/** The place of one world. */
export class PuppetPlace implements Place, Listener {
  readonly link: Link
  readonly isolation: 'thread' | 'process'
  #over = false
  /** Workers that others have left. */
  readonly #before: ReadonlySet<unknown>
  readonly #casts: Map<TaskMap, Cast> = new Map()
  readonly #workers: Set<Puppeteer> = new Set()
  /** Saves and ends that have not been answered. */
  readonly #pending: Set<Promise<unknown>> = new Set()
  readonly #faults: unknown[] = []
  #progressAt = Number.NEGATIVE_INFINITY

  constructor(link: Link, isolation: 'thread' | 'process') {
    this.link = link
    this.#before = link.workers.alive
    link.listener = this
    this.isolation = isolation
  }

  tasks(setup: Setup): TaskMap {
    const cast = new Cast(this, setup)
    this.#casts.set(cast.tasks, cast)
    return cast.tasks
  }

  opened(runner: BackgroundRunner, tasks: TaskMap): void {
    this.#casts.get(tasks)?.serve(runner)
  }

  called(worker: Puppeteer, report: Called): void {
    if (this.#over) return
    this.#workers.add(worker)
    const { pid, thread } = report.from
    const here = pid === process.pid ? (thread === 0 ? 'inline' : 'thread') : 'process'
    if (here !== this.isolation) this.fault(new Error(`a handler was called in the wrong place: ${here}`))
    const cast = [...this.#casts.values()].find((each) => each.expects(report))
    if (cast === undefined) this.fault(new Error(`a handler was called that no runner waits for: ${keyOf(report)}`))
    else cast.called(worker, report)
  }

  /** @param must a fault of it is one of the suite, not of a handler */
  track(work: Promise<unknown>, must = false): void {
    this.#pending.add(work)
    work
      .catch((error: unknown) => {
        if (must && !(error instanceof GoneError)) this.#faults.push(error)
      })
      .finally(() => this.#pending.delete(work))
  }

  fault(error: unknown): void {
    this.#faults.push(error)
  }

  progressed(): void {
    this.#progressAt = performance.now()
  }

  async quiet(): Promise<boolean> {
    let moved = false
    const until = performance.now() + PATIENCE
    while (await this.#isUnderWay()) {
      if (performance.now() > until) return false
      moved = true
      await sleep(1)
    }
    const kept = this.#progressAt + PROGRESS - performance.now()
    if (kept > 0) await sleep(kept)
    // Whoever was asked to stop has heard of it, and was heard.
    const workers = [...this.#workers].filter(({ gone }) => !gone)
    await Promise.all(
      workers.map((worker) =>
        worker.request(0, { what: 'ping' }).catch(() => {
          moved = true
        }),
      ),
    )
    if (this.#faults.length > 0) throw this.#faults[0]
    return moved
  }

  /** Whether something has been sent, or begun, that has not arrived. */
  async #isUnderWay(): Promise<boolean> {
    if (this.#pending.size > 0 || this.link.workers.isStarting(this.#before)) return true
    for (const worker of this.#workers) {
      if (worker.gone && worker.identity !== undefined && this.link.workers.isAlive(worker.identity)) return true
    }
    for (const cast of this.#casts.values()) if (await cast.isUnderWay()) return true
    return false
  }

  /** Once the runners of the world are closed. @param left what of it may be left */
  async end(left: 'nothing' | 'idle workers'): Promise<void> {
    this.#over = true
    if (left === 'idle workers') return
    const until = performance.now() + PATIENCE
    const own = (): number => [...this.link.workers.alive].filter((each) => !this.#before.has(each)).length
    while (own() > 0 && performance.now() < until) await sleep(1)
    assert.equal(own(), 0, 'after the test: workers are left after close')
  }
}

/** The definitions of one runner. */
class Cast {
  readonly tasks: TaskMap
  readonly #place: PuppetPlace
  readonly #originals: Map<string, Original> = new Map()
  readonly #calls: Map<string, Call> = new Map()
  /** Attempts that have started and whose handlers have not been called, in their order; what has to land before each. */
  readonly #line: Map<string, readonly string[]> = new Map()
  /** Attempts whose handlers have settled, and which have no verdict yet. */
  readonly #landing: Set<string> = new Set()
  /** Attempts that have started, and whether they have a verdict. */
  readonly #started: Map<string, boolean> = new Map()
  /** An app's own `context.run` may call its handler whenever it likes. */
  readonly #isErratic: boolean
  #runner: BackgroundRunner | undefined

  constructor(place: PuppetPlace, { tasks, context }: Setup) {
    this.#place = place
    this.#isErratic = context?.run !== undefined
    this.tasks = Object.fromEntries(
      Object.entries(tasks).map(([name, definition], i) => [name, this.#placed(name, definition, i)]),
    )
  }

  #placed(name: string, definition: TaskDefinition, number: number): TaskDefinition {
    const original: Original = { definition, thinking: 0 }
    this.#originals.set(name, original)
    const module = this.#place.link.moduleFor(number)
    const { input, retry, timeout, priority, concurrency, setup } = definition
    return defineTask({
      ...(input && { input: watched(input, original) }),
      ...(retry && { retry }),
      ...(timeout !== undefined && { timeout }),
      ...(setup && { setup: () => thinking(original, setup) }),
      priority,
      concurrency,
      isolation: this.#place.isolation,
      module,
      // Idle workers are left to the next case, see recycle.ts.
      worker: { idleTimeout: '10m' },
    } as never)
  }

  /**
   * Handlers are called in the order in which their attempts have started, however long each worker takes to start, and
   * when those have landed that had settled before.
   */
  serve(runner: BackgroundRunner): void {
    this.#runner = runner
    runner.on('started', (record) => {
      this.#started.set(keyOf(record), false)
      if (!this.#isErratic) this.#line.set(keyOf(record), [...this.#landing])
    })
    for (const event of ['retrying', 'succeeded', 'failed', 'cancelled'] as const)
      runner.on(event, (record) => {
        if (this.#started.has(keyOf(record))) this.#started.set(keyOf(record), true)
        this.#line.delete(keyOf(record))
        this.#landing.delete(keyOf(record))
        this.#proceed()
      })
  }

  /** Whether it waits for this call. */
  expects(report: Called): boolean {
    return this.#started.has(keyOf(report)) && !this.#calls.has(keyOf(report))
  }

  called(worker: Puppeteer, report: Called): void {
    const key = keyOf(report)
    const original = this.#originals.get(report.name) as Original
    const call: Call = { worker, perform: () => this.#perform(original, call, report), settled: false }
    this.#calls.set(key, call)
    if (this.#line.has(key)) this.#proceed()
    else call.perform()
  }

  #proceed(): void {
    for (const [key, before] of this.#line) {
      const call = this.#calls.get(key)
      if (call === undefined ? !this.#isThinking(key) : before.some((each) => this.#landing.has(each))) return
      this.#line.delete(key)
      call?.perform()
    }
  }

  #perform({ definition }: Original, call: Call, report: Called): void {
    const { worker } = call
    const place = this.#place
    const ctx = new PuppetContext(worker, report, place)
    const settle = (what: 'return' | 'throw', value: unknown): void => {
      call.settled = true
      if (this.#started.get(keyOf(report)) === false) this.#landing.add(keyOf(report))
      try {
        place.track(worker.request(report.call, { what, value: worker.pack(value) }), true)
      } catch (error) {
        place.fault(error)
        place.track(worker.request(report.call, { what: 'throw', value: worker.pack(String(error)) }))
      }
    }
    try {
      const result = definition.run(worker.unpack(report.input) as never, ctx)
      if (!types.isPromise(result)) return settle('return', result)
      result.then(
        (value) => settle('return', value),
        (error) => settle('throw', error),
      )
    } catch (error) {
      settle('throw', error)
    }
  }

  /** Whether a task runs here and not yet there, or no longer there. */
  async isUnderWay(): Promise<boolean> {
    const listed = await this.#runner?.list({ states: ['running'], limit: 1_000 }).catch(() => undefined)
    const running = listed?.tasks ?? []
    const keys = new Set(running.map(keyOf))
    for (const waiting of [this.#line, this.#landing])
      for (const key of waiting.keys()) if (!keys.has(key)) waiting.delete(key)
    this.#proceed()
    return running.some((task) => {
      const call = this.#calls.get(keyOf(task))
      return call === undefined ? !this.#isThinking(keyOf(task)) : call.settled || call.worker.gone
    })
  }

  /** Whether the handler of this attempt need not be called yet. */
  #isThinking(key: string): boolean {
    const name = key.slice(0, key.lastIndexOf('/', key.lastIndexOf('/') - 1))
    return this.#isErratic || (this.#originals.get(name)?.thinking ?? 0) > 0
  }
}

function keyOf({ name, id, attempt }: Attempted): string {
  return `${name}/${id}/${attempt}`
}

/** Counts `work` as thinking until it has answered. */
function thinking<Value>(original: Original, work: () => Value): Value {
  const value = work()
  if (types.isPromise(value)) {
    original.thinking++
    const done = (): void => void original.thinking--
    value.then(done, done)
  }
  return value
}

function watched(schema: StandardSchema, original: Original): StandardSchema {
  const standard = schema['~standard']
  return {
    '~standard': {
      ...standard,
      validate: (value) => thinking(original, () => standard.validate(value)),
    },
  }
}
