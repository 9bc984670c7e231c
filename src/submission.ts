/** From `submit(name, input, options)` to a `NewTask`: looked up, checked, copied. What is wrong is told before anything is stored. */
import type { Duration } from './duration.js'
import type { NewTask } from './engine.js'
import { type InputIssue, InvalidInputError, UnknownTaskError } from './errors.js'
import { createIds } from './ids.js'
import { copyJson, type Json, snapshot } from './json.js'
import { amounts, limitsOf, type Requirements } from './limits.js'
import type { FilledOptions } from './options.js'
import type { TaskExtras } from './record.js'
import { type RetryOptions, retryOptions } from './retry-policy.js'
import { fields, label, labels, listOf, mapped, priority, type Rule, read, rule, span } from './rules.js'
import { parse } from './schema.js'
import { isThenable } from './thenable.js'
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
  /** What it needs of the runner's `resources` while it runs. @default the definition's */
  readonly requires?: Requirements
  /** Ids of tasks that have to succeed before it may run; it is queued meanwhile. */
  readonly after?: readonly string[]
  /** What becomes of it when one of those fails or is cancelled. @default 'cancel' */
  readonly onParentFailure?: 'cancel' | 'run'
}

/** Options of a submit, checked. */
interface ParsedOptions {
  readonly id: string | undefined
  readonly priority: number | undefined
  readonly delay: number | undefined
  readonly runAt: number | undefined
  readonly extras: TaskExtras | undefined
}

const NOTHING: ParsedOptions = {
  id: undefined,
  priority: undefined,
  delay: undefined,
  runAt: undefined,
  extras: undefined,
}

/** A task that is to be numbered: as it is stored, and not before. */
type Unnumbered = NewTask & { id: string; order: number }

export class Submission {
  readonly #options: FilledOptions
  readonly #rules: Rule<ParsedOptions>
  readonly #newId: (order: number) => string
  readonly #report: (error: unknown) => void
  #order = 0

  constructor(options: FilledOptions, report: (error: unknown) => void) {
    this.#options = options
    this.#rules = submitRules(options.limits.input)
    this.#newId = createIds(options.seeded)
    this.#report = report
  }

  /**
   * A promise only where the definition's schema is asynchronous.
   *
   * @throws {UnknownTaskError} {InvalidInputError}
   */
  make(name: string, input: unknown, options: SubmitOptions | undefined): NewTask | Promise<NewTask> {
    const task = this.#prepare(name, input, options)
    return task instanceof Promise ? task.then((each) => this.#number(each)) : this.#number(task)
  }

  /** All but its number. */
  #prepare(name: string, input: unknown, options: SubmitOptions | undefined): Unnumbered | Promise<Unnumbered> {
    const work = this.#find(name)
    const parsed = options === undefined ? NOTHING : read('bad submit options', options, this.#rules)
    const taken = this.#take(name, input)
    const schema = work.definition.input
    if (schema !== undefined) {
      const checked = check(schema, taken, name)
      if (checked instanceof Promise) return checked.then(() => this.#complete(name, work, taken, parsed))
    }
    return this.#complete(name, work, taken, parsed)
  }

  /**
   * The input as it is stored; a promise only where the definition's schema is asynchronous.
   *
   * @throws {UnknownTaskError} {InvalidInputError}
   */
  check(name: string, input: unknown): Json | undefined | Promise<Json | undefined> {
    const { definition } = this.#find(name)
    const taken = this.#take(name, input)
    const checked = definition.input === undefined ? undefined : check(definition.input, taken, name)
    return checked instanceof Promise ? checked.then(() => taken) : taken
  }

  #find(name: string): Work {
    const work = this.#options.works.get(name)
    if (work === undefined) throw new UnknownTaskError(name, [...this.#options.works.keys()])
    return work
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
        const task = this.#prepare(name, input, own)
        return task instanceof Promise ? task.catch((error: unknown) => refused(error, index)) : task
      } catch (error) {
        return refused(error, index)
      }
    })
    const tasks = await Promise.all(made)
    if (issues.length > 0) throw new InvalidInputError(`the inputs of ${name}`, issues)
    // In the order of the inputs, whichever of them took longest to check.
    return (tasks as Unnumbered[]).map((task) => this.#number(task))
  }

  #number(task: Unnumbered): NewTask {
    task.order = ++this.#order
    if (task.idIsNew) task.id = this.#newId(task.order)
    return task
  }

  #take(name: string, input: unknown): Json | undefined {
    if (input === undefined) return undefined
    const taken = snapshot(input, this.#options.limits.input)
    if ('value' in taken) return taken.value
    throw new InvalidInputError(`the input of ${name}`, taken.issues)
  }

  #complete(name: string, work: Work, input: Json | undefined, options: ParsedOptions): Unnumbered {
    const context = this.#options.context === undefined ? undefined : this.#capture()
    const { limits } = work.definition
    let { extras } = options
    if (limits !== undefined || extras?.requires !== undefined) {
      const { resources } = this.#options
      const found = limitsOf(limits, extras?.requires, name, () => copyJson(input), resources)
      extras = { ...extras, ...found }
      if (found.requires === undefined) delete extras.requires
    }
    return {
      id: options.id ?? '',
      order: 0,
      idIsNew: options.id === undefined,
      name,
      input,
      priority: options.priority ?? work.definition.priority,
      delay: options.delay ?? 0,
      runAt: options.runAt,
      maxAttempts: extras?.retry?.attempts ?? work.retry.attempts,
      extras: context === undefined ? extras : { ...extras, context },
    }
  }

  /** A capture that fails must not stop the submit. */
  #capture(): Json | undefined {
    try {
      const value: unknown = this.#options.context?.capture()
      if (isThenable(value)) Promise.resolve(value).catch(this.#report)
      if (value === undefined) return undefined
      const taken = snapshot(value, this.#options.limits.input)
      if ('value' in taken) return taken.value
      throw new InvalidInputError('the captured context', taken.issues, { paths: false })
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

/** JSON that is taken as a snapshot. */
function json(maxBytes: number): Rule<Json> {
  return (value, path, issues) => {
    const taken = snapshot(value, maxBytes)
    if ('value' in taken) return taken.value
    for (const issue of taken.issues) issues.push({ message: issue.message, path: [...path, ...issue.path] })
    return null
  }
}

const time: Rule<number> = mapped(
  rule<number | Date>((value) => {
    const at = value instanceof Date ? value.getTime() : value
    return typeof at === 'number' && at >= 0 && at <= 8.64e15
  }, 'must be epoch ms or a Date'),
  (value) => Math.ceil(Number(value)) + 0, // no -0
)

const isId = (value: unknown): boolean => typeof value === 'string' && /^[A-Za-z0-9_-]{1,128}$/.test(value)
const idExpected = 'must be 1 to 128 of A-Z a-z 0-9 _ -'
const ids: Rule<string[]> = listOf(isId, idExpected)

function submitRules(maxBytes: number): Rule<ParsedOptions> {
  const table = fields({
    id: rule<string>(isId, idExpected),
    priority,
    delay: span,
    runAt: time,
    key: label,
    retry: retryOptions,
    timeout: span,
    metadata: json(maxBytes),
    tags: labels,
    requires: amounts,
    after: ids,
    onParentFailure: rule<'cancel' | 'run'>(
      (value) => value === 'cancel' || value === 'run',
      "must be 'cancel' or 'run'",
    ),
  })
  return (value, path, issues) => {
    const { id, priority, delay, runAt, onParentFailure, after, ...rest } = table(value, path, issues)
    const extras: TaskExtras = {
      ...rest,
      ...(after !== undefined && after.length > 0 && { after: [...new Set(after)] }),
      ...(onParentFailure === 'run' && { onParentFailure }),
    }
    if (delay !== undefined && runAt !== undefined) {
      issues.push({ path: ['runAt'], message: 'cannot be given together with delay' })
    }
    return { id, priority, delay, runAt, extras: Object.keys(extras).length === 0 ? undefined : extras }
  }
}
