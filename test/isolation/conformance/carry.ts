/**
 * Values on their way into a worker and back, as what they are: what a test's handler throws or returns is to be thrown
 * or returned in the worker, so that it is the library, not the test, that has to get it over the boundary.
 *
 * Structured clone would make plain objects of class instances and refuse functions. Here an object is carried as its
 * prototype, its properties and its flags; a function and a class as their source; what `made` has made as its maker.
 * What comes from the worker keeps a number if it is an error, and is itself again when it goes back.
 */
import { types } from 'node:util'
import { deserialize, serialize } from 'node:v8'
import * as errors from '../../../src/errors.js'
import { type Maker, makerOf } from '../../../src/testing/conformance/made.js'

/** Whose errors are known by number: they go back as the number, and are the very same there. */
export interface Numbers {
  /** The number of an object that comes from there, or that is to be known there by one. */
  readonly numberOf?: (object: object) => number | undefined
  /** The object of this number, if there is one already. */
  readonly find?: (number: number) => object | undefined
  /** A new object that came with a number. */
  readonly note?: (number: number, object: object) => void
}

type Item = { readonly value: unknown } | { readonly node: number }

interface Property {
  readonly key: Item
  readonly flags: readonly [configurable: boolean, enumerable: boolean, writable: boolean]
  readonly value?: Item
  readonly get?: Item
  readonly set?: Item
}

/** What an object is inside, where properties cannot tell. */
type Inside =
  | { readonly is: 'object' | 'error' }
  | { readonly is: 'array'; readonly length: number }
  | { readonly is: 'date'; readonly time: number }
  | { readonly is: 'expression'; readonly source: string; readonly flags: string }
  | { readonly is: 'boxed'; readonly value: unknown }
  | { readonly is: 'map'; readonly entries: readonly (readonly [Item, Item])[] }
  | { readonly is: 'set'; readonly items: readonly Item[] }
  | { readonly is: 'bytes'; readonly bytes: Uint8Array }

type Node =
  | { readonly kind: 'known'; readonly number: number }
  /** Structured clone carries it as it is. */
  | { readonly kind: 'plain'; readonly value: unknown }
  | { readonly kind: 'symbol'; readonly registered: string | undefined; readonly description: string | undefined }
  | { readonly kind: 'function'; readonly source: string }
  | { readonly kind: 'made'; readonly maker: Maker }
  | {
      readonly kind: 'object'
      readonly inside: Inside
      /** The name of a class that both sides have, or the source of another; undefined: it has none. */
      readonly parent: { readonly name: string } | { readonly source: string } | undefined
      readonly own: readonly Property[]
      readonly extensible: boolean
      readonly number: number | undefined
    }

interface Cargo {
  readonly root: Item
  readonly nodes: readonly Node[]
}

/** The classes that both sides have, by name. */
const CLASSES: ReadonlyMap<string, { readonly prototype: object }> = new Map(
  Object.entries({
    ...{
      Object,
      Array,
      Error,
      EvalError,
      RangeError,
      ReferenceError,
      SyntaxError,
      TypeError,
      URIError,
      AggregateError,
    },
    ...{ Date, Map, Set, RegExp, String, Number, Boolean, BigInt, Symbol, Buffer, DOMException },
    ...errors,
  }).filter(([, each]) => typeof each === 'function' && typeof each.prototype === 'object') as never,
)
const NAMES: ReadonlyMap<object, string> = new Map(Array.from(CLASSES, ([name, { prototype }]) => [prototype, name]))

/** `value` as bytes. @throws {TypeError} it can be carried only if `made` makes it */
export function pack(value: unknown, numbers: Numbers = {}): Uint8Array {
  return serialize(new Packer(numbers).pack(value))
}

export function unpack(bytes: Uint8Array, numbers: Numbers = {}): unknown {
  return new Unpacker(deserialize(bytes) as Cargo, numbers).unpack()
}

class Packer {
  readonly #numbers: Numbers
  readonly #nodes: Node[] = []
  readonly #places: Map<unknown, Item> = new Map()

  constructor(numbers: Numbers) {
    this.#numbers = numbers
  }

  pack(value: unknown): Cargo {
    return { root: this.#item(value), nodes: this.#nodes }
  }

  #item(value: unknown): Item {
    if (!isObject(value) && typeof value !== 'symbol') return { value }
    const place = this.#places.get(value)
    if (place !== undefined) return place
    const item = { node: this.#nodes.push({ kind: 'plain', value: undefined }) - 1 }
    this.#places.set(value, item)
    this.#nodes[item.node] = typeof value === 'symbol' ? symbol(value) : this.#node(value)
    return item
  }

  #node(value: object): Node {
    const maker = makerOf(value)
    if (maker !== undefined) return { kind: 'made', maker }
    if (types.isProxy(value) || types.isPromise(value))
      throw new TypeError('a handler throws or returns a proxy or a promise: use `made`')
    if (typeof value === 'function') return { kind: 'function', source: sourceOf(value) }
    if (isPlain(value)) return { kind: 'plain', value }
    const number = this.#numbers.numberOf?.(value)
    if (number !== undefined && this.#numbers.find?.(number) === value) return { kind: 'known', number }
    const inside = this.#inside(value)
    return {
      kind: 'object',
      inside,
      parent: parentOf(value),
      own: this.#own(value, inside),
      extensible: Object.isExtensible(value),
      number,
    }
  }

  #inside(value: object): Inside {
    if (types.isNativeError(value)) return { is: 'error' }
    if (Array.isArray(value)) return { is: 'array', length: value.length }
    if (types.isDate(value)) return { is: 'date', time: value.getTime() }
    if (types.isRegExp(value)) return { is: 'expression', source: value.source, flags: value.flags }
    if (types.isBoxedPrimitive(value)) return { is: 'boxed', value: value.valueOf() }
    if (types.isMap(value))
      return { is: 'map', entries: Array.from(value, ([key, each]) => [this.#item(key), this.#item(each)]) }
    if (types.isSet(value)) return { is: 'set', items: Array.from(value, (each) => this.#item(each)) }
    if (Buffer.isBuffer(value)) return { is: 'bytes', bytes: value }
    return { is: 'object' }
  }

  #own(value: object, inside: Inside): Property[] {
    const own: Property[] = []
    for (const key of Reflect.ownKeys(value)) {
      if (isImplied(key, inside)) continue
      const { configurable, enumerable, writable, value: data, get, set } = described(value, key, inside)
      own.push({
        key: this.#item(key),
        flags: [configurable === true, enumerable === true, writable === true],
        ...(get !== undefined && { get: this.#item(get) }),
        ...(set !== undefined && { set: this.#item(set) }),
        ...(get === undefined && set === undefined && { value: this.#item(data) }),
      })
    }
    return own
  }
}

class Unpacker {
  readonly #cargo: Cargo
  readonly #numbers: Numbers
  readonly #done: Map<number, unknown> = new Map()

  constructor(cargo: Cargo, numbers: Numbers) {
    this.#cargo = cargo
    this.#numbers = numbers
  }

  unpack(): unknown {
    return this.#value(this.#cargo.root)
  }

  #value(item: Item): unknown {
    if (!('node' in item)) return item.value
    if (this.#done.has(item.node)) return this.#done.get(item.node)
    const node = this.#cargo.nodes[item.node] as Node
    if (node.kind !== 'object') {
      const value = this.#simple(node)
      this.#done.set(item.node, value)
      return value
    }
    const old = node.number === undefined ? undefined : this.#numbers.find?.(node.number)
    const object = old ?? shell(node.inside)
    this.#done.set(item.node, object)
    if (old !== undefined) return old
    if (node.number !== undefined) this.#numbers.note?.(node.number, object)
    this.#fill(object, node)
    return object
  }

  #simple(node: Exclude<Node, { readonly kind: 'object' }>): unknown {
    switch (node.kind) {
      case 'known': {
        const object = this.#numbers.find?.(node.number)
        if (object === undefined) throw new TypeError(`there is no object of number ${node.number}`)
        return object
      }
      case 'plain':
        return node.value
      case 'symbol':
        return node.registered === undefined ? Symbol(node.description) : Symbol.for(node.registered)
      case 'function':
        return evaluate(node.source)
      case 'made':
        return (evaluate(node.maker.source) as (...parameters: readonly unknown[]) => unknown)(...node.maker.parameters)
    }
  }

  #fill(object: object, { inside, parent, own, extensible }: Node & { readonly kind: 'object' }): void {
    if (inside.is === 'map')
      for (const [key, value] of inside.entries)
        (object as Map<unknown, unknown>).set(this.#value(key), this.#value(value))
    if (inside.is === 'set') for (const each of inside.items) (object as Set<unknown>).add(this.#value(each))
    Object.setPrototypeOf(object, parent === undefined ? null : classOf(parent).prototype)
    for (const { key, flags, value, get, set } of own) {
      const [configurable, enumerable, writable] = flags
      const what =
        value === undefined
          ? { get: get && this.#value(get), set: set && this.#value(set) }
          : { value: this.#value(value), writable }
      Object.defineProperty(object, this.#value(key) as PropertyKey, {
        configurable,
        enumerable,
        ...(what as PropertyDescriptor),
      })
    }
    if (!extensible) Object.preventExtensions(object)
  }
}

/** The object before it has any property of its own but those that it is born with. */
function shell(inside: Inside): object {
  switch (inside.is) {
    case 'object':
      return {}
    case 'error':
      return new Error()
    case 'array':
      return new Array(inside.length)
    case 'date':
      return new Date(inside.time)
    case 'expression':
      return new RegExp(inside.source, inside.flags)
    case 'boxed':
      return Object(inside.value)
    case 'map':
      return new Map()
    case 'set':
      return new Set()
    case 'bytes':
      return Buffer.from(inside.bytes)
  }
}

function isObject(value: unknown): value is object {
  return (typeof value === 'object' && value !== null) || typeof value === 'function'
}

/** Whether structured clone makes of it what it is: it is data, all the way down, and no part of it comes twice. */
function isPlain(value: unknown, seen: Set<unknown> = new Set()): boolean {
  if (!isObject(value)) return typeof value !== 'symbol'
  if (seen.has(value) || types.isProxy(value) || !Object.isExtensible(value)) return false
  seen.add(value)
  const isArray = Array.isArray(value)
  if (Object.getPrototypeOf(value) !== (isArray ? Array.prototype : Object.prototype)) return isView(value)
  if (makerOf(value) !== undefined) return false
  const keys = Reflect.ownKeys(value)
  if (isArray && keys.length !== value.length + 1) return false
  return keys.every((key) => {
    if (isArray && key === 'length') return true
    const { configurable, enumerable, writable, value: data } = described(value, key, undefined)
    return typeof key === 'string' && configurable && enumerable && writable && isPlain(data, seen)
  })
}

function isView(value: object): boolean {
  return ArrayBuffer.isView(value) && !Buffer.isBuffer(value)
}

/** What an object has because of what it is. */
function isImplied(key: PropertyKey, inside: Inside): boolean {
  if (inside.is === 'array') return key === 'length'
  if (inside.is === 'expression') return key === 'lastIndex'
  if (inside.is === 'bytes') return true
  return inside.is === 'boxed' && typeof inside.value === 'string' && (key === 'length' || /^\d+$/.test(String(key)))
}

function described(object: object, key: PropertyKey, inside: Inside | undefined): PropertyDescriptor {
  const property = Object.getOwnPropertyDescriptor(object, key) as PropertyDescriptor
  // A getter of the machine's own, or none, by version.
  if (inside?.is !== 'error' || key !== 'stack' || 'value' in property) return property
  const configurable = property.configurable === true
  return { value: (object as Error).stack, configurable, enumerable: false, writable: configurable }
}

function symbol(value: symbol): Node {
  return { kind: 'symbol', registered: Symbol.keyFor(value), description: value.description }
}

function parentOf(value: object): { readonly name: string } | { readonly source: string } | undefined {
  const prototype: { readonly constructor?: unknown } | null = Object.getPrototypeOf(value)
  if (prototype === null) return undefined
  const name = NAMES.get(prototype)
  if (name !== undefined) return { name }
  const own = prototype.constructor
  if (typeof own !== 'function') throw new TypeError('an object with a prototype of its own: use `made`')
  // A class of another realm, by the name that it has in ours.
  return CLASSES.has(own.name) && isNative(own) ? { name: own.name } : { source: sourceOf(own) }
}

function classOf(parent: { readonly name: string } | { readonly source: string }): { readonly prototype: object } {
  if ('source' in parent) return evaluate(parent.source) as { readonly prototype: object }
  return CLASSES.get(parent.name) as { readonly prototype: object }
}

function isNative(value: object): boolean {
  return /\[native code\]\s*\}$/.test(Function.prototype.toString.call(value))
}

function sourceOf(value: object): string {
  if (isNative(value)) throw new TypeError('a function without a source: use `made`')
  return Function.prototype.toString.call(value)
}

/** A function or a class, from its source; it may use the errors of the library by their names. */
function evaluate(source: string): unknown {
  const names = [...CLASSES.keys()]
  const made = (expression: string): unknown =>
    new Function(...names, `return (${expression})`)(...names.map((name) => CLASSES.get(name)))
  try {
    return made(source)
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error
  }
  // A method or an accessor, which is no expression by itself.
  const [property] = Object.values(Object.getOwnPropertyDescriptors(made(`{ ${source} }`)))
  return property?.value ?? property?.get ?? property?.set
}
