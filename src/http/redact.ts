/**
 * What is shown to nobody: the values of properties by their names, in whatever leaves over HTTP. A copy is made only
 * where something is hidden.
 */
import type { Json } from '../index.js'

export const HIDDEN = '[redacted]'

/** At any depth. */
export const DEFAULT_REDACT: readonly string[] = [
  'password',
  'newPassword',
  'oldPassword',
  'currentPassword',
  'confirmPassword',
  'passwordConfirmation',
  'userPassword',
  'passwd',
  'pwd',
  'passphrase',
  'pass',
  'secret',
  'clientSecret',
  'token',
  'accessToken',
  'refreshToken',
  'idToken',
  'authToken',
  'csrfToken',
  'resetToken',
  'sessionToken',
  'verificationToken',
  'bearerToken',
  'jwt',
  'apiKey',
  'accessKey',
  'secretKey',
  'secretAccessKey',
  'privateKey',
  'signingKey',
  'encryptionKey',
  'webhookSecret',
  'authorization',
  'proxyAuthorization',
  'cookie',
  'setCookie',
  'session',
  'sessionId',
  'credentials',
  'creditCard',
  'cardNumber',
  'cvv',
  'cvc',
  'pin',
  'otp',
  'ssn',
].map((name) => `*.${name}`)

/** Hides in a value what the patterns name. */
export type Redact = <T>(value: T) => T

/** Where a walk may go on in a pattern. */
interface Pattern {
  readonly steps: readonly string[]
  /** It began with `*.`: it may begin at any depth. */
  readonly anywhere: boolean
}

/** Spellings of one name. */
function plain(name: string): string {
  return name.toLowerCase().replace(/[-_\s]/g, '')
}

/** @param patterns checked: no empty step, no `*` at the end */
export function redactor(patterns: readonly string[]): Redact {
  const names = new Set<string>()
  const others: Pattern[] = []
  for (const pattern of patterns) {
    const steps = pattern.split('.').map((step) => (step === '*' ? step : plain(step)))
    if (steps.length === 2 && steps[0] === '*') names.add(steps[1] as string)
    else others.push({ steps: steps[0] === '*' ? steps.slice(1) : steps, anywhere: steps[0] === '*' })
  }
  const beginnings = others.map((pattern) => ({ pattern, at: 0 }))
  const again = beginnings.filter(({ pattern }) => pattern.anywhere)
  const known = new Map<string, string>()
  const plainly = (key: string): string => {
    let name = known.get(key)
    if (name === undefined) {
      name = plain(key)
      if (known.size < MOST_KNOWN && key.length < LONG) known.set(key, name)
    }
    return name
  }

  const walk = (value: Json, open: readonly Position[]): Json => {
    if (typeof value !== 'object' || value === null) return value
    let copy: Record<string, Json> | Json[] | undefined
    const isList = Array.isArray(value)
    // Plain JSON: it has no other properties than its own.
    for (const key in value) {
      const child = (value as Record<string, Json>)[key]
      if (child === undefined) continue
      const shown = step(isList ? undefined : plainly(key), child, open)
      if (shown === child) continue
      copy ??= isList ? [...value] : { ...(value as Record<string, Json>) }
      define(copy, key, shown)
    }
    return (copy as Json | undefined) ?? value
  }

  /** @param name undefined: the child of an array, which a pattern may pass over or take for a step */
  const step = (name: string | undefined, child: Json, open: readonly Position[]): Json => {
    if (name !== undefined && names.has(name)) return HIDDEN
    if (open.length === 0) return walk(child, open)
    const next: Position[] = name === undefined ? [...open] : [...again]
    for (const { pattern, at } of open) {
      const wanted = pattern.steps[at]
      if (wanted !== '*' && wanted !== name) continue
      if (at + 1 === pattern.steps.length) return HIDDEN
      next.push({ pattern, at: at + 1 })
    }
    return walk(child, next)
  }

  return (value) => walk(value as Json, beginnings) as typeof value
}

interface Position {
  readonly pattern: Pattern
  readonly at: number
}

const MOST_KNOWN = 10_000
const LONG = 100

/** Also where the key is `__proto__`, which JSON may hold. */
function define(target: object, key: string, value: Json): void {
  Object.defineProperty(target, key, { value, enumerable: true, writable: true, configurable: true })
}

/** A shorter one stands in many a sentence by itself, characters. */
const LEAST_QUOTED = 4
/** A longer one stands whole in no error, of which so much is kept at most. */
const MOST_QUOTED = 8_192
/** The errors of this library quote so much of a text. */
const QUOTE = 77
/** Texts that are looked for. */
const MOST_TEXTS = 50

/** What of the texts in `value` is hidden in `shown`, as others may quote it: an error of the task, the key of a limit. */
export function hiddenTexts(value: unknown, shown: unknown): readonly string[] {
  const found = new Set<string>()
  const take = (hidden: unknown): void => {
    if (found.size >= MOST_TEXTS) return
    if (typeof hidden === 'object' && hidden !== null) return Object.values(hidden).forEach(take)
    if (typeof hidden !== 'string' && typeof hidden !== 'number') return
    const text = String(hidden)
    if (text.length < LEAST_QUOTED) return
    const quotes = text.length > MOST_QUOTED ? [text.slice(0, QUOTE)] : [text, text.slice(0, QUOTE)]
    for (const each of quotes) found.add(each).add(JSON.stringify(each).slice(1, -1))
  }
  const compare = (before: unknown, after: unknown): void => {
    if (before === after) return
    if (after === HIDDEN) return take(before)
    for (const [key, child] of Object.entries(before as object)) compare(child, (after as Record<string, unknown>)[key])
  }
  compare(value, shown)
  // One may hold another.
  return [...found].sort((a, b) => b.length - a.length)
}

/** JSON without these texts, whatever they stand in. */
export function withoutTexts<T>(value: T, texts: readonly string[]): T {
  if (texts.length === 0) return value
  const any = new RegExp(texts.map((text) => text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')).join('|'), 'g')
  const without = (each: unknown): unknown => {
    if (typeof each === 'string') return each.replace(any, HIDDEN)
    if (Array.isArray(each)) return each.map(without)
    if (typeof each !== 'object' || each === null) return each
    return Object.fromEntries(Object.entries(each).map(([key, child]) => [key, without(child)]))
  }
  return without(value) as T
}
