/**
 * The handler of every isolated definition of the suite. It tells the test that it was called, and does to its context
 * what the test's own handler, which runs beside the test, does to its. Address and definition are in its URL.
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import { connect } from 'node:net'
import { types } from 'node:util'
import { deserialize, serialize } from 'node:v8'
import { threadId } from 'node:worker_threads'
import type { TaskContext } from '../../../src/task.js'
import { type Numbers, pack, unpack } from './carry.js'
import { Frames, type OrderTo, type Report } from './wire.js'

interface PromiseWithResolvers {
  readonly resolve: (output: unknown) => void
  readonly reject: (error: unknown) => void
}

interface Call extends PromiseWithResolvers {
  readonly ctx: TaskContext
}

const here = new URL(import.meta.url).searchParams
const definition = Number(here.get('definition'))
const from = { pid: process.pid, thread: threadId }
const calls: Map<number, Call> = new Map()
/** What the functions of steps come to. */
const works: Map<number, PromiseWithResolvers> = new Map()

/** Errors that were told of, by the number under which the test knows them. */
const errors: object[] = []
const told: Numbers = {
  numberOf: (object) => {
    if (!types.isNativeError(object)) return undefined
    const at = errors.indexOf(object)
    return at < 0 ? errors.push(object) - 1 : at
  },
}
const heard: Numbers = { find: (number) => errors[number] }

const socket = connect(String(here.get('link')))
// What keeps a worker alive is the library's affair.
socket.unref()
const frames = new Frames()
socket.on('error', () => socket.destroy())
socket.on('data', (chunk) => {
  for (const { bytes, held } of frames.of(chunk)) {
    const order = deserialize(bytes) as OrderTo
    // A turn later: what the library had sent before is there first.
    setImmediate(() => void answer(order, held))
  }
})

function tell(report: Report, held = false): void {
  socket.write(Frames.of(serialize(report), held))
}

async function answer(order: OrderTo, held: boolean): Promise<void> {
  let value: unknown
  let thrown = false
  try {
    const done = obey(order)
    value = types.isPromise(done) ? await done : done
  } catch (error) {
    thrown = true
    value = error
  }
  tell({ type: 'answer', order: order.order, thrown, value: pack(value, told) }, held)
  if (order.what === 'read') spoil(value)
}

/** What a handler is given, and what it has given away, are its own: here it always does its worst to them. */
function spoil(value: unknown, seen: Set<object> = new Set()): void {
  if (typeof value !== 'object' || value === null || seen.has(value)) return
  if (types.isProxy(value) || !Object.isExtensible(value)) return
  seen.add(value)
  if (Array.isArray(value)) {
    for (const each of value) spoil(each, seen)
    value.push('spoilt')
  } else if (Object.getPrototypeOf(value) === Object.prototype) {
    for (const { value: each } of Object.values(Object.getOwnPropertyDescriptors(value))) spoil(each, seen)
    Object.assign(value, { spoilt: true })
  }
}

function obey(order: OrderTo): unknown {
  if (order.what === 'ping') return undefined
  const call = calls.get(order.call) as Call
  const { ctx } = call
  switch (order.what) {
    case 'read':
      return ctx[order.property as keyof TaskContext]
    case 'progress':
    case 'save':
    case 'log': {
      const values = unpack(order.values, heard) as unknown[]
      try {
        return (ctx[order.what] as (...values: unknown[]) => unknown)(...values)
      } finally {
        spoil(values)
      }
    }
    case 'step': {
      const [name, given] = unpack(order.values, heard) as [string, unknown]
      return ctx.step(name, (given === true ? () => work(order.order) : given) as () => unknown)
    }
    case 'worked': {
      const value = unpack(order.value, heard)
      const { resolve, reject } = works.get(order.step) as PromiseWithResolvers
      return order.thrown ? reject(value) : resolve(value)
    }
    case 'listen':
      ctx.signal.addEventListener('abort', () =>
        tell({ type: 'aborted', call: order.call, reason: pack(ctx.signal.reason, told) }),
      )
      return { aborted: ctx.signal.aborted, reason: ctx.signal.reason }
    case 'signal':
      return { aborted: ctx.signal.aborted, reason: ctx.signal.reason }
    case 'throwIfAborted':
      return ctx.signal.throwIfAborted()
    case 'return':
      return call.resolve(unpack(order.value, heard))
    case 'throw':
      return call.reject(unpack(order.value, heard))
  }
}

/** The function of a step is in the test, as the handler is. */
function work(step: number): Promise<unknown> {
  return new Promise((resolve, reject) => {
    works.set(step, { resolve, reject })
    tell({ type: 'work', step })
  })
}

const storage = new AsyncLocalStorage<unknown>()

export const context = {
  run: (value: unknown, handler: () => unknown): unknown => storage.run(value, handler),
}

export function run(input: unknown, ctx: TaskContext): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const call = calls.size + 1
    calls.set(call, { ctx, resolve, reject })
    const { id, name, attempt } = ctx
    const surroundings = pack(storage.getStore())
    tell({ type: 'called', call, definition, input: pack(input, told), surroundings, id, name, attempt, from })
    spoil(input)
  })
}
