/**
 * Matchers: a part of a value, deeply, as tests say what they expect.
 *
 * - An object matches by the properties that it names; others are not looked at. `undefined`: it must be absent.
 * - An array matches an array of the same length, item by item, each of them by part.
 * - A RegExp matches a string that it finds something in; a predicate what it answers true for.
 * - Whatever has `asymmetricMatch` (`expect.any(String)` of vitest and Jest) is asked.
 * - Bytes and Dates match by content; anything else by being the same value.
 *
 * Shapes, never classes: under Jest a value may come from another realm, where `instanceof` says no.
 */
import { AssertionError } from 'node:assert'
import { inspect, isDeepStrictEqual, types } from 'node:util'

/** A part of `T`, deeply; each value may be a predicate, and a string a RegExp. */
export type Matcher<T> = unknown extends T ? LooseMatcher : Part<T> | ((value: T) => boolean)

type Part<T> = T extends string
  ? T | RegExp
  : T extends readonly (infer Item)[]
    ? readonly Matcher<Item>[]
    : T extends object
      ? { readonly [Key in keyof T]?: Matcher<T[Key]> | undefined }
      : T

/** A matcher of something whose type is not known. */
export type LooseMatcher =
  | string
  | number
  | boolean
  | null
  | undefined
  | RegExp
  // biome-ignore lint/suspicious/noExplicitAny: with `unknown` no predicate of a known type could be given
  | ((value: any) => boolean)
  | readonly LooseMatcher[]
  | { readonly [key: string]: LooseMatcher }

/** One difference between a value and a matcher. */
interface Mismatch {
  /** `to[0].address`; empty at the root. */
  readonly path: string
  readonly actual: unknown
  readonly expected: unknown
}

/** Whether `matcher` is a part of `actual`. What a predicate throws is thrown. */
export function matches(actual: unknown, matcher: unknown): boolean {
  return mismatches(actual, matcher).length === 0
}

/** Where `actual` differs from `matcher`; empty where it matches. */
function mismatches(actual: unknown, matcher: unknown): readonly Mismatch[] {
  const found: Mismatch[] = []
  compare(actual, matcher, '', found)
  return found
}

/** As `mismatches`, in words: `subject: expected /Hi/, got 'Ho'; to: …`. Empty where it matches. */
function mismatch(actual: unknown, matcher: unknown): string {
  const told = mismatches(actual, matcher).map(
    ({ path, actual, expected }) => `${path}${path && ': '}expected ${show(expected)}, got ${show(actual)}`,
  )
  return told.join('; ')
}

/** Most candidates that a failure lists. */
const MOST_LISTED = 10

/**
 * A list of what was looked at, an item a line, each with where it differs from `matcher`. Begins with a line break.
 *
 * @param title what stands before an item
 */
export function listMismatches(
  candidates: readonly unknown[],
  matcher: unknown,
  title: (index: number) => string = () => '',
): string {
  const lines = candidates.slice(0, MOST_LISTED).map((candidate, i) => {
    const difference = matcher === undefined ? '' : mismatch(candidate, matcher)
    return `\n  ${i + 1}. ${title(i)}${show(candidate)}${difference && `\n     ${difference}`}`
  })
  const more = candidates.length - lines.length
  return lines.join('') + (more > 0 ? `\n  … and ${more} more` : '')
}

/** What an assertion fails with. `caller`: the assertion itself, so that the stack begins where the test calls it. */
export function failure(
  message: string,
  { actual, expected, caller }: { readonly actual: unknown; readonly expected: unknown; readonly caller: Caller },
): AssertionError {
  return new AssertionError({ message, actual, expected, operator: caller.name, stackStartFn: caller })
}

// biome-ignore lint/suspicious/noExplicitAny: any function at all
type Caller = (...args: any[]) => unknown

/** A value on one line, as a message shows it; a predicate by its source, if that is short. */
export function show(value: unknown): string {
  return inspect(withSources(value), {
    depth: 6,
    breakLength: Number.POSITIVE_INFINITY,
    compact: true,
    maxArrayLength: 20,
    maxStringLength: 300,
  })
}

function compare(actual: unknown, matcher: unknown, path: string, found: Mismatch[]): void {
  const differs = (): void => void found.push({ path, actual, expected: matcher })
  if (typeof matcher === 'function') {
    if (!answer(matcher(actual))) differs()
  } else if (typeof matcher !== 'object' || matcher === null) {
    if (actual !== matcher && !Object.is(actual, matcher)) differs()
  } else if (isAsymmetric(matcher)) {
    if (!matcher.asymmetricMatch(actual)) differs()
  } else if (types.isRegExp(matcher)) {
    // Not `test`, which goes on from where the last one with this RegExp ended.
    if (typeof actual !== 'string' || actual.search(matcher) < 0) differs()
  } else if (typeof actual !== 'object' || actual === null || Array.isArray(actual) !== Array.isArray(matcher)) {
    differs()
  } else if (Array.isArray(matcher)) {
    const items = actual as readonly unknown[]
    if (items.length !== matcher.length) return differs()
    for (const [i, each] of matcher.entries()) compare(items[i], each, `${path}[${i}]`, found)
  } else if (types.isDate(matcher)) {
    if (!types.isDate(actual) || actual.getTime() !== matcher.getTime()) differs()
  } else if (types.isUint8Array(matcher)) {
    if (!types.isUint8Array(actual) || Buffer.compare(actual, matcher) !== 0) differs()
  } else if (!isPlain(matcher)) {
    if (!isDeepStrictEqual(actual, matcher)) differs()
  } else {
    for (const [key, each] of Object.entries(matcher)) {
      const value = Object.hasOwn(actual, key) ? (actual as Record<string, unknown>)[key] : undefined
      compare(value, each, step(path, key), found)
    }
  }
}

/** A promise would count as a yes, whatever comes of it. */
function answer(given: unknown): boolean {
  if (typeof (given as { then?: unknown } | undefined)?.then === 'function')
    throw new TypeError('the predicate of a matcher must answer at once, not with a promise')
  return Boolean(given)
}

function isAsymmetric(matcher: object): matcher is { asymmetricMatch(value: unknown): boolean } {
  return typeof (matcher as { asymmetricMatch?: unknown }).asymmetricMatch === 'function'
}

/** An object literal, of whatever realm. */
function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === null || Object.getPrototypeOf(prototype) === null
}

function step(path: string, key: string): string {
  if (!/^[A-Za-z_$][\w$]*$/.test(key)) return `${path}[${JSON.stringify(key)}]`
  return path === '' ? key : `${path}.${key}`
}

/** Longest source of a predicate that is shown. */
const LONGEST_SOURCE = 80

function withSources(value: unknown): unknown {
  if (typeof value === 'function') {
    const source = String(value).replace(/\s+/g, ' ')
    const text = source.length <= LONGEST_SOURCE ? source : `a predicate${value.name && ` ${value.name}`}`
    return { [inspect.custom]: () => text }
  }
  if (Array.isArray(value)) return value.map(withSources)
  if (typeof value !== 'object' || value === null || !isPlain(value)) return value
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, withSources(each)]))
}
