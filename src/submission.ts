/** From `submit(name, input, options)` to a `NewTask`: looked up, checked, copied. What is wrong is told before anything is stored. */
import { type Duration, durationExpected, tryDuration } from './duration.js'
import type { NewTask } from './engine.js'
import { type InputIssue, InvalidInputError, show, UnknownTaskError } from './errors.js'
import { createIds } from './ids.js'
import { copyJson, type Json, snapshot } from './json.js'
import type { FilledOptions } from './options.js'
import type { StoredRetry } from './record.js'
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

const ID = /^[A-Za-z0-9_-]{1,128}$/
/** Control characters and lone surrogates: storage engines cut or fold them. */
const UNSTORABLE = /\p{Cc}|\p{Cs}/u

type ParsedOptions = Pick<NewTask, 'key' | 'runAt' | 'retry' | 'timeout' | 'metadata' | 'tags'> & {
  readonly id?: string
  readonly priority?: number
  readonly delay?: number
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
  makeMany(
    name: string,
    inputs: readonly unknown[],
    options: SubmitOptions | ((input: never, index: number) => SubmitOptions) | undefined,
  ): (NewTask | Promise<NewTask>)[] {
    const issues: InputIssue[] = []
    const collect = (error: unknown, index: number): void => {
      if (!(error instanceof InvalidInputError)) throw error
      issues.push(...error.issues.map((issue) => ({ ...issue, path: [index, ...issue.path] })))
    }
    const made: (NewTask | Promise<NewTask>)[] = []
    inputs.forEach((input, index) => {
      try {
        made.push(this.make(name, input, typeof options === 'function' ? options(input as never, index) : options))
      } catch (error) {
        collect(error, index)
      }
    })
    if (issues.length > 0) throw new InvalidInputError(`the inputs of ${name}`, issues)
    return made
  }

  #take(name: string, input: unknown): Json | undefined {
    if (input === undefined) return undefined
    const taken = snapshot(input, this.#options.limits.input)
    if ('value' in taken) return taken.value
    throw new InvalidInputError(`the input of ${name}`, taken.issues)
  }

  #complete(name: string, work: Work, input: Json | undefined, options: ParsedOptions): NewTask {
    const context = this.#options.context === undefined ? undefined : this.#capture()
    const task: NewTask = {
      id: options.id ?? this.#newId(),
      name,
      input,
      priority: options.priority ?? work.definition.priority,
      delay: options.delay ?? 0,
      maxAttempts: options.retry?.attempts ?? work.retry.attempts,
    }
    if (options === NOTHING && context === undefined) return task
    const { key, runAt, retry, timeout, metadata, tags } = options
    return {
      ...task,
      ...(key !== undefined && { key }),
      ...(runAt !== undefined && { runAt }),
      ...(retry !== undefined && { retry }),
      ...(timeout !== undefined && { timeout }),
      ...(metadata !== undefined && { metadata }),
      ...(tags !== undefined && { tags }),
      ...(context !== undefined && { context }),
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
  const issues: InputIssue[] = []
  const refuse = (field: string, expected: string, value: unknown): undefined => {
    issues.push({ message: `${expected}, got ${show(value)}`, path: [field] })
    return undefined
  }
  if (typeof options !== 'object' || options === null) {
    throw new InvalidInputError('bad submit options', [
      { message: `must be an object, got ${show(options)}`, path: [] },
    ])
  }
  const { id, key, priority, delay, runAt, retry, timeout, metadata, tags, ...unknown } = options
  for (const field of Object.keys(unknown)) issues.push({ message: 'is not an option of submit', path: [field] })
  const parsed: { -readonly [K in keyof ParsedOptions]: ParsedOptions[K] } = {}
  if (id !== undefined) {
    if (typeof id === 'string' && ID.test(id)) parsed.id = id
    else refuse('id', 'must be 1 to 128 of A-Z a-z 0-9 _ -', id)
  }
  if (key !== undefined) {
    if (isLabel(key)) parsed.key = key
    else refuse('key', LABEL_EXPECTED, key)
  }
  if (priority !== undefined) {
    if (isPriority(priority)) parsed.priority = priority
    else refuse('priority', priorityExpected, priority)
  }
  if (delay !== undefined) {
    const ms = tryDuration(delay)
    if (ms === undefined) refuse('delay', durationExpected, delay)
    else parsed.delay = ms
  }
  if (runAt !== undefined) {
    const time = runAt instanceof Date ? runAt.getTime() : runAt
    if (delay !== undefined) issues.push({ message: 'cannot be given together with delay', path: ['runAt'] })
    else if (typeof time === 'number' && time >= 0 && time <= 8.64e15) parsed.runAt = Math.ceil(time)
    else refuse('runAt', 'must be epoch ms or a Date', runAt)
  }
  if (timeout !== undefined) {
    const ms = tryDuration(timeout)
    if (ms === undefined) refuse('timeout', durationExpected, timeout)
    else parsed.timeout = ms
  }
  if (retry !== undefined) parsed.retry = parseRetry(retry, ['retry'], false, issues) as StoredRetry
  if (tags !== undefined) {
    if (Array.isArray(tags) && tags.every(isLabel)) parsed.tags = [...tags]
    else refuse('tags', `must be an array of tags; each ${LABEL_EXPECTED}`, tags)
  }
  if (metadata !== undefined) {
    const taken = snapshot(metadata, maxBytes)
    if ('value' in taken) parsed.metadata = taken.value
    else for (const issue of taken.issues) issues.push({ ...issue, path: ['metadata', ...issue.path] })
  }
  if (issues.length > 0) throw new InvalidInputError('bad submit options', issues)
  return parsed
}

const LABEL_EXPECTED = 'must have 1 to 256 characters, no control character and no lone surrogate'

function isLabel(value: unknown): value is string {
  return typeof value === 'string' && value.length >= 1 && value.length <= 256 && !UNSTORABLE.test(value)
}
