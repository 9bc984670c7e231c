/**
 * `defineTask`: a type of work, and the inference of what it takes and gives.
 *
 * The types of input and output are read off the definition; nothing is generated, nothing is declared globally, and
 * two runners can have different tasks under the same name.
 */
import type { Duration } from './duration.js'
import type { Json } from './json.js'
import type { AttemptRecord } from './record.js'
import { type RetryLayer, type RetryPolicy, retryPolicy } from './retry-policy.js'
import { callable, concurrency, fields, priority, read, required, rule, span } from './rules.js'
import type { SchemaInput, SchemaOutput, StandardSchema } from './schema.js'

/** What a handler is given beside its input. It may be destructured. */
export interface TaskContext {
  readonly id: string
  readonly name: string
  /** 1 for the first execution; only rises. */
  readonly attempt: number
  /** Manual retries so far. */
  readonly retries: number
  /** Epoch ms of the submit. With `id` it is unique for ever, also where an id is used again after `remove`. */
  readonly createdAt: number
  /** How the last attempt ended; undefined in the first one. */
  readonly previous: AttemptRecord | undefined
  /** Aborted on cancel, timeout and shutdown; `reason` says why. To stop, reject: `signal.throwIfAborted()`. */
  readonly signal: AbortSignal
  readonly metadata: Json | undefined
  /** What the runner's `context.capture` gave at submit. */
  readonly context: Json | undefined
  /** What the last `save` stored, in this attempt or an earlier one. */
  readonly saved: Json | undefined
  /** Tells how far it is; the latest value wins. @throws {InvalidInputError} not JSON */
  progress(value: unknown): void
  /** Stores state that survives into the next attempt; resolves when it is stored. */
  save(value: unknown): Promise<void>
  /** A line to the runner's logger, with the task's id, name and attempt. */
  log(message: string, fields?: Readonly<Record<string, unknown>>): void
}

/** What ends what `setup` began. */
export type Teardown = () => void | Promise<void>

/** What every kind of definition may say. */
export interface TaskSettings {
  /** When a failed attempt is tried again. @default the runner's `defaults.retry` */
  readonly retry?: RetryPolicy
  /** How long one attempt may take. @default the runner's `defaults.timeout`, else no limit */
  readonly timeout?: Duration
  /** Higher first; an integer from -1 000 000 to 1 000 000. @default 0 */
  readonly priority?: number
  /** How many attempts of this task may run at once. @default the runner's `concurrency` */
  readonly concurrency?: number
  /** Called once by each runner that works, before the first attempt; what it returns is called at the end of `close`. */
  // biome-ignore lint/suspicious/noConfusingVoidType: `async () => {}` is a setup, and its type is Promise<void>
  readonly setup?: () => Teardown | void | Promise<Teardown | void>
}

/** A definition whose input type comes from `run`'s parameter. */
export interface PlainTask<Input, Output> extends TaskSettings {
  readonly input?: undefined
  readonly run: (input: Input, ctx: TaskContext) => Output | Promise<Output>
}

/** A definition whose input is checked by a schema. */
export interface SchemaTask<Schema extends StandardSchema, Output> extends TaskSettings {
  /** Checked at submit and again before each attempt; the handler gets the schema's output. */
  readonly input: Schema
  readonly run: (input: SchemaOutput<Schema>, ctx: TaskContext) => Output | Promise<Output>
}

/** A type of work, known to a runner under the key it has in `tasks`. Made by `defineTask`. */
export interface TaskDefinition<Input = unknown, Output = unknown> {
  readonly input: StandardSchema | undefined
  readonly retry: RetryLayer | undefined
  /** ms */
  readonly timeout: number | undefined
  readonly priority: number
  readonly concurrency: number
  readonly setup: TaskSettings['setup']
  readonly run: (input: never, ctx: TaskContext) => unknown
  /** Carries the types; never there at run time. */
  readonly types?: { readonly input: Input; readonly output: Output }
}

export type TaskMap = Readonly<Record<string, TaskDefinition>>
export type InputOf<Task> = Task extends TaskDefinition<infer Input, infer _> ? Input : never
export type OutputOf<Task> = Task extends TaskDefinition<infer _, infer Output> ? Output : never

/** `T` where JSON can hold it; `never` wherever it cannot. Mapped and thus lazy: a type may refer to itself. */
type AsJson<T> = unknown extends T
  ? T
  : [Json] extends [T]
    ? T
    : T extends string | number | boolean | null | undefined
      ? T
      : T extends bigint | symbol | ((...args: never[]) => unknown) | { toJSON(...args: never[]): unknown }
        ? never
        : T extends readonly (infer Item)[]
          ? unknown extends Item
            ? T
            : undefined extends Item
              ? never
              : { [Key in keyof T]: AsJson<T[Key]> }
          : T extends object
            ? { [Key in keyof T]: Key extends symbol ? never : AsJson<T[Key]> }
            : never

/** Makes a definition whose input JSON cannot hold a compile error. */
type JsonInput<Input> = [Input] extends [AsJson<Input>]
  ? unknown
  : { readonly run: ['the input of a task must be JSON', Input] }

/**
 * Defines a type of work.
 *
 * @example
 * const resize = defineTask({
 *   timeout: '30s',
 *   run: async (input: { path: string; width: number }, { signal, progress }) => {
 *     progress({ percent: 50 })
 *     return { bytes: 1024 }
 *   },
 * })
 *
 * @throws {InvalidInputError} naming each option that is wrong
 */
export function defineTask<const Schema extends StandardSchema, Output>(
  definition: SchemaTask<Schema, Output>,
): TaskDefinition<SchemaInput<Schema>, Output>
export function defineTask<Input = undefined, Output = unknown>(
  definition: PlainTask<Input, Output> & JsonInput<Input>,
): TaskDefinition<Input, Output>
export function defineTask(
  definition: PlainTask<never, unknown> | SchemaTask<StandardSchema, unknown>,
): TaskDefinition {
  const given = read('bad task definition', definition, DEFINITION)
  return Object.freeze({
    input: given.input,
    retry: given.retry,
    timeout: given.timeout,
    priority: given.priority ?? 0,
    concurrency: given.concurrency ?? Number.POSITIVE_INFINITY,
    setup: given.setup,
    run: given.run,
  })
}

const DEFINITION = fields({
  input: rule<StandardSchema>(isSchema, 'must be a Standard Schema (zod, valibot, arktype)'),
  retry: retryPolicy,
  timeout: span,
  priority,
  concurrency,
  setup: callable<NonNullable<TaskSettings['setup']>>(),
  run: required(callable<TaskDefinition['run']>()),
})

function isSchema(value: unknown): boolean {
  const schema = value as { '~standard'?: { validate?: unknown } } | null
  return typeof schema?.['~standard']?.validate === 'function'
}
