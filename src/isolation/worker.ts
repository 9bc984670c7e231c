/** What a worker begins with: it loads the module of an errand, calls the handler in it, and tells the runner of it. */
import { AsyncLocalStorage } from 'node:async_hooks'
import { deserialize } from 'node:v8'
import { isMainThread, parentPort } from 'node:worker_threads'
import { snapshot } from '../json.js'
import { type HandlerModule, loadModule, type ModuleFile } from '../module-file.js'
import { isThenable } from '../thenable.js'
import { callWithin } from '../within.js'
import { type CarriedError, carried } from './carried-error.js'
import { IdleWatch } from './idle-watch.js'
import { leaveWithParent, watchParent } from './parent.js'
import {
  type Asked,
  type Beginning,
  CALLED,
  type Errand,
  type Limits,
  MOST_UNDERWAY,
  type Reply,
  TAKEN,
  type ThreadLink,
  type Told,
} from './protocol.js'
import { RemoteContext } from './remote-context.js'
import { bringTsx } from './tsx.js'

type Send = (message: Told) => void

/** A thread is given its way to send when it is opened. */
let send: Send | undefined = isMainThread ? viaChannel() : undefined
let file: ModuleFile
let limits: Limits
let module: HandlerModule | undefined
let current: RemoteContext | undefined
let last = 0
let idleWatch: IdleWatch | undefined
/** Of a thread: where its runner sees which errand's handler was called last. */
let shared: Int32Array | undefined
/** The runner has heard that a handler was called here: it looks there from then on. */
let isKnown = false

/** Called by tinypool, once. */
export default function open({ link, parent, isWatched, ...rest }: Beginning): void {
  if (parent !== undefined) watchParent(parent)
  if (parentPort !== null) parentPort.postMessage = unheard
  file = rest.file
  limits = rest.limits
  if (link !== undefined) {
    send = viaPort(link)
    shared = link.shared
  }
  if (isWatched) idleWatch = new IdleWatch(() => current?.waits())
}

function hear(message: Asked): void {
  if (message.type === 'errand') return start(message)
  if (message.number !== current?.number) return
  current.hear(message)
  idleWatch?.letGo()
}

function start(errand: Errand & { readonly number: number }): void {
  const { number, facts } = errand
  const ctx = new RemoteContext(number, facts, limits, send as Send, idleWatch !== undefined)
  last = number
  current = ctx
  doings.run({ number, id: facts.id }, () => {
    if (module !== undefined) return perform(module, errand, ctx)
    ctx.unlessStopped(load).then(
      (loaded) => {
        module = loaded
        perform(loaded, errand, ctx)
      },
      (error) => reply(ctx, { error: carried(error, limits) }),
    )
  })
}

async function load(): Promise<HandlerModule> {
  await bringTsx()
  return loadModule(file)
}

// Without `async`: while AsyncLocalStorage is in use each promise is dear, and most handlers end in one turn.
function perform(handler: HandlerModule, { input, isSerialized, buffers }: Errand, ctx: RemoteContext): void {
  const fulfilled = (output: unknown): void =>
    reply(ctx, output === undefined ? {} : { output: snapshot(output, limits.output) })
  const rejected = (thrown: unknown): void => reply(ctx, { error: carried(thrown, limits) })
  if (buffers !== undefined) for (const each of buffers) Object.setPrototypeOf(each, Buffer.prototype)
  try {
    ctx.begin(isKnown && shared !== undefined && idleWatch === undefined)
    isKnown = true
    if (shared !== undefined) Atomics.store(shared, CALLED, ctx.number)
    idleWatch?.letGo()
    const result = call(handler, isSerialized ? deserialize(Buffer.from(input as string, 'base64')) : input, ctx)
    if (isThenable(result)) Promise.resolve(result).then(fulfilled, rejected)
    else fulfilled(result)
  } catch (thrown) {
    rejected(thrown)
  }
}

function call({ run, context }: HandlerModule, input: unknown, ctx: RemoteContext): unknown {
  const within = context?.run
  if (typeof within !== 'function') return run(input, ctx)
  return callWithin(
    (value, fn) => within(value, fn),
    ctx.context,
    () => run(input, ctx),
    (error) => ctx.fault(error),
  )
}

/** The last word of an errand, when what its handler has printed is on its way. */
function reply(ctx: RemoteContext, what: Reply): void {
  const unwritten = [process.stdout, process.stderr].filter((each) => each.writableLength > 0)
  if (unwritten.length > 0) return void flush(unwritten).then(() => end(ctx, what))
  end(ctx, what)
}

function end(ctx: RemoteContext, what: Reply): void {
  current = undefined
  idleWatch?.hold()
  ctx.reply(what)
}

async function flush(streams: readonly NodeJS.WriteStream[]): Promise<void> {
  await Promise.all(streams.map((each) => new Promise((resolve) => each.write('', resolve))))
}

/** A thread has a port; it waits when the runner does not keep up. */
function viaPort({ port, shared }: ThreadLink): Send {
  let sent = Atomics.load(shared, TAKEN)
  port.on('message', hear)
  port.unref()
  return (message) => {
    port.postMessage(message)
    sent++
    // Their difference is right also when the counter has gone round: it has 32 bits.
    for (
      let seen = Atomics.load(shared, TAKEN);
      ((sent - seen) | 0) > MOST_UNDERWAY;
      seen = Atomics.load(shared, TAKEN)
    )
      Atomics.wait(shared, TAKEN, seen)
  }
}

const ASKED: ReadonlySet<unknown> = new Set<Asked['type']>(['errand', 'abort', 'saved'])

/** A child process has the channel to its parent. */
function viaChannel(): Send {
  process.on('message', (message: Partial<Asked> | undefined) => {
    if (ASKED.has(message?.type)) hear(message as Asked)
  })
  leaveWithParent(() => current !== undefined)
  const channel = process.send?.bind(process)
  process.send = unheard
  return (message) => void channel?.(message)
}

/**
 * What a handler says to its parent past the runner: tinypool falls over some of it, together with the program, and takes
 * the rest for a broken worker.
 */
function unheard(_message: unknown, ...more: unknown[]): boolean {
  const callback = more.at(-1)
  if (typeof callback === 'function') process.nextTick(callback, null)
  return true
}

// Its last words.

/** Whose doing it is, what goes on: also what an errand left behind, when the next one is there. */
const doings = new AsyncLocalStorage<{ readonly number: number; readonly id: string }>()
let uncaught: { readonly by: ReturnType<typeof doings.getStore>; readonly error: CarriedError } | undefined

process.on('uncaughtExceptionMonitor', (error) => {
  if (process.listenerCount('uncaughtException') === 0) uncaught = { by: doings.getStore(), error: carried(error) }
})
process.on('exit', () => {
  const { by, error } = uncaught ?? { by: doings.getStore(), error: undefined }
  try {
    current?.flush()
    send?.({ type: 'end', number: last, words: { by, error } })
  } catch {
    // There is nobody left to tell.
  }
})
