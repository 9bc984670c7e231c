/**
 * A runner in a process of its own, which does what its parent asks: `call` is a verb of the runner, or one of `MORE`. It
 * tells its parent what its handlers and its events do. Its settings are its argument, as JSON.
 */
import { BackgroundRunner, defineTask, RetryLaterError } from 'background-runner'
import { engineAt } from '../../support/engine-at.js'

export interface ActorSettings {
  /** See `engineAt`. */
  readonly path: string
  /** ms @default 15000 */
  readonly lease?: number
  readonly work?: boolean
  readonly concurrency?: number
  /** Of Redis. */
  readonly offline?: 'fail' | 'wait'
}

/** What a handler does: `hold` waits for `release`, or for its signal; `deaf` for the former alone; `sick` has its name held once. */
export type Deed = 'return' | 'slow' | 'die' | 'hold' | 'deaf' | 'sick'

export interface Told {
  /** An event of the runner, or `called`: a handler was. */
  readonly event: string
  /** Of the task; of a hold its name. */
  readonly id: string
  readonly attempt: number
  readonly input: unknown
  readonly output: unknown
}

export interface Request {
  readonly n: number
  readonly verb: string
  readonly args: readonly unknown[]
}

export type Answer = { readonly n: number } & (
  | { readonly value: unknown }
  | { readonly refusal: { readonly code: string; readonly message: string } }
)

const {
  path,
  lease = 15_000,
  work = true,
  concurrency = 10,
  offline,
} = JSON.parse(process.argv[2] ?? '') as ActorSettings
const send = (message: Partial<Told> | Answer): unknown => process.connected && process.send?.(message)
const tell = (told: Partial<Told>): unknown => send(told)
const sleep = (ms: number): Promise<void> => new Promise((resolve) => void setTimeout(resolve, ms))
/** What ends a handler: with an error where it is given none. */
const released = new Map<string, (output: unknown) => void>()

const runner = new BackgroundRunner({
  tasks: {
    work: defineTask({
      retry: { attempts: 1 },
      run: (input: Deed, ctx) => {
        const { id, attempt, signal } = ctx
        tell({ event: 'called', id, attempt, input })
        if (input === 'return') return `done by ${process.pid}`
        if (input === 'sick' && attempt === 1) throw new RetryLaterError({ delay: 100, hold: true })
        if (input === 'sick') return 'well'
        if (input === 'slow') return sleep(10)
        if (input === 'die') process.kill(process.pid, 'SIGKILL')
        return new Promise((resolve, reject) => {
          released.set(id, (output) => (output === undefined ? reject(new Error('no luck')) : resolve(output)))
          if (input !== 'deaf') signal.addEventListener('abort', () => reject(signal.reason), { once: true })
        })
      },
    }),
  },
  engine: engineAt(path, lease, offline),
  work,
  concurrency,
  cancelGrace: 50,
})
const EVENTS = ['started', 'stalled', 'retrying', 'succeeded', 'failed', 'cancelled', 'unresponsive'] as const
for (const event of EVENTS)
  runner.on(event, ({ id, attempt, input, output }) => tell({ event, id, attempt, input, output }))
for (const event of ['held', 'unheld'] as const) runner.on(event, ({ name }) => tell({ event, id: name }))
runner.on('error', (error) => tell({ event: 'error', id: String(error) }))

const MORE: Readonly<Record<string, (...args: never[]) => unknown>> = {
  /** Many submits of this input at the same moment. */
  submits: async (times: number, input: Deed, options: object) => {
    const handles = await Promise.all(Array.from({ length: times }, () => runner.submit('work', input, options)))
    return handles.map(({ id, deduplicated }) => ({ id, deduplicated }))
  },
  release: (id: string, output: unknown) => released.get(id)?.(output),
  /** Holds the event loop. */
  block: (ms: number) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms),
  /** Nothing but the runner holds this process from here on. */
  leave: () => void setImmediate(() => process.disconnect()),
}

process.on('message', async ({ n, verb, args }: Request) => {
  const call = (MORE[verb] ?? runner[verb as 'status'].bind(runner)) as (...args: readonly unknown[]) => unknown
  try {
    const value = await call(...args)
    send({ n, value: JSON.parse(JSON.stringify(value ?? null)) })
  } catch (error) {
    const { code = '', message = '' } = error as { code?: string; message?: string }
    send({ n, refusal: { code, message } })
  }
})
process.once('SIGTERM', () => void runner.close().then(() => process.connected && process.disconnect()))
await runner.ready()
tell({ event: 'ready' })
