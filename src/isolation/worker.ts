import { snapshot } from '../json.js'
import { type HandlerModule, loadModule, type ModuleFile } from '../module-file.js'
import { isThenable } from '../thenable.js'
import { callWithin } from '../within.js'
import { carried } from './carried-error.js'
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

type Send = (message: Told) => void

let send: Send | undefined
let limits: Limits
let file: ModuleFile
let module: HandlerModule | undefined
let current: RemoteContext | undefined

/** Called by tinypool. */
export default async function run(errand: Errand): Promise<Reply> {
  if (errand.first !== undefined) begin(errand.first)
  const ctx = new RemoteContext(errand, limits, send as Send)
  current = ctx
  try {
    if (module === undefined) {
      module = await loadModule(file)
      ctx.begin()
    }
    const output = await call(module, errand.input, ctx)
    if (output === undefined) return ctx.reply({})
    return ctx.reply({ output: snapshot(output, limits.output) })
  } catch (thrown) {
    return ctx.reply({ error: carried(thrown, limits) })
  } finally {
    current = undefined
  }
}

function begin({ link, ...rest }: Beginning): void {
  file = rest.file
  limits = rest.limits
  // The first errand may come more than once: until the module could be loaded.
  send = link === undefined ? (send ?? viaChannel()) : viaPort(link)
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
  if (message.number === current?.number) current.hear(message)
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
  outlive()
  return (message) => void process.send?.(message)
}
