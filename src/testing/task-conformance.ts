/**
 * What every good task type does, whatever it does: refuses bad input at submit, gives an output that JSON can hold, obeys
 * its signal, can run again after any failure, and leaves nothing open.
 *
 * The runs are real ones: of a real runner, in real time, with whatever the task does to the world. Each has a runner of
 * its own, so `setup` and its teardown are tried as often.
 */
import {
  BackgroundRunner,
  type Duration,
  type EngineAttempt,
  type InputIssue,
  type InputOf,
  InvalidInputError,
  type StoredTask,
  type SubmitOptions,
  type TaskContext,
  type TaskDefinition,
  type TaskRecord,
} from '../index.js'
import { GatedEngine } from './gated-engine.js'
import { type IsolatedOption, issuesOf, patienceFor, placed } from './isolated.js'
import { failure, show } from './match.js'
import { nextTurn, sleep, stopwatch, turns } from './real-time.js'
import { showSpan, toMs } from './span.js'

export interface TaskConformanceOptions<Input> extends IsolatedOption {
  /** Inputs with which the task succeeds, each time. Each is run about ten times. */
  readonly valid: readonly Input[]
  /** Inputs that are refused at submit; of no type, as a request brings them. */
  readonly invalid: readonly unknown[]
  /**
   * How long a run may take, and what it leaves behind to go away, in real time.
   *
   * @default '2s'; where it is `isolated`, '10s'
   */
  readonly realTimeout?: Duration
  /** How long a handler has to settle when its signal is aborted, in real time. @default '2s' */
  readonly grace?: Duration
}

/**
 * Tries a task type. Anything that it does wrong is listed in one error.
 *
 * @example
 * it('is a good task type', () => taskConformance(resize, { valid: [{ width: 80 }], invalid: [{ width: -1 }, null] }))
 *
 * @throws {AssertionError} (rejects with it) naming each input and what was wrong with it
 * @throws {InvalidInputError} an option is wrong
 */
export async function taskConformance<Task extends TaskDefinition>(
  definition: Task,
  options: TaskConformanceOptions<InputOf<Task>>,
): Promise<void> {
  const { valid, invalid, isolated = false } = options ?? {}
  const lists = Object.entries({ valid, invalid })
  const issues = lists.filter(([, list]) => !Array.isArray(list)).map(([field, list]) => missing(field, list))
  issues.push(...issuesOf(isolated))
  if (issues.length > 0) throw new InvalidInputError(SUBJECT, issues)
  const realTimeout = toMs(options.realTimeout ?? patienceFor(isolated), 'realTimeout', SUBJECT)
  const grace = toMs(options.grace ?? '2s', 'grace', SUBJECT)
  const before = openHandles()
  const trial = new Trial(placed(definition, isolated), realTimeout, grace)
  if (valid.length === 0) trial.wrong.push('valid is empty: with no input that it takes nothing can be tried')
  for (const [i, input] of invalid.entries()) await trial.refuses(`invalid[${i}] ${show(input)}`, input)
  for (const [i, input] of valid.entries()) await trial.runs(`valid[${i}] ${show(input)}`, input)
  const left = await leftOpen(before, realTimeout)
  if (left.length > 0) trial.wrong.push(`it leaves open what it opened: ${left.join(', ')}`)
  if (trial.wrong.length === 0) return
  throw failure(`this is not a good task type:\n${trial.wrong.map((each) => `  - ${each}`).join('\n')}`, {
    actual: trial.wrong,
    expected: [],
    caller: taskConformance,
  })
}

const SUBJECT = 'bad options of taskConformance'

function missing(field: string, list: unknown): InputIssue {
  return { message: `must be an array of inputs, got ${show(list)}`, path: [field] }
}

/** When the signal of an attempt is aborted; `usual`: ms that the handler takes. */
interface Moment {
  readonly name: string
  readonly comes: (run: WatchedRun, usual: number) => Promise<unknown>
}

const BEFORE: Moment = { name: 'before its handler was called', comes: (run) => run.ready.opened }

const MOMENTS: readonly Moment[] = [
  BEFORE,
  { name: 'as soon as its handler was called', comes: (run) => run.called.opened },
  { name: 'on the next turn of the event loop', comes: (run) => run.called.opened.then(nextTurn) },
  { name: 'half-way', comes: (run, usual) => run.called.opened.then(() => sleep(usual / 2)) },
]
const AFTER_SAVE: Moment = { name: 'after its first save', comes: (run) => run.saved.opened }

class Trial {
  /** What the task does wrong, a sentence each. */
  readonly wrong: string[] = []
  readonly #definition: TaskDefinition
  readonly #realTimeout: number
  readonly #grace: number

  constructor(definition: TaskDefinition, realTimeout: number, grace: number) {
    this.#definition = definition
    this.#realTimeout = realTimeout
    this.#grace = grace
  }

  async refuses(name: string, input: unknown): Promise<void> {
    await this.#withRunner(this.#watch(), async (runner) => {
      await runner.pause() // what is taken by mistake shall do no harm
      const taken = await runner.submit('task', input).then(
        () => true,
        () => false,
      )
      if (taken) this.wrong.push(`${name}: submit takes it`)
    })
  }

  /** Twice in one runner, then stopped at each moment and run again. */
  async runs(name: string, input: unknown): Promise<void> {
    const first = this.#watch()
    const good = await this.#withRunner(first, async (runner) => {
      for (const time of ['', ', run a second time'])
        if (!this.#isGood(`${name}${time}`, await this.#submit(runner, input, this.#realTimeout))) return false
      return true
    })
    if (!good) return
    for (const moment of first.hasSaved ? [...MOMENTS, AFTER_SAVE] : MOMENTS)
      if (!(await this.#stops(name, input, moment, first.took))) return // the next one would tell the same
  }

  async #stops(name: string, input: unknown, moment: Moment, usual: number): Promise<boolean> {
    const run = this.#watch({ held: moment === BEFORE })
    return this.#withRunner(run, async (runner) => {
      await run.prepare((options) => this.#submit(runner, input, this.#realTimeout, options))
      let obeys = true
      // One that ends before it can be stopped is good, too.
      const stop = (force: boolean): Promise<unknown> => runner.cancel(run.id, { force }).catch(() => {})
      runner.on('unresponsive', () => {
        obeys = false
        return stop(true)
      })
      const ending = this.#submit(runner, input, this.#realTimeout + this.#grace)
      let waited = (): number => 0
      await Promise.race([
        ending,
        moment.comes(run, usual).then(() => {
          waited = stopwatch()
          return stop(false)
        }),
      ])
      run.released.open()
      const end = await ending
      // Who does not obey in a worker is ended, and does not become unresponsive.
      if (!obeys || (run.isIsolated && waited() >= this.#grace)) {
        const when = `when its signal is aborted ${moment.name}`
        this.wrong.push(`${name}: its handler does not settle within ${showSpan(this.#grace)} ${when}`)
        return false
      }
      if (typeof end === 'string' || end.state !== 'cancelled') return this.#isGood(name, end)
      await runner.retry(end.id)
      const next = await this.#end(runner, end.id, this.#realTimeout)
      return this.#isGood(`${name}, run again after it was aborted ${moment.name}`, next)
    })
  }

  #isGood(name: string, end: TaskRecord | string): boolean {
    if (typeof end === 'string') this.wrong.push(`${name}: ${end}`)
    else if (end.state !== 'succeeded') this.wrong.push(`${name}: it is ${end.state}: ${told(end.error)}`)
    else if (end.outputError !== undefined) this.wrong.push(`${name}: its output is lost: ${told(end.outputError)}`)
    else return true
    return false
  }

  /** How it ended, or why it did not. */
  async #submit(
    runner: BackgroundRunner,
    input: unknown,
    within: number,
    options: SubmitOptions = {},
  ): Promise<TaskRecord | string> {
    try {
      const { id } = await runner.submit('task', input, { retry: { attempts: 1 }, ...options })
      return await this.#end(runner, id, within)
    } catch (error) {
      return `submit refuses it: ${told(error)}`
    }
  }

  async #end(runner: BackgroundRunner, id: string, within: number): Promise<TaskRecord | string> {
    try {
      return await runner.wait(id, { timeout: within })
    } catch {
      const { state, error } = (await runner.status(id)) ?? {}
      return `it is ${state} after ${showSpan(within)}${error === undefined ? '' : `: ${told(error)}`}`
    }
  }

  #watch(options?: { readonly held: boolean }): WatchedRun {
    return this.#definition.isolation === undefined
      ? new InlineRun(this.#definition, options)
      : new IsolatedRun(this.#definition, options)
  }

  async #withRunner<Result>(run: WatchedRun, use: (runner: BackgroundRunner) => Promise<Result>): Promise<Result> {
    const runner: BackgroundRunner = new BackgroundRunner({
      tasks: { task: run.definition },
      cancelGrace: this.#grace,
      ...(run.engine !== undefined && { engine: run.engine }),
    })
    if (run.engine !== undefined) {
      await runner.ready()
      run.engine.hold(false)
    }
    let closing = false
    runner.on('error', (error) => {
      const sentence = `its teardown fails: ${told(error)}`
      if (closing && !this.wrong.includes(sentence)) this.wrong.push(sentence)
    })
    try {
      return await use(runner)
    } finally {
      closing = true
      await runner.close({ deadline: 0, drain: false })
    }
  }
}

/** The first attempt of a task, which tells how far it is. */
abstract class WatchedRun {
  abstract readonly definition: TaskDefinition
  abstract readonly isIsolated: boolean
  /** The runner's, where that is of interest. */
  readonly engine?: GatedEngine
  readonly ready: Gate = new Gate()
  readonly called: Gate = new Gate()
  readonly saved: Gate = new Gate()
  /** What a handler that is held waits for. */
  readonly released: Gate = new Gate()
  id = ''
  hasSaved = false
  /** ms */
  took = 0

  constructor({ held = false } = {}) {
    if (!held) this.released.open()
  }

  /** What has to be done before a run is worth to be watched. */
  async prepare(_submit: (options: SubmitOptions) => Promise<unknown>): Promise<void> {}

  protected async watch<Result>(id: string, call: () => Promise<Result>): Promise<Result> {
    this.id = id
    this.ready.open()
    await this.released.opened
    const took = stopwatch()
    this.called.open()
    try {
      return await call()
    } finally {
      this.took = took()
    }
  }

  protected hasJustSaved(): void {
    this.hasSaved = true
    this.saved.open()
  }
}

/** Watched by its handler. */
class InlineRun extends WatchedRun {
  readonly definition: TaskDefinition
  readonly isIsolated = false

  constructor(definition: TaskDefinition, options?: { readonly held: boolean }) {
    super(options)
    const watched = (input: never, ctx: TaskContext): Promise<unknown> =>
      this.watch(ctx.id, async () => {
        const save: TaskContext['save'] = async (value) => {
          await ctx.save(value)
          this.hasJustSaved()
        }
        const seen = new Proxy(ctx, { get: (target, key) => (key === 'save' ? save : Reflect.get(target, key)) })
        return definition.run(input, seen)
      })
    this.definition = {
      ...definition,
      run: (input, ctx) => (ctx.attempt === 1 ? watched(input, ctx) : definition.run(input, ctx)),
    }
  }
}

/** Watched by its engine, since its handler is in a worker. */
class IsolatedRun extends WatchedRun {
  readonly definition: TaskDefinition
  readonly isIsolated = true
  override readonly engine: GatedEngine

  constructor(definition: TaskDefinition, options?: { readonly held: boolean }) {
    super(options)
    this.definition = definition
    this.engine = new GatedEngine({
      attempt: (task, attempt) => this.#watched(task, attempt),
      saved: (task) => {
        if (this.#isWatched(task)) this.hasJustSaved()
      },
      changed: () => {},
      hold: () => {},
      idle: () => {},
      telling: (tell) => tell(),
    })
  }

  /** Starts the worker: a signal that is aborted meanwhile would not reach the handler. */
  override async prepare(submit: (options: SubmitOptions) => Promise<unknown>): Promise<void> {
    await submit({ tags: [WARM_UP] })
  }

  #isWatched({ attempt, extras }: StoredTask): boolean {
    return attempt === 1 && extras?.tags?.includes(WARM_UP) !== true
  }

  #watched(task: StoredTask, attempt: EngineAttempt): EngineAttempt {
    if (!this.#isWatched(task)) return attempt
    return { run: () => this.watch(task.id, () => attempt.run()), stop: (why) => attempt.stop(why) }
  }
}

const WARM_UP = 'warm-up'

class Gate {
  readonly opened: Promise<void>
  open!: () => void

  constructor() {
    this.opened = new Promise((resolve) => {
      this.open = resolve
    })
  }
}

function told(error: unknown): string {
  const { code, message } = (error ?? {}) as { code?: unknown; message?: unknown }
  // An error may bring a diff of many lines; this is a list.
  return `${code === undefined ? '' : `${String(code)}: `}${String(message).split('\n', 1)[0]}`
}

/** What keeps this process alive: how many of each kind. */
function openHandles(): Map<string, number> {
  void [process.stdout, process.stderr] // which Node opens only when somebody prints: that would be taken for the task's
  const found = new Map<string, number>()
  for (const kind of process.getActiveResourcesInfo()) found.set(kind, (found.get(kind) ?? 0) + 1)
  return found
}

/** What is open now and was not before; a socket, say, gets some time to close. */
async function leftOpen(before: ReadonlyMap<string, number>, patience: number): Promise<string[]> {
  for (const waited = stopwatch(); ; await sleep(10)) {
    await turns()
    const more = [...openHandles()].map(([kind, count]): [string, number] => [kind, count - (before.get(kind) ?? 0)])
    const left = more
      .filter(([, count]) => count > 0)
      .map(([kind, count]) => (count === 1 ? kind : `${kind} × ${count}`))
    if (left.length === 0 || waited() >= patience) return left
  }
}
