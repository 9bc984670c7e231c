/**
 * Limits that look at a task's input: how many run at once of one key, how many start in a span of time, and what of the
 * runner's resources each needs. What a definition says of them, and what that comes to for one task when it is submitted.
 */
import type { Duration } from './duration.js'
import { type InputIssue, InvalidInputError, show } from './errors.js'
import type { Json } from './json.js'
import type { TaskExtras } from './record.js'
import { callable, entries, fields, label, mapped, type Rule, required, rule, span, whole } from './rules.js'
import { isThenable } from './thenable.js'

/** How much of each resource a task needs while it runs: `{ cpu: 2 }`. Numbers above 0. */
export type Requirements = Readonly<Record<string, number>>

/** What tells tasks apart for a limit: a tenant, an account. */
export type LimitKey = string | number

/** The limits of a definition, by its input as it was submitted. */
export interface TaskLimits<Input> {
  /**
   * How many attempts may run at once: a number, in this process where the engine's `limits` say so; with `by`, of each
   * key that it gives, in all processes.
   *
   * @default the runner's `concurrency`; in workers, of which each attempt has one, the number of processors
   */
  readonly concurrency?: number | { readonly max: number; readonly by: (input: Input) => LimitKey }
  /** No more than `max` handlers are called in any `interval`, in all processes; with `by`, of each key. @default no limit */
  readonly rateLimit?: { readonly max: number; readonly interval: Duration; readonly by?: (input: Input) => LimitKey }
  /** What it needs of the runner's `resources`, all at once, as long as an attempt runs. @default nothing */
  readonly requires?: Requirements | ((input: Input) => Requirements)
}

type By = (input: Json | undefined) => unknown

/** Those of them that are told by each task, filled; spans in ms. */
export interface DefinedLimits {
  readonly slots: { readonly max: number; readonly by: By } | undefined
  readonly rate: { readonly max: number; readonly interval: number; readonly by?: By | undefined } | undefined
  readonly requires: Requirements | By | undefined
}

/** What an engine has to know of the limits of one name. */
export interface NameLimits {
  /** Attempts that may run at once of one key. */
  readonly slots?: number
  /** Handlers that may be called in any `interval` (ms), of one key where there are keys. */
  readonly rate?: { readonly max: number; readonly interval: number }
}

const isAmount = (value: unknown): boolean => Number.isFinite(value) && (value as number) > 0
const amount: Rule<number> = rule(isAmount, 'must be a number above 0')
/** Resources by name. */
export const amounts: Rule<Requirements> = mapped(entries(label, amount), (list) => Object.fromEntries(list))

const keyed = fields({ max: required(whole(1)), by: required(callable<By>()) })

/** The definition's `concurrency`: a number, or keyed. */
export function numberOrKeyed(number: Rule<number>): Rule<number | { readonly max: number; readonly by: By }> {
  return (value, path, issues) => (typeof value === 'object' && value !== null ? keyed : number)(value, path, issues)
}

export const rateLimit: Rule<NonNullable<DefinedLimits['rate']>> = fields({
  max: required(whole(1)),
  interval: required(span),
  by: callable<By>(),
})

export const requires: Rule<Requirements | By> = (value, path, issues) =>
  typeof value === 'function' ? (value as By) : amounts(value, path, issues)

/** Undefined where a definition has none of them. */
export function definedLimits(limits: DefinedLimits): DefinedLimits | undefined {
  return limits.slots === undefined && limits.rate === undefined && limits.requires === undefined ? undefined : limits
}

/** What an engine has to know of them. */
export function nameLimits({ slots, rate }: DefinedLimits): NameLimits {
  return {
    ...(slots !== undefined && { slots: slots.max }),
    ...(rate !== undefined && { rate: { max: rate.max, interval: rate.interval } }),
  }
}

/** Whether a task stands under a limit beside its name's `concurrency`. */
export function isLimited(extras: TaskExtras | undefined): boolean {
  return (
    extras !== undefined && (extras.slot !== undefined || extras.rate !== undefined || extras.requires !== undefined)
  )
}

/**
 * What the limits come to for one task.
 *
 * @param input a copy: it belongs to the functions that look at it
 * @param own what the submit says itself
 * @throws {InvalidInputError} a function of the definition threw or gave no key, or more is needed than there is
 */
export function limitsOf(
  limits: DefinedLimits | undefined,
  own: Requirements | undefined,
  name: string,
  input: () => Json | undefined,
  resources: ReadonlyMap<string, number>,
): Pick<TaskExtras, 'slot' | 'rate' | 'requires'> {
  const { slots, rate, requires: defined } = limits ?? {}
  const subject = `the limits of ${name}`
  const found: Pick<TaskExtras, 'slot' | 'rate' | 'requires'> = {}
  if (slots !== undefined) found.slot = keyOf(slots.by, input(), subject, ['concurrency', 'by'])
  if (rate !== undefined)
    found.rate = rate.by === undefined ? '' : keyOf(rate.by, input(), subject, ['rateLimit', 'by'])
  const needed =
    own ?? (typeof defined === 'function' ? needOf(call(defined, input(), subject, ['requires']), subject) : defined)
  if (needed !== undefined && Object.keys(needed).length > 0) {
    checkNeed(needed, resources, `the input of ${name}`)
    found.requires = needed
  }
  return found
}

/** @throws {InvalidInputError} more is needed than there ever is */
export function checkNeed(
  needed: Requirements,
  resources: ReadonlyMap<string, number>,
  subject: string,
  path: readonly (string | number)[] = ['requires'],
): void {
  const issues: InputIssue[] = []
  for (const [resource, n] of Object.entries(needed)) {
    const most = resources.get(resource)
    if (most === undefined)
      issues.push({ path: [...path, resource], message: `the runner's resources have no ${show(resource)}` })
    else if (n > most) issues.push({ path: [...path, resource], message: `needs ${n}, and the runner has ${most}` })
  }
  if (issues.length > 0) throw new InvalidInputError(subject, issues)
}

function call(by: By, input: Json | undefined, subject: string, path: readonly string[]): unknown {
  try {
    return by(input)
  } catch (cause) {
    throw new InvalidInputError(subject, [{ path: [...path], message: 'threw' }], { cause })
  }
}

/** The longest key. */
const LONGEST = 256

function keyOf(by: By, input: Json | undefined, subject: string, path: readonly string[]): string {
  const key = call(by, input, subject, path)
  if (isThenable(key)) Promise.resolve(key).catch(() => {}) // it is told that it is none
  const issues: InputIssue[] = []
  const text = typeof key === 'number' && Number.isFinite(key) ? String(key) : key
  const isKey = typeof text === 'string' && text.length <= LONGEST && (text === '' || isStorable(text))
  if (isKey) return text
  issues.push({
    path: [...path],
    message: `must give a number, or a string of at most ${LONGEST} characters, got ${show(key)}`,
  })
  throw new InvalidInputError(subject, issues)
}

function isStorable(text: string): boolean {
  const issues: InputIssue[] = []
  label(text, [], issues)
  return issues.length === 0
}

function needOf(value: unknown, subject: string): Requirements {
  const issues: InputIssue[] = []
  if (isThenable(value)) Promise.resolve(value).catch(() => {}) // it is told that it is none
  const needed = amounts(isThenable(value) ? undefined : value, ['requires'], issues)
  if (issues.length > 0) throw new InvalidInputError(subject, issues)
  return needed
}
