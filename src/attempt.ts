/**
 * One attempt as a pipeline: prepare → validate → arm the timeout → execute → judge → Outcome.
 *
 * It never throws and never rejects: whatever a handler does becomes an outcome. The table "One attempt" in the README's
 * guarantees is `#fulfilled` and `#rejected`: a lost lease wins over all, then cancel, timeout, shutdown, in this order.
 */
import { type Alarm, after, type Clock } from './clock.js'
import type { AttemptWriter, EngineAttempt, Outcome, StopReason, Verdict } from './engine.js'
import { type ErrorLimits, read, serializeError } from './error-record.js'
import {
  EngineError,
  InvalidInputError,
  isFatal,
  laterOf,
  RunnerClosedError,
  show,
  TaskCancelledError,
  TaskTimeoutError,
} from './errors.js'
import { type Execution, type Remote, Taken } from './executor.js'
import { fallbackOf } from './fallback.js'
import { type ContextSource, HandlerContext } from './handler-context.js'
import { copyJson, type Json, snapshot } from './json.js'
import { type Logger, write } from './logger.js'
import { ProgressThrottle } from './progress.js'
import { type AttemptRecord, attemptsOf, type SerializedError, type StoredTask } from './record.js'
import { backoffDelay, type FilledRetry, mergeRetry } from './retry-policy.js'
import { parse } from './schema.js'
import type { TaskDefinition } from './task.js'
import { isThenable } from './thenable.js'
import { callWithin, type Restore } from './within.js'
import type { Work } from './work.js'

/** What all attempts of one runner share. */
export interface AttemptEnvironment {
  readonly clock: Clock
  /** Numbers in [0, 1). */
  readonly random: () => number
  /** ms between asking a handler to stop and calling it unresponsive. */
  readonly cancelGrace: number
  /** Whether tasks of this name are held now. */
  readonly isHeld: (name: string) => Promise<boolean>
  /** The largest values in bytes of JSON, and the longest texts of an error. */
  readonly limits: ErrorLimits & { readonly input: number; readonly output: number }
  readonly logger: Logger | undefined
  /** Restores around the handler what was captured at submit. */
  readonly restore: Restore | undefined
  /** A fault that does not decide the attempt. */
  readonly report: (error: unknown) => void
}

/** ms that a handler elsewhere has at most to stop after a shutdown: its end has to fit into the runner's own grace. */
const SHUTDOWN_GRACE = 500

/** Runs one attempt of `task`, which its engine has marked as running. */
export class Attempt implements EngineAttempt, ContextSource, Execution {
  readonly task: StoredTask
  readonly env: AttemptEnvironment
  readonly #work: Work
  readonly #writer: AttemptWriter
  /** The engine may use the task's object for the next attempt; this one's number stays. */
  readonly #number: number
  #resolve!: (outcome: Outcome) => void
  #ended = false
  #controller: AbortController | undefined
  #timeoutAlarm: Alarm | undefined
  #graceAlarm: Alarm | undefined
  #unresponsive = false
  /** The handler, where it runs elsewhere. */
  #remote: Remote | undefined
  // What was asked, each remembered on its own: which of them decides is judged at the end.
  #timedOut: TaskTimeoutError | undefined
  #cancel: TaskCancelledError | undefined
  #force = false
  #shutdown: RunnerClosedError | undefined
  #lost = false
  #asked = false
  /** What the handler's error carries for the case that no further attempt is made. */
  #fallback: ReturnType<typeof fallbackOf>
  /** What its outcome says besides the verdict. */
  #besides: Pick<Outcome, 'timedOut' | 'hold'> | undefined
  #progress: ProgressThrottle | undefined

  constructor(env: AttemptEnvironment, work: Work, task: StoredTask, writer: AttemptWriter) {
    this.env = env
    this.task = task
    this.#work = work
    this.#writer = writer
    this.#number = task.attempt
  }

  run(): Promise<Outcome> {
    return new Promise((resolve) => {
      this.#resolve = resolve
      const preparing = this.#work.prepare()
      if (preparing === undefined) this.#validate()
      else
        preparing.then(
          () => this.#validate(),
          (error) => this.#rejected(error),
        )
    })
  }

  #validate(): void {
    const input = copyJson(this.task.input)
    const schema = this.#work.definition.input
    if (schema === undefined) return this.#execute(input)
    try {
      const parsed = parse(schema, input, `the input of ${this.task.name}`)
      if (!(parsed instanceof Promise)) return this.#execute(parsed.value)
      parsed.then(
        (each) => this.#execute(each.value),
        (error) => this.#refused(error),
      )
    } catch (error) {
      this.#refused(error)
    }
  }

  #execute(input: unknown): void {
    const asked = this.#why()
    if (asked !== undefined) return this.#rejected(asked) // asked to stop before there was anything to stop
    const { restore } = this.env
    try {
      const result =
        restore === undefined
          ? this.#call(input)
          : callWithin(restore, copyJson(this.task.extras?.context), () => this.#call(input), this.env.report)
      if (!isThenable(result)) return this.#fulfilled(result)
      Promise.resolve(result).then(
        (value) => this.#fulfilled(value),
        (error) => this.#rejected(error),
      )
    } catch (error) {
      this.#rejected(error)
    }
  }

  #call(input: unknown): unknown {
    return this.#work.executor.execute(this, input, new HandlerContext(this))
  }

  #fulfilled(value: unknown): void {
    if (this.#ended) return
    this.#end(this.#lost ? { type: 'released' } : this.#succeeded(value))
  }

  #succeeded(value: unknown): Verdict & { readonly type: 'succeeded' } {
    if (value === undefined) return { type: 'succeeded', output: undefined }
    const taken = value instanceof Taken ? value.snapshot : snapshot(value, this.env.limits.output)
    if ('value' in taken) return { type: 'succeeded', output: taken.value }
    // What is done is done: an output that cannot be kept does not undo it.
    const subject = `the output of ${this.task.name}`
    this.env.report(new InvalidInputError(subject, taken.issues, { paths: false })) // may be logged
    const outputError = this.#serialize(new InvalidInputError(subject, taken.issues))
    return { type: 'succeeded', output: undefined, outputError }
  }

  #rejected(thrown: unknown): void {
    if (this.#ended) return
    if (this.#lost) return this.#end({ type: 'released' })
    this.#fallback = fallbackOf(thrown)
    const later = laterOf(thrown)
    const runAt = this.env.clock.now() + (later?.delay ?? 0)
    if (later?.hold) this.#besides = { ...this.#besides, hold: runAt }
    if (this.#cancel !== undefined) {
      return this.#end({ type: 'cancelled', error: this.#serialize(this.#cancel), thrown: this.#serialize(thrown) })
    }
    if (later !== undefined) return this.#end(this.#again(thrown, runAt, later.countsAsAttempt))
    if (this.#timedOut !== undefined) {
      this.#timedOut.details = read(thrown, 'details')
      return this.#end(this.#byPolicy(this.#timedOut))
    }
    if (this.#shutdown !== undefined) return this.#end({ type: 'released' })
    this.#end(this.#byPolicy(thrown))
  }

  /** A later deploy's schema may refuse what an earlier one took: another attempt cannot help. */
  #refused(error: unknown): void {
    if (error instanceof InvalidInputError) this.#end({ type: 'failed', error: this.#serialize(error) })
    else this.#rejected(error)
  }

  #byPolicy(error: unknown): Outcome {
    const policy = this.#policy()
    if (isFatal(error)) return this.#failed(this.#serialize(error))
    if (!this.#worthwhile(policy, error)) return this.#givenUp(error)
    const delay = backoffDelay(policy.backoff, this.#used(), this.env.random)
    return this.#again(error, this.env.clock.now() + delay, true)
  }

  #worthwhile(policy: FilledRetry, thrown: unknown): boolean {
    try {
      const verdict: unknown = policy.when === undefined || policy.when(thrown)
      if (typeof verdict === 'boolean') return verdict
      if (isThenable(verdict)) Promise.resolve(verdict).catch(this.env.report)
      throw new InvalidInputError('bad retry policy', [
        { path: ['when'], message: `must answer true or false, got ${show(verdict)}` },
      ])
    } catch (error) {
      this.env.report(error)
      return true
    }
  }

  #again(error: unknown, runAt: number, countsAsAttempt: boolean): Outcome {
    const policy = this.#policy()
    const since = this.task.extras?.retriedAt ?? this.task.createdAt
    if (runAt - since > policy.maxAge || (countsAsAttempt && this.#used() >= policy.attempts))
      return this.#givenUp(error)
    return { type: 'retry', error: this.#serialize(error), runAt, countsAsAttempt, maxAttempts: this.#budget(policy) }
  }

  /** The policy makes no further attempt. */
  #givenUp(error: unknown): Outcome {
    const recorded = this.#serialize(error)
    return this.#fallback === undefined
      ? this.#failed(recorded)
      : { ...this.#succeeded(this.#fallback.output), thrown: recorded }
  }

  #serialize(thrown: unknown): SerializedError {
    return serializeError(thrown, this.env.limits)
  }

  #failed(error: SerializedError): Outcome {
    return { type: 'failed', error, maxAttempts: Math.max(this.#budget(this.#policy()), this.#number) }
  }

  #policy(): FilledRetry {
    return mergeRetry(this.#work.retry, this.task.extras?.retry)
  }

  /** Attempts of the present budget that are used up, this one included. */
  #used(): number {
    return this.#number - (this.task.extras?.uncounted ?? 0)
  }

  #budget(policy: FilledRetry): number {
    return policy.attempts + (this.task.extras?.uncounted ?? 0)
  }

  #end(outcome: Outcome): void {
    if (this.#ended) return
    this.#ended = true // first: a listener of the last progress may tell more
    this.#progress?.flush()
    this.#timeoutAlarm?.cancel()
    this.#disarmGrace()
    this.#resolve(this.#besides === undefined ? outcome : { ...outcome, ...this.#besides })
  }

  // What its executor tells.

  get definition(): TaskDefinition {
    return this.#work.definition
  }

  get limits(): AttemptEnvironment['limits'] {
    return this.env.limits
  }

  /** Arms the timeout: what comes before the call of the handler, such as the start of a worker, is not its time. */
  begin(): void {
    if (this.#ended) return
    if (this.task.extras?.rate !== undefined) this.#writer.called?.()
    const timeout = this.task.extras?.timeout ?? this.#work.timeout
    if (timeout !== undefined) this.#timeoutAlarm = after(this.env.clock, timeout, () => this.#timeOut(timeout))
  }

  controlledBy(remote: Remote): void {
    this.#remote = remote
  }

  report(error: unknown): void {
    this.env.report(error)
  }

  // What it is asked.

  #timeOut(timeout: number): void {
    this.#timedOut = new TaskTimeoutError(timeout)
    this.#besides = { timedOut: true }
    this.#abort()
    this.#armGrace()
  }

  stop(why: StopReason): void {
    if (this.#ended) return
    switch (why.type) {
      case 'cancel':
        this.#cancel ??= new TaskCancelledError(why.reason)
        this.#force ||= why.force
        if (this.#force && this.#unresponsive) return this.#abandon()
        this.#armGrace()
        break
      case 'shutdown':
        this.#shutdown ??= new RunnerClosedError('the runner closes')
        break
      case 'lost':
        this.#lost = true
        break
      case 'abandon':
        this.#remote?.end(new RunnerClosedError('the runner closes'))
        return this.#end({ type: 'released' })
    }
    this.#abort()
    if (this.#remote === undefined) return
    // Elsewhere it is ended, whyever it was asked to stop; after a shutdown in time for the runner to see it.
    if (why.type === 'shutdown') this.#disarmGrace()
    this.#armGrace(this.#shutdown === undefined ? undefined : SHUTDOWN_GRACE)
  }

  #disarmGrace(): void {
    this.#graceAlarm?.cancel()
    this.#graceAlarm = undefined
  }

  #armGrace(most: number = Number.POSITIVE_INFINITY): void {
    this.#graceAlarm ??= after(this.env.clock, Math.min(this.env.cancelGrace, most), () => {
      if (this.#remote !== undefined) return this.#remote.end(this.#why() as Error)
      this.#unresponsive = true
      this.#writer.unresponsive()
      if (this.#force) this.#abandon()
    })
  }

  /** Gives up on a handler that does not listen; whatever it still does is ignored. */
  #abandon(): void {
    const reason = this.#cancel?.message ?? 'the task was cancelled'
    this.#end({
      type: 'cancelled',
      error: {
        name: 'TaskCancelledError',
        code: 'ABANDONED',
        message: `its handler did not stop and was abandoned; ${reason}`,
      },
    })
  }

  #why(): Error | undefined {
    if (this.#lost) return new EngineError('the lease on this task was lost: another process has taken it over')
    return this.#cancel ?? this.#timedOut ?? this.#shutdown
  }

  /** The first reason stays: a signal is aborted once. */
  #abort(): void {
    if (this.#asked) return
    this.#asked = true
    const why = this.#why() as Error
    this.#controller?.abort(why)
    this.#remote?.abort(why)
  }

  // What a handler may do, through its context.

  /** Made on first use: most handlers never look at it, and it is the dearest part of an attempt. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController()
      const why = this.#why()
      if (why !== undefined) this.#controller.abort(why)
    }
    return this.#controller.signal
  }

  get number(): number {
    return this.#number
  }

  get previous(): AttemptRecord | undefined {
    return attemptsOf(this.task).findLast((each) => each.number < this.#number)
  }

  progress(value: unknown): void {
    const taken = this.take(value, 'progress')
    if (this.#ended) return
    this.#progress ??= new ProgressThrottle(this.env.clock, (each) => this.#writer.progress(each))
    this.#progress.put(taken)
  }

  get stored(): Json | undefined {
    return this.task.extras?.saved
  }

  get ended(): boolean {
    return this.#ended
  }

  get title(): string {
    return `attempt ${this.#number} of task ${show(this.task.id)}`
  }

  async store(value: Json): Promise<void> {
    await this.#writer.save(value)
  }

  log(message: string, fields?: Readonly<Record<string, unknown>>): void {
    const { logger } = this.env
    if (logger === undefined) return
    write(logger, 'info', { ...fields, id: this.task.id, name: this.task.name, attempt: this.#number }, message)
  }

  take(value: unknown, what: string): Json {
    const taken = snapshot(value, this.env.limits.input)
    if ('value' in taken) return taken.value
    throw new InvalidInputError(`the ${what} of ${this.task.name}`, taken.issues, { paths: false })
  }
}
