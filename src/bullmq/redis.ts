/**
 * The connections of one engine to Redis.
 *
 * - `verbs`: what callers wait for. With `offline: 'fail'` it answers within a bound, with an error where Redis does not.
 * - `work`: claims and verdicts. Patient: what is asked while Redis is away is asked again when it is back.
 * - `wake`: waits for new work (BZPOPMIN), which blocks a connection.
 * - `news`: what others say (SUBSCRIBE).
 */
import type { Redis as Client, RedisOptions } from 'ioredis'
import { type Alarm, after, type Clock } from '../clock.js'
import { BackgroundRunnerError, EngineError, MissingDependencyError } from '../errors.js'
import { loadScripts, type ScriptName } from './scripts.js'

export type { Client }

/** Where Redis is: a `redis://` URL, options of ioredis, or a client of the app's, of which copies are made. */
export type Connection = string | RedisOptions | Client

/** How long a verb waits for Redis, ms. */
const PATIENCE = 5_000
/** How long opening waits for Redis, ms. */
const OPENING = 10_000
/** Between two tries to reach it again: at most, ms. */
const RETRY = 1_000

/** What a reply may be: whoever asks knows what its script answers. */
export type Reply = unknown

/** Parameters as an object go as JSON, before what is raw; those of the scripts that run for each task go one by one. */
export type Asker = (
  script: ScriptName,
  now: number,
  parameters: object | readonly (string | number)[],
  ...raw: string[]
) => Promise<Reply>

interface Constructor {
  new (options: RedisOptions): Client
  new (url: string, options: RedisOptions): Client
}

type Commands = Client & Record<string, (...args: unknown[]) => Promise<Reply>>

export class Redis {
  readonly #connection: Connection
  readonly #fault: (error: unknown) => void
  readonly #clients: Commands[] = []
  readonly #prefix: string
  readonly #base: string
  readonly #me: string
  #verbs!: Client
  verbs!: Asker
  work!: Asker
  wake!: Client
  news!: Client
  closed = false

  /** @param prefix of BullMQ's keys @param base of ours @param me this worker's id */
  constructor(connection: Connection, prefix: string, base: string, me: string, fault: (error: unknown) => void) {
    this.#connection = connection
    this.#prefix = prefix
    this.#base = base
    this.#me = me
    this.#fault = fault
  }

  /** @throws {EngineError} {MissingDependencyError} */
  async open(clock: Clock, isPatient: boolean): Promise<void> {
    const [scripts, make] = await Promise.all([loadScripts(), this.#maker()])
    const patient: RedisOptions = { maxRetriesPerRequest: null, enableOfflineQueue: true }
    const bounded: RedisOptions = { maxRetriesPerRequest: 1, enableOfflineQueue: false, commandTimeout: PATIENCE }
    const client = (options: RedisOptions): Client => {
      const made = make({ ...options, lazyConnect: true, retryStrategy: (times) => Math.min(times * 50, RETRY) })
      made.on('error', (error) => {
        if (!this.closed) this.#fault(asEngineError(error))
      })
      for (const [name, lua] of Object.entries(scripts)) made.defineCommand(`br_${name}`, { lua, numberOfKeys: 1 })
      this.#clients.push(made as Commands)
      return made
    }
    this.#verbs = client(isPatient ? patient : bounded)
    const work = client(patient)
    this.wake = client(patient)
    this.news = client(patient)
    this.verbs = this.#asker(this.#verbs as Commands)
    this.work = this.#asker(work as Commands)
    await this.#connect(clock)
  }

  async #maker(): Promise<(options: RedisOptions) => Client> {
    const connection = this.#connection
    if (typeof connection === 'object' && 'duplicate' in connection)
      return (options) => connection.duplicate({ commandTimeout: undefined, ...options })
    const Constructor = await loadIoredis()
    if (typeof connection === 'string') return (options) => new Constructor(connection, options)
    return (options) => new Constructor({ ...connection, ...options })
  }

  async #connect(clock: Clock): Promise<void> {
    let alarm: Alarm | undefined
    const late = new Promise<never>((_resolve, reject) => {
      alarm = after(clock, OPENING, () => reject(new EngineError(`Redis did not answer for ${OPENING} ms`)))
    })
    try {
      await Promise.race([Promise.all(this.#clients.map((client) => client.connect())), late])
    } catch (error) {
      this.close()
      throw asEngineError(error)
    } finally {
      alarm?.cancel()
    }
  }

  #asker(client: Commands): Asker {
    return async (script, now, parameters, ...raw) => {
      const command = client[`br_${script}`] as (...args: unknown[]) => Promise<Reply>
      try {
        const given = Array.isArray(parameters) ? parameters : [JSON.stringify(parameters)]
        return await command.call(client, this.#base, this.#prefix, now, this.#me, ...given, ...raw)
      } catch (error) {
        throw asEngineError(error)
      }
    }
  }

  /** All fields of a hash of ours. */
  async hash(key: string): Promise<Record<string, string>> {
    try {
      return await this.#verbs.hgetall(`${this.#base}${key}`)
    } catch (error) {
      throw asEngineError(error)
    }
  }

  /** Sets a marker of BullMQ's again. */
  async passOn(marker: string): Promise<void> {
    await this.#clients[1]?.zadd(marker, 0, '0')
  }

  close(): void {
    this.closed = true
    for (const client of this.#clients) client.disconnect()
  }
}

async function loadIoredis(): Promise<Constructor> {
  try {
    const { Redis } = await import('ioredis')
    return Redis as unknown as Constructor
  } catch (cause) {
    throw new MissingDependencyError('ioredis', 'bullmq() on Redis', { cause })
  }
}

function asEngineError(error: unknown): unknown {
  if (error instanceof BackgroundRunnerError) return error
  return new EngineError(`Redis: ${error instanceof Error ? error.message : String(error)}`, { cause: error })
}
