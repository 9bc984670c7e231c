/**
 * Rules for what users hand in. A rule reads one value and tells everything that is wrong with it, with its path; `read`
 * applies one and throws them all at once. Options are tables of rules.
 */
import { durationExpected, tryDuration } from './duration.js'
import { type InputIssue, InvalidInputError, show } from './errors.js'

type Path = readonly (string | number)[]

/** Gives the value as it is used; what is wrong with it goes into `issues`. Asked about undefined only where required. */
export interface Rule<T> {
  (value: unknown, path: Path, issues: InputIssue[]): T
  readonly required?: true
}

/** Rules by field. */
export type Rules = Readonly<Record<string, Rule<unknown>>>

/** What a table of rules reads: every field that was given. */
export type Read<Table extends Rules> = {
  readonly [Field in keyof Table as Table[Field] extends { readonly required: true } ? Field : never]: ReturnType<
    Table[Field]
  >
} & {
  readonly [Field in keyof Table as Table[Field] extends { readonly required: true } ? never : Field]?: ReturnType<
    Table[Field]
  >
}

/** @throws {InvalidInputError} with all issues @param subject what is read, for the message */
export function read<T>(subject: string, value: unknown, rule: Rule<T>): T {
  const issues: InputIssue[] = []
  const result = rule(value, [], issues)
  if (issues.length > 0) throw new InvalidInputError(subject, issues)
  return result
}

export function rule<T>(test: (value: unknown) => boolean, expected: string): Rule<T> {
  return (value, path, issues) => {
    if (!test(value)) issues.push({ path, message: `${expected}, got ${show(value)}` })
    return value as T
  }
}

export function required<T>(of: Rule<T>): Rule<T> & { readonly required: true } {
  const strict: Rule<T> = (value, path, issues) => of(value, path, issues)
  return Object.assign(strict, { required: true } as const)
}

/** `from` as `to` makes it. */
export function mapped<From, To>(from: Rule<From>, to: (value: From) => To): Rule<To> {
  return (value, path, issues) => {
    const before = issues.length
    const given = from(value, path, issues)
    return issues.length > before ? (undefined as To) : to(given)
  }
}

const isObject = (value: unknown): boolean => typeof value === 'object' && value !== null && !Array.isArray(value)
const anObject = rule<Readonly<Record<string, unknown>>>(isObject, 'must be an object')

/** An object with these fields and no other. A field that is undefined counts as absent. */
export function fields<Table extends Rules>(table: Table): Rule<Read<Table>> {
  return (value, path, issues) => {
    const found: Record<string, unknown> = {}
    const before = issues.length
    const given = anObject(value, path, issues)
    if (issues.length > before) return found as Read<Table>
    for (const field of Object.keys(given)) {
      if (!Object.hasOwn(table, field)) {
        issues.push({ path: [...path, field], message: `is unknown here; there is ${Object.keys(table).join(', ')}` })
      }
    }
    for (const [field, each] of Object.entries(table)) {
      const own = given[field]
      if (own !== undefined || each.required) found[field] = each(own, [...path, field], issues)
    }
    return found as Read<Table>
  }
}

/** An object whose fields are named by the user. */
export function entries<T>(name: Rule<string>, of: Rule<T>): Rule<readonly (readonly [string, T])[]> {
  return (value, path, issues) => {
    const before = issues.length
    const given = anObject(value, path, issues)
    if (issues.length > before) return []
    return Object.entries(given).map(([field, each]) => [name(field, path, issues), of(each, [...path, field], issues)])
  }
}

/** A duration, in ms. */
export const span: Rule<number> = (value, path, issues) => {
  const ms = tryDuration(value)
  if (ms === undefined) issues.push({ path, message: `${durationExpected}, got ${show(value)}` })
  return ms as number
}

export const flag: Rule<boolean> = rule((value) => typeof value === 'boolean', 'must be true or false')
export const text: Rule<string> = rule((value) => typeof value === 'string', 'must be a string')

export function whole(least: number, most: number = Number.MAX_SAFE_INTEGER): Rule<number> {
  const range = most === Number.MAX_SAFE_INTEGER ? `of at least ${least}` : `from ${least} to ${most}`
  const test = (value: unknown): boolean =>
    Number.isInteger(value) && (value as number) >= least && (value as number) <= most
  return rule(test, `must be an integer ${range}`)
}

/** A function, of the type that its place wants. */
export function callable<T>(): Rule<T> {
  return rule((value) => typeof value === 'function', 'must be a function')
}

/** An object, or a function, with these methods. */
export function having<T>(what: string, ...methods: string[]): Rule<T> {
  const test = (value: unknown): boolean =>
    methods.every((method) => typeof (value as Record<string, unknown> | null)?.[method] === 'function')
  return rule(test, `must be ${what}, with ${methods.join(', ')}`)
}

export function listOf(each: (value: unknown) => boolean, expected: string): Rule<string[]> {
  return mapped(
    rule<string[]>(
      (value) => Array.isArray(value) && Array.from(value).every(each),
      `must be an array; each ${expected}`,
    ),
    (list) => list.slice(),
  )
}

/** Control characters and lone surrogates: some storage engines cut at the former and fold the latter. */
const UNSTORABLE = /\p{Cc}|\p{Cs}/u
const isLabel = (value: unknown): boolean =>
  typeof value === 'string' && value.length >= 1 && value.length <= 256 && !UNSTORABLE.test(value)
const labelExpected = 'must have 1 to 256 characters, no control character and no lone surrogate'

/** A text that every storage engine keeps as it is: a name, a key. */
export const label: Rule<string> = rule(isLabel, labelExpected)
export const labels: Rule<string[]> = listOf(isLabel, labelExpected)

const MOST = 1_000_000
export const priority: Rule<number> = mapped(whole(-MOST, MOST), (value) => value + 0) // no -0

/** How many attempts may run at once. */
export const concurrency: Rule<number> = rule(
  (value) => value === Number.POSITIVE_INFINITY || (Number.isSafeInteger(value) && (value as number) >= 1),
  'must be an integer of at least 1',
)
