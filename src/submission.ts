/** From `submit(name, input, options)` to a `NewTask`: looked up, checked, copied. What is wrong is told before anything is stored. */
import { Checks, defined } from './check.js'
import type { Duration } from './duration.js'
import type { NewTask } from './engine.js'
import { type InputIssue, InvalidInputError, UnknownTaskError } from './errors.js'
import { createIds } from './ids.js'
import { copyJson, type Json, snapshot } from './json.js'
import { isLabel, labelExpected } from './label.js'
import type { FilledOptions } from './options.js'
import type { StoredRetry, TaskExtras } from './record.js'
import { parseRetry, type RetryOptions } from './retry-policy.js'
import { parse } from './schema.js'
import { isPriority, priorityExpected } from './task.js'
import type { Work } from './work.js'

export interface SubmitOptions {
  /** 1 to 128 of A-Z a-z 0-9 _ -; a task that exists is answered as `deduplicated`. @default a new random id */
  readonly id?: string
  /** Idempotency: unique per task name among the tasks still kept; 1 to 256 characters. */
  readonly key?: string
  /** Higher first; an integer from -1 000 000 to 1 000 000. @default the definition's */
  readonly priority?: number
  /** From now until it is due. */
  readonly delay?: Duration
  /** When it is due: epoch ms or a Date, instead of `delay`. */
  readonly runAt?: number | Date
  /** Over the definition's policy, field by field. */
  readonly retry?: RetryOptions
  /** How long one attempt may take. @default the definition's */
  readonly timeout?: Duration
  /** JSON that goes with the task, in the record and as `ctx.metadata`. */
  readonly metadata?: unknown
  /** For `list`; each of 1 to 256 characters. */
  readonly tags?: readonly string[]
}

/** Options of a submit, checked. */
interface ParsedOptions {
  readonly id?: string
  readonly priority?: number
  readonly delay?: number
  readonly runAt?: number
  readonly extras?: TaskExtras
}

const NOTHING: ParsedOptions = {}

export class Submission {
  readonly #options: FilledOptions
  readonly #newId: () => string
  readonly #report: (error: unknown) => void

  constructor(options: FilledOptions, report: (error: unknown) => void) {
    this.#options = options
    this.#newId = createIds(options.seeded)
    this.#report = report
  }

  /**
   * A promise only where the definition's schema is asynchronous.
   *
   * @throws {UnknownTaskError} {InvalidInputError}
   */
  make(name: string, input: unknown, options: SubmitOptions | undefined): NewTask | Promise<NewTask> {
    const work = this.#options.works.get(name)
    if (work === undefined) throw new UnknownTaskError(name, [...this.#options.works.keys()])
    const parsed = options === undefined ? NOTHING : parseSubmitOptions(options, this.#options.limits.input)
    const taken = this.#take(name, input)
    const schema = work.definition.input
    if (schema !== undefined) {
      const checked = check(schema, taken, name)
      if (checked instanceof Promise) return checked.then(() => this.#complete(name, work, taken, parsed))
    }
    return this.#complete(name, work, taken, parsed)
  }

  /** As `make`, for many inputs; in the issues the path begins with the index. */
  async makeMany(
    name: string,
    inputs: readonly unknown[],
    options: SubmitOptions | ((input: never, index: number) => SubmitOptions) | undefined,
  ): Promise<readonly NewTask[]> {
    const issues: InputIssue[] = []
    const refused = (error: unknown, index: number): undefined => {
      if (!(error instanceof InvalidInputError)) throw error
      for (const { message, path } of error.issues) issues.push({ message, path: [index, ...path] })
    }
    const made = Array.from(inputs, (input, index) => {
      try {
        const own = typeof options === 'function' ? options(input as never, index) : options
        const task = this.make(name, input, own)
        return task instanceof Promise ? task.catch((error: unknown) => refused(error, index)) : task
      } catch (error) {
        return refused(error, index)
      }
    })
    const tasks = await Promise.all(made)
    if (issues.length > 0) throw new InvalidInputError(`the inputs of ${name}`, issues)
    return tasks as NewTask[]
  }

  #take(name: string, input: unknown): Json | undefined {
    if (input === undefined) return undefined
    const taken = snapshot(input, this.#options.limits.input)
    if ('value' in taken) return taken.value
    throw new InvalidInputError(`the input of ${name}`, taken.issues)
  }

  #complete(name: string, work: Work, input: Json | undefined, options: ParsedOptions): NewTask {
    const context = this.#options.context === undefined ? undefined : this.#capture()
    return {
      id: options.id ?? this.#newId(),
      name,
      input,
      priority: options.priority ?? work.definition.priority,
      delay: options.delay ?? 0,
      runAt: options.runAt,
      maxAttempts: options.extras?.retry?.attempts ?? work.retry.attempts,
      extras: context === undefined ? options.extras : { ...options.extras, context },
    }
  }

  /** A capture that fails must not stop the submit. */
  #capture(): Json | undefined {
    try {
      const value = this.#options.context?.capture()
      if (value === undefined) return undefined
      const taken = snapshot(value, this.#options.limits.input)
      if ('value' in taken) return taken.value
      throw new InvalidInputError('the captured context', taken.issues)
    } catch (error) {
      this.#report(error)
      return undefined
    }
  }
}

function check(schema: NonNullable<Work['definition']['input']>, input: Json | undefined, name: string): unknown {
  const subject = `the input of ${name}`
  const broken = (error: unknown): never => {
    if (error instanceof InvalidInputError) throw error
    throw new InvalidInputError(subject, [{ message: 'its schema threw', path: [] }], { cause: error })
  }
  try {
    // A copy: a schema may change what it is given, and the record keeps the input as submitted.
    const parsed = parse(schema, copyJson(input), subject)
    return parsed instanceof Promise ? parsed.catch(broken) : undefined
  } catch (error) {
    return broken(error)
  }
}

function parseSubmitOptions(options: SubmitOptions, maxBytes: number): ParsedOptions {
  const check = new Checks('bad submit options')
  const { id, key, priority, delay, runAt, retry, timeout, metadata, tags } = check.object(options, [], FIELDS)
  if (delay !== undefined && runAt !== undefined) check.wrong(['runAt'], 'cannot be given together with delay')
  const time = runAt instanceof Date ? runAt.getTime() : runAt
  const due = check.that(time, ['runAt'], isTime, 'must be epoch ms or a Date')
  const parsed = {
    id: check.that(id, ['id'], isId, 'must be 1 to 128 of A-Z a-z 0-9 _ -'),
    priority: check.that(priority, ['priority'], isPriority, priorityExpected),
    delay: check.span(delay, ['delay']),
    runAt: due === undefined ? undefined : Math.ceil(due),
  }
  const extras = defined({
    key: check.that(key, ['key'], isLabel, labelExpected),
    retry: retry === undefined ? undefined : (parseRetry(retry, ['retry'], false, check) as StoredRetry),
    timeout: check.span(timeout, ['timeout']),
    metadata: takeMetadata(metadata, maxBytes, check),
    tags: check.that(tags, ['tags'], isLabels, `must be an array of texts; each ${labelExpected}`)?.slice(),
  })
  check.done()
  return defined({ ...parsed, extras: Object.keys(extras).length === 0 ? undefined : extras })
}

function takeMetadata(metadata: unknown, maxBytes: number, check: Checks): Json | undefined {
  if (metadata === undefined) return undefined
  const taken = snapshot(metadata, maxBytes)
  if ('value' in taken) return taken.value
  for (const { message, path } of taken.issues) check.wrong(['metadata', ...path], message)
  return undefined
}

const FIELDS = ['id', 'key', 'priority', 'delay', 'runAt', 'retry', 'timeout', 'metadata', 'tags'] as const

function isId(value: unknown): value is string {
  return typeof value === 'string' && /^[A-Za-z0-9_-]{1,128}$/.test(value)
}

function isTime(value: unknown): value is number {
  return typeof value === 'number' && value >= 0 && value <= 8.64e15
}

function isLabels(value: unknown): value is string[] {
  return Array.isArray(value) && value.every(isLabel)
}
