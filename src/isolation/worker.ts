/** What a worker begins with: it loads the module of an errand, calls the handler in it, and tells the runner of it. */
import { AsyncLocalStorage } from 'node:async_hooks'
import { deserialize } from 'node:v8'
import { isMainThread } from 'node:worker_threads'
import { snapshot } from '../json.js'
import { type HandlerModule, loadModule, type ModuleFile } from '../module-file.js'
import { isThenable } from '../thenable.js'
import { callWithin } from '../within.js'
import { type CarriedError, carried } from './carried-error.js'
import { IdleWatch } from './idle-watch.js'
import { outlive } from './parent.js'
import {
  type Asked,
  type Beginning,
  type Errand,
  type Limits,
  MOST_UNDERWAY,
  type Reply,
  type ThreadLink,
  type Told,
} from './protocol.js'
import { RemoteContext } from './remote-context.js'
import { bringTsx } from './tsx.js'

type Send = (message: Told) => void

/** A thread is given its way to send with its first errand. */
let send: Send | undefined = isMainThread ? viaChannel() : undefined
let file: ModuleFile
let limits: Limits
let module: HandlerModule | undefined
let current: RemoteContext | undefined
let last = 0
let idleWatch: IdleWatch | undefined
/** An abort that has overtaken its errand. */
let early: Asked | undefined

/** Called by tinypool. */
export default async function run(errand: Errand): Promise<void> {
  const { number, facts, first } = errand
  if (first !== undefined) begin(first)
  const ctx = new RemoteContext(errand, limits, send as Send, idleWatch !== undefined)
  last = number
  current = ctx
  if (early?.number === number) ctx.hear(early)
  try {
    ctx.reply(await doings.run({ number, id: facts.id }, () => perform(errand, ctx)))
  } finally {
    current = undefined
    idleWatch?.hold()
  }
}

function begin({ link, isWatched, ...rest }: Beginning): void {
  file = rest.file
  limits = rest.limits
  if (link !== undefined) send ??= viaPort(link)
  if (isWatched) idleWatch ??= new IdleWatch(() => current?.waits())
}

async function perform({ input, isSerialized }: Errand, ctx: RemoteContext): Promise<Reply> {
  try {
    module ??= await ctx.unlessStopped(load)
    ctx.begin()
    idleWatch?.letGo()
    const output = await call(
      module as HandlerModule,
      isSerialized ? deserialize(Buffer.from(input as string, 'base64')) : input,
      ctx,
    )
    return output === undefined ? {} : { output: snapshot(output, limits.output) }
  } catch (thrown) {
    return { error: carried(thrown, limits) }
  }
}

async function load(): Promise<HandlerModule> {
  await bringTsx()
  return loadModule(file)
}

async function call({ run, context }: HandlerModule, input: unknown, ctx: RemoteContext): Promise<unknown> {
  const handler = (): unknown => run(input, ctx)
  const within = context?.run
  const result =
    typeof within === 'function'
      ? callWithin(
          (value, fn) => within(value, fn),
          ctx.context,
          handler,
          (error) => ctx.fault(error),
        )
      : handler()
  return isThenable(result) ? await result : result
}

function hear(message: Asked): void {
  if (message.number === current?.number) {
    current.hear(message)
    idleWatch?.letGo()
  } else if (message.number > last && message.type === 'abort') early = message
}

/** A thread has a port; it waits when the runner does not keep up. */
function viaPort({ port, taken }: ThreadLink): Send {
  let sent = 0
  port.on('message', hear)
  port.unref()
  return (message) => {
    port.postMessage(message)
    sent++
    for (let seen = Atomics.load(taken, 0); sent - seen > MOST_UNDERWAY; seen = Atomics.load(taken, 0))
      Atomics.wait(taken, 0, seen)
  }
}

/** A child process has the channel to its parent. */
function viaChannel(): Send {
  process.on('message', (message: Partial<Asked> | undefined) => {
    if (message?.type === 'abort' || message?.type === 'saved') hear(message as Asked)
  })
  outlive(() => current !== undefined)
  const channel = process.send?.bind(process)
  return (message) => void channel?.(message)
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
    send?.({ type: 'end', number: last, words: { by, error } })
  } catch {
    // There is nobody left to tell.
  }
})
