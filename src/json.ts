/**
 * The snapshot: a value copied in, provided that JSON can hold it unchanged.
 *
 * One walk validates and copies. What JSON would change (a Date, -0, a class instance) or cannot hold (a BigInt, a
 * function, a cycle) is an issue with its path. A property that is `undefined` counts as absent.
 */
import { type InputIssue, kindOf, show } from './errors.js'

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json }

/** A snapshot, or why there is none. */
export type Snapshot = { readonly value: Json } | { readonly issues: readonly InputIssue[] }

/** Deeper nesting is refused: it would overflow the stack of JSON.parse's many other users. */
const MAX_DEPTH = 500
const MAX_ISSUES = 20
const MIB = 1_048_576
/** The most bytes that one counted unit can become: a number counts as one and may be -1.2345678901234567e-300. */
const BYTES_PER_UNIT = 25

/** The default limit of an input or an output, in bytes of UTF-8 JSON. */
export const MAX_BYTES: number = MIB

/** Copies `value`, or says what is wrong with it. `maxBytes` is the limit in UTF-8 bytes of JSON. */
export function snapshot(value: unknown, maxBytes: number = MAX_BYTES): Snapshot {
  if (
    typeof value === 'string' ? value.length * BYTES_PER_UNIT < maxBytes : value === null || typeof value === 'boolean'
  ) {
    return { value: value as Json }
  }
  // A getter may take a snapshot within a snapshot: whoever finds no walk at rest makes one.
  const walk = resting ?? new Walk()
  resting = undefined
  const taken = walk.take(value, maxBytes)
  resting = walk
  return taken
}

/**
 * A copy of what is known to be JSON: a snapshot handed out. The casts carry its type through: records and attempts are
 * JSON by construction, but as interfaces without an index signature they are not assignable to `Json`.
 */
export function copyJson<T>(value: T): T {
  return (typeof value === 'object' && value !== null ? copyPlain(value as unknown as Json) : value) as T
}

function copyPlain(value: Json): Json {
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) {
    const items: Json[] = new Array(value.length)
    for (let i = 0; i < value.length; i++) items[i] = copyPlain(value[i] as Json)
    return items
  }
  const to: Record<string, Json> = { ...(value as { readonly [key: string]: Json }) }
  for (const key of Object.keys(to)) {
    const item = to[key] as Json
    if (typeof item === 'object' && item !== null) assign(to, key, copyPlain(item))
  }
  return to
}

/** Its stacks are the dearest part of a small snapshot, so one is kept for the next. */
let resting: Walk | undefined

class Walk {
  #issues: InputIssue[] | undefined
  /** Code units of JSON text so far: never more than the text will have bytes. */
  #units = 0
  #max = 0
  readonly #path: (string | number)[] = []
  readonly #ancestors: object[] = []

  take(value: unknown, maxBytes: number): Snapshot {
    this.#issues = undefined
    this.#units = 0
    this.#max = maxBytes
    const copied = typeof value === 'object' && value !== null ? this.#container(value, 0) : this.#primitive(value)
    if (this.#issues !== undefined) return { issues: this.#issues }
    // The walk counts code units, a lower bound of bytes; only what may be over is measured exactly.
    if (this.#units * BYTES_PER_UNIT > maxBytes && Buffer.byteLength(JSON.stringify(copied)) > maxBytes) {
      return { issues: [tooLarge(maxBytes)] }
    }
    return { value: copied as Json }
  }

  #container(value: object, depth: number): unknown {
    if (depth > MAX_DEPTH) return this.#refuse(`nested more than ${MAX_DEPTH} levels deep`)
    if (depth > 0 && this.#ancestors.includes(value)) return this.#refuse('a cycle is not JSON')
    const steps = this.#path.length
    this.#ancestors.push(value)
    let copied: unknown
    try {
      copied = this.#plain(value, depth)
    } catch (error) {
      this.#path.length = steps
      this.#ancestors.length = depth + 1
      copied = this.#refuse(`cannot be read: ${error instanceof Error ? error.message : 'it threw'}`)
    }
    this.#ancestors.pop()
    return copied
  }

  #plain(value: object, depth: number): unknown {
    if (Array.isArray(value)) return this.#array(value, depth)
    const prototype: unknown = Object.getPrototypeOf(value)
    // Object.prototype, none, or that of another realm (a vm context, a Jest sandbox): nothing stands above it.
    if (prototype === Object.prototype || prototype === null || Object.getPrototypeOf(prototype) === null) {
      return this.#object(value as Record<string, unknown>, depth)
    }
    return this.#refuse(`${kindOf(value)} is not JSON`)
  }

  #array(value: readonly unknown[], depth: number): unknown {
    const items: unknown[] = []
    this.#grow(1)
    for (let i = 0; i < value.length && !this.#full(); i++) {
      const item = value[i]
      this.#grow(1)
      items.push(
        item === undefined && !(i in value) ? this.#refuse('a hole is not JSON', i) : this.#item(item, i, depth),
      )
    }
    if (!this.#full() && Object.keys(value).length > value.length) {
      this.#refuse('an array with named properties is not JSON')
    }
    return items
  }

  #object(value: Record<string, unknown>, depth: number): unknown {
    // The spread reads each property once and makes an object of just the right size; then its values are replaced.
    let copy: Record<string, unknown> = { ...value }
    let absent = false
    this.#grow(1)
    for (const key of Object.keys(copy)) {
      if (this.#full()) break
      const item = copy[key]
      if (item === undefined) {
        absent = true
        continue
      }
      this.#grow(key.length + 4)
      const copied = this.#item(item, key, depth)
      if (copied !== item) assign(copy, key, copied)
    }
    if (Object.getOwnPropertySymbols(copy).length > 0) this.#refuse('a symbol key is not JSON')
    if (absent) copy = Object.fromEntries(Object.entries(copy).filter(([, item]) => item !== undefined))
    return copy
  }

  /** What stands under `step`: only a container needs the path to it. */
  #item(value: unknown, step: string | number, depth: number): unknown {
    if (typeof value !== 'object' || value === null) return this.#primitive(value, step)
    this.#path.push(step)
    const copied = this.#container(value, depth + 1)
    this.#path.pop()
    return copied
  }

  #primitive(value: unknown, step?: string | number): unknown {
    switch (typeof value) {
      case 'string':
        this.#grow(value.length + 2)
        return value
      case 'number':
        if (!Number.isFinite(value) || Object.is(value, -0)) return this.#refuse(`${show(value)} is not JSON`, step)
        this.#grow(1)
        return value
      case 'boolean':
        this.#grow(4)
        return value
      default:
        if (value !== null) return this.#refuse(`${kindOf(value)} is not JSON`, step)
        this.#grow(4)
        return null
    }
  }

  #grow(units: number): void {
    const before = this.#units
    this.#units += units
    if (before <= this.#max && this.#units > this.#max) this.#tell(tooLarge(this.#max))
  }

  #full(): boolean {
    return this.#units > this.#max || (this.#issues !== undefined && this.#issues.length >= MAX_ISSUES)
  }

  #tell(issue: InputIssue): void {
    this.#issues ??= []
    if (this.#issues.length < MAX_ISSUES) this.#issues.push(issue)
  }

  #refuse(message: string, step?: string | number): undefined {
    this.#tell({ message, path: step === undefined ? [...this.#path] : [...this.#path, step] })
    return undefined
  }
}

function tooLarge(max: number): InputIssue {
  return { message: `is larger than ${max} bytes of JSON`, path: [] }
}

/** `__proto__` as a key is data: assigning it would set the prototype. */
function assign(target: object, key: string, value: unknown): void {
  if (key === '__proto__')
    Object.defineProperty(target, key, { value, enumerable: true, configurable: true, writable: true })
  else (target as Record<string, unknown>)[key] = value
}
