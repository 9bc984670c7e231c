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
import { EngineError, MissingDependencyError } from '../errors.js'
import type { Answer, Asker, Backend, BackendHost } from './backend.js'
import { loadScripts } from './scripts.js'
import { asEngineError } from './trouble.js'

export type { Client }

/** Where Redis is: a `redis://` URL, options of ioredis, or a client of the app's, of which copies are made. */
export type Connection = string | RedisOptions | Client

/** How long a verb waits for Redis, ms. */
const PATIENCE = 5_000
/** How long opening waits for Redis, ms. */
const OPENING = 10_000
/** Between two tries to reach it again: at most, ms. */
const RETRY = 1_000

/** How long a wait for new work blocks, s. */
const BLOCK = 5

interface Constructor {
  new (options: RedisOptions): Client
  new (url: string, options: RedisOptions): Client
}

type Commands = Client & Record<string, (...args: unknown[]) => Promise<Answer>>

export interface RedisSettings {
  readonly connection: Connection
  /** Of BullMQ's keys, and of ours. */
  readonly prefix: string
  readonly base: string
  readonly isPatient: boolean
}

export class Redis implements Backend {
  readonly name = 'Redis'
  readonly #settings: RedisSettings
  readonly #me: string
  readonly #clients: Commands[] = []
  #wake!: Client
  #news!: Client
  verbs!: Asker
  work!: Asker
  #closed = false

  constructor(settings: RedisSettings, me: string) {
    this.#settings = settings
    this.#me = me
  }

  async open(clock: Clock, host: BackendHost): Promise<void> {
    const { base, isPatient } = this.#settings
    const [scripts, make] = await Promise.all([loadScripts(), this.#maker()])
    const patient: RedisOptions = { maxRetriesPerRequest: null, enableOfflineQueue: true }
    const bounded: RedisOptions = { maxRetriesPerRequest: 1, enableOfflineQueue: false, commandTimeout: PATIENCE }
    const client = (options: RedisOptions): Client => {
      const made = make({ ...options, lazyConnect: true, retryStrategy: (times) => Math.min(times * 50, RETRY) })
      made.on('error', (error) => {
        if (!this.#closed) host.fault(asEngineError(this.name, error))
      })
      for (const [name, lua] of Object.entries(scripts)) made.defineCommand(`br_${name}`, { lua, numberOfKeys: 1 })
      this.#clients.push(made as Commands)
      return made
    }
    this.verbs = this.#asker(client(isPatient ? patient : bounded) as Commands)
    this.work = this.#asker(client(patient) as Commands)
    this.#wake = client(patient)
    this.#news = client(patient)
    await this.#connect(clock)
    this.#news.on('message', (channel: string, message: string) => host.heard(channel.slice(base.length), message))
    this.#news.on('ready', () => {
      if (!this.#closed) host.back()
    })
  }

  async #maker(): Promise<(options: RedisOptions) => Client> {
    const { connection } = this.#settings
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
      throw asEngineError(this.name, error)
    } finally {
      alarm?.cancel()
    }
  }

  #asker(client: Commands): Asker {
    const { base, prefix } = this.#settings
    return async (question, now, parameters, ...raw) => {
      const command = client[`br_${question}`] as (...args: unknown[]) => Promise<Answer>
      try {
        const given = Array.isArray(parameters) ? parameters : [JSON.stringify(parameters)]
        return await command.call(client, base, prefix, now, this.#me, ...given, ...raw)
      } catch (error) {
        throw asEngineError(this.name, error)
      }
    }
  }

  async waitForWork(queues: readonly string[]): Promise<string | undefined> {
    const { prefix } = this.#settings
    const popped = await this.#wake.bzpopmin(...queues.map((queue) => `${prefix}${queue}:marker`), BLOCK)
    if (popped === null) return undefined
    // BullMQ's marker is 0 where there is work, and 1 where there will be.
    const [key, member] = popped as unknown as [string, string]
    return member === '0' ? key.slice(prefix.length, -':marker'.length) : undefined
  }

  async passOn(queue: string): Promise<void> {
    await this.#clients[1]?.zadd(`${this.#settings.prefix}${queue}:marker`, 0, '0')
  }

  async listen(...channels: string[]): Promise<void> {
    await this.#news.subscribe(...channels.map((channel) => this.#settings.base + channel))
  }

  async unlisten(channel: string): Promise<void> {
    await this.#news.unsubscribe(this.#settings.base + channel)
  }

  close(): void {
    this.#closed = true
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
