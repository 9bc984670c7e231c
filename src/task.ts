/**
 * `defineTask`: a type of work, and the inference of what it takes and gives.
 *
 * The types of input and output are read off the definition; nothing is generated, nothing is declared globally, and
 * two runners can have different tasks under the same name.
 */
import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import type { Duration } from './duration.js'
import { elsewhere } from './elsewhere.js'
import { show } from './errors.js'
import type { Json } from './json.js'
import { type DefinedLimits, definedLimits, numberOrKeyed, rateLimit, requires, type TaskLimits } from './limits.js'
import type { HandlerModule, ModuleFile } from './module-file.js'
import type { AttemptRecord } from './record.js'
import { type RetryLayer, type RetryPolicy, retryPolicy } from './retry-policy.js'
import {
  callable,
  concurrency,
  fields,
  label,
  mapped,
  priority,
  type Read,
  read,
  required,
  rule,
  span,
  whole,
} from './rules.js'
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
  /**
   * Does what `work` does, once for the life of the task: an attempt after a crash or a failure gets what it gave (JSON, or
   * undefined) and does not do it again. It resolves when that is stored; `work` that ends, and its process with it, before
   * that is done again.
   *
   * @param name of its own within the task @throws {InvalidInputError} what it gave is not JSON
   */
  step<Result>(name: string, work: () => Result): Promise<Awaited<Result>>
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
  /** Called once by each runner that works, before the first attempt; what it returns is called at the end of `close`. */
  // biome-ignore lint/suspicious/noConfusingVoidType: `async () => {}` is a setup, and its type is Promise<void>
  readonly setup?: () => Teardown | void | Promise<Teardown | void>
}

/** A definition whose input type comes from `run`'s parameter. */
export interface PlainTask<Input, Output> extends TaskSettings, TaskLimits<Input> {
  readonly input?: undefined
  readonly run: (input: Input, ctx: TaskContext) => Output | Promise<Output>
}

/** A definition whose input is checked by a schema. */
export interface SchemaTask<Schema extends StandardSchema, Output>
  extends TaskSettings,
    TaskLimits<SchemaInput<NoInfer<Schema>>> {
  /** Checked at submit and again before each attempt; the handler gets the schema's output. */
  readonly input: Schema
  readonly run: (input: SchemaOutput<Schema>, ctx: TaskContext) => Output | Promise<Output>
}

/** What a module exports under this name, if it is a handler. */
type HandlerOf<Module, Export> = Export extends keyof Module
  ? Extract<Module[Export], (input: never, ctx: TaskContext) => unknown>
  : never
/** What that handler takes; unknown where there is none, which is told by `ModuleCheck`. */
type ModuleInput<Module, Export> = [HandlerOf<Module, Export>] extends [never]
  ? unknown
  : Parameters<HandlerOf<Module, Export>> extends []
    ? undefined
    : Parameters<HandlerOf<Module, Export>>[0]
type ModuleOutput<Module, Export> = Awaited<ReturnType<HandlerOf<Module, Export>>>

/** A size in bytes: `'256MB'`, `'1GB'`. */
export type MemorySize = `${number}${'MB' | 'GB'}`

/** A definition whose handler is exported by a module, so that it can run in a thread or a process of its own. */
export interface ModuleTask<Export, Schema extends StandardSchema = StandardSchema>
  extends TaskSettings,
    TaskLimits<SchemaInput<NoInfer<Schema>>> {
  readonly run?: undefined
  /** Checked at submit and again before each attempt; the handler gets the schema's output. */
  readonly input?: Schema
  /** Where it runs: on the event loop of this process, in a worker thread, or in a child process. */
  readonly isolation: 'inline' | 'thread' | 'process'
  /** The file: `new URL('./resize.js', import.meta.url)`. Where there is only `resize.ts`, that is taken. */
  readonly module: URL
  /** Which of its exports is the handler. @default 'run' */
  readonly export?: Export
  /** The heap that a worker may fill, at least 16 MB; it is ended when it needs more. @default what Node gives it */
  readonly memory?: MemorySize
  /** When a worker is ended and replaced. */
  readonly worker?: {
    /** After so many tasks. @default never */
    readonly maxTasks?: number
    /** After it had nothing to do for so long. @default '30s' */
    readonly idleTimeout?: Duration
  }
}

/** Where a handler runs that does not run inline; sizes in bytes, spans in ms. */
export interface Isolation {
  readonly place: 'thread' | 'process'
  readonly file: ModuleFile
  readonly memory: number | undefined
  readonly maxTasks: number
  readonly idleTimeout: number
}

/** A type of work, known to a runner under the key it has in `tasks`. Made by `defineTask`. */
export interface TaskDefinition<Input = unknown, Output = unknown> {
  readonly input: StandardSchema | undefined
  readonly retry: RetryLayer | undefined
  /** ms */
  readonly timeout: number | undefined
  readonly priority: number
  readonly concurrency: number
  readonly limits: DefinedLimits | undefined
  readonly setup: TaskSettings['setup']
  /** Calls the handler inline, also where `isolation` says that it belongs elsewhere. */
  readonly run: (input: never, ctx: TaskContext) => unknown
  readonly isolation?: Isolation | undefined
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

/** Nothing that is given is of this type: the compiler says what is wrong. */
type Wrong<Sentence extends string, About = unknown> = { readonly [Key in Sentence]: About }
/** What the input of a task must be. A constraint, so that a type argument that is a module is not taken for an input. */
type JsonInput<Input> = [Input] extends [AsJson<Input>] ? unknown : Wrong<'the input of a task must be JSON', Input>
/** Makes an input that JSON cannot hold a compile error in any case. */
type JsonCheck<Input> = [Input] extends [AsJson<Input>]
  ? unknown
  : { readonly run: Wrong<'the input of a task must be JSON'> }

/** Makes type arguments that name no handler, or one whose input JSON cannot hold, a compile error. */
type ModuleCheck<Module, Export, Input> = [Module] extends [never]
  ? { readonly module: Wrong<"the type of the module is missing: defineTask<typeof import('./resize.js')>(…)"> }
  : [HandlerOf<Module, Export>] extends [never]
    ? { readonly module: Wrong<'the module exports no handler (input, ctx) of this name', Export> }
    : [Input] extends [AsJson<Input>]
      ? unknown
      : { readonly module: Wrong<'the input of a task must be JSON', Input> }
/** What a type argument names has to be there at run time as well. */
type Told<Argument, Default, Field extends string> = [Default] extends [Argument]
  ? unknown
  : { readonly [Key in Field]: Argument }

/**
 * Defines a type of work whose input a schema checks.
 *
 * @example
 * const remind = defineTask({
 *   input: z.object({ at: z.coerce.date<string>(), note: z.string() }),
 *   run: async ({ at, note }) => `${note} at ${at.toISOString()}`,
 * })
 *
 * @throws {InvalidInputError} naming each option that is wrong
 */
export function defineTask<const Schema extends StandardSchema, Output>(
  definition: SchemaTask<Schema, Output>,
): TaskDefinition<SchemaInput<Schema>, Output>
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
export function defineTask<Input extends JsonInput<Input> = undefined, Output = unknown>(
  definition: PlainTask<Input, Output> & JsonCheck<Input>,
): TaskDefinition<Input, Output>
/**
 * Defines a type of work whose handler is exported by a module, so that it can run in a thread or a process of its own.
 * The type arguments: the module, the name of the export, the schema; those that are not told are `'run'` and none.
 *
 * @example
 * const resize = defineTask<typeof import('./resize.js')>({
 *   isolation: 'thread',
 *   module: new URL('./resize.js', import.meta.url),
 * })
 *
 * @throws {InvalidInputError} naming each option that is wrong
 */
export function defineTask<
  Module = never,
  Export extends string = 'run',
  Schema extends StandardSchema<unknown, ModuleInput<Module, Export>> = StandardSchema<ModuleInput<Module, Export>>,
>(
  definition: ModuleTask<Export, Schema> &
    ModuleCheck<Module, Export, SchemaInput<Schema>> &
    Told<Export, 'run', 'export'> &
    Told<Schema, StandardSchema<ModuleInput<Module, Export>>, 'input'>,
): TaskDefinition<SchemaInput<Schema>, ModuleOutput<Module, Export>>
export function defineTask(definition: TaskSettings): TaskDefinition {
  const { isolation, module } = (definition ?? {}) as Partial<ModuleTask<string>>
  return isolation === undefined && module === undefined ? inlineTask(definition) : moduleTask(definition)
}

function inlineTask(definition: unknown): TaskDefinition {
  const given = read(SUBJECT, definition, INLINE)
  return Object.freeze({ ...filled(given, Number.POSITIVE_INFINITY), run: given.run, isolation: undefined })
}

function moduleTask(definition: unknown): TaskDefinition {
  const given = read(SUBJECT, definition, MODULE)
  const { isolation: place, memory, worker = {} } = given
  const file: ModuleFile = { url: given.module.href, name: given.export ?? 'run' }
  const { maxTasks = Number.POSITIVE_INFINITY, idleTimeout = IDLE_TIMEOUT } = worker
  let module: HandlerModule | undefined
  return Object.freeze({
    ...filled(given, place === 'inline' ? Number.POSITIVE_INFINITY : availableParallelism()),
    run: async (input: never, ctx: TaskContext) => {
      module ??= await elsewhere('a module', load(file))
      return module.run(input, ctx)
    },
    isolation: place === 'inline' ? undefined : Object.freeze({ place, file, memory, maxTasks, idleTimeout }),
  })
}

/** What loads modules is itself loaded when there is one to load. */
async function load(file: ModuleFile): Promise<HandlerModule> {
  const { loadModule } = await import('./module-file.js')
  return loadModule(file)
}

type Settings = Pick<TaskDefinition, 'input' | 'retry' | 'timeout' | 'priority' | 'concurrency' | 'limits' | 'setup'>

function filled(given: Read<typeof SETTINGS>, concurrency: number): Settings {
  const isKeyed = typeof given.concurrency === 'object'
  return {
    input: given.input,
    retry: given.retry,
    timeout: given.timeout,
    priority: given.priority ?? 0,
    concurrency: typeof given.concurrency === 'number' ? given.concurrency : concurrency,
    limits: definedLimits({
      slots: isKeyed ? (given.concurrency as DefinedLimits['slots']) : undefined,
      rate: given.rateLimit,
      requires: given.requires,
    }),
    setup: given.setup,
  }
}

const SUBJECT = 'bad task definition'
/** ms */
const IDLE_TIMEOUT = 30_000
/** A worker with less does not even start. */
const LEAST_MEMORY = 16
const MB = 1_048_576

const SETTINGS = {
  input: rule<StandardSchema>(isSchema, 'must be a Standard Schema (zod, valibot, arktype)'),
  retry: retryPolicy,
  timeout: span,
  priority,
  concurrency: numberOrKeyed(concurrency),
  rateLimit,
  requires,
  setup: callable<NonNullable<TaskSettings['setup']>>(),
}
const INLINE = fields({ ...SETTINGS, run: required(callable<TaskDefinition['run']>()) })
const isPlace = (value: unknown): boolean => value === 'inline' || value === 'thread' || value === 'process'
const MODULE = fields({
  ...SETTINGS,
  run: rule<undefined>(() => false, 'must be left out, the handler is in the module'),
  isolation: required(rule<ModuleTask<string>['isolation']>(isPlace, "must be 'inline', 'thread' or 'process'")),
  module: required<URL>((value, path, issues) => {
    const got = show((value as URL | undefined)?.href ?? value)
    const expected = "must be the URL of a file, such as new URL('./resize.js', import.meta.url)"
    if (!isFile(value)) issues.push({ path, message: `${expected}, got ${got}` })
    return value as URL
  }),
  export: label,
  memory: mapped(
    rule<string>(
      (value) => megabytes(value) >= LEAST_MEMORY,
      `must be a size such as '256MB', of at least ${LEAST_MEMORY}MB`,
    ),
    (size) => megabytes(size) * MB,
  ),
  worker: fields({ maxTasks: whole(1), idleTimeout: span }),
})

/** NaN where it is none. */
function megabytes(size: unknown): number {
  const match = /^(\d+(?:\.\d+)?)(MB|GB)$/.exec(typeof size === 'string' ? size : '')
  return match === null ? Number.NaN : Number(match[1]) * (match[2] === 'GB' ? 1_024 : 1)
}

/** Of this realm or another, and of this machine. */
function isFile(value: unknown): boolean {
  const { protocol, href } = (value ?? {}) as Partial<URL>
  try {
    return protocol === 'file:' && fileURLToPath(href as string) !== ''
  } catch {
    return false
  }
}

function isSchema(value: unknown): boolean {
  const schema = value as { '~standard'?: { validate?: unknown } } | null
  return typeof schema?.['~standard']?.validate === 'function'
}
