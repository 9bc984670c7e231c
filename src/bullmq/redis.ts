/**
 * The connections of one engine to Redis.
 *
 * - `verbs`: what callers wait for. With `offline: 'fail'` it answers within a bound, with an error where Redis does not.
 * - `work`: claims and verdicts. Patient: what is asked while Redis is away is asked again when it is back.
 * - `wake`: waits for new work (BZPOPMIN), which blocks a connection.
 * - `news`: what others say (SUBSCRIBE).
 */
import type { Redis as Client, RedisOptions } from 'ioredis'
import { type Alarm, after, type Clock, systemClock } from '../clock.js'
import { EngineError, MissingDependencyError } from '../errors.js'
import { type Answer, type Asker, type Backend, type BackendHost, checkFormat, FORMAT } from './backend.js'
import { warnIfForgetful } from './persistence.js'
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
/** A connection that owes an answer and is silent for this long is given up for a new one, ms: nobody may be there any more. */
const SILENCE = 8_000
/** A connection that was closed, and does not end, is cut after this many ms: it would hold the process open. */
const FAREWELL = 250
/** So often the connection for news, which is silent by nature, is asked for an answer, ms. */
const PULSE = 10_000

/** What the app's own client may do otherwise, and these must not: some of them wait, and some listen. */
const OURS: RedisOptions = {
  lazyConnect: true,
  commandTimeout: undefined,
  socketTimeout: SILENCE,
  disconnectTimeout: FAREWELL,
  autoResubscribe: true,
  autoResendUnfulfilledCommands: true,
  enableAutoPipelining: false,
  stringNumbers: false,
  retryStrategy: (times) => Math.min(times * 50, RETRY),
} as RedisOptions

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
  #pulse: Alarm | undefined
  #closed = false
  /** What a client has told: what rejects says less. */
  #lastError: Error | undefined

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
      const made = make({ ...OURS, ...options })
      made.on('error', (error) => {
        this.#lastError = error
        if (!this.#closed) host.fault(asEngineError(this.name, error))
      })
      for (const [name, lua] of Object.entries(scripts)) made.defineCommand(`br_${name}`, { lua, numberOfKeys: 1 })
      this.#clients.push(made as Commands)
      return made
    }
    this.verbs = this.#asker(client(isPatient ? patient : bounded) as Commands)
    const work = client(patient)
    this.work = this.#asker(work as Commands)
    this.#wake = client(patient)
    this.#news = client(patient)
    await this.#connect(clock)
    void warnIfForgetful(this.#clients[0] as Client)
    this.#news.on('message', (channel: string, message: string) => host.heard(channel.slice(base.length), message))
    this.#feelPulse()
    for (const each of [this.#news, this.#wake, work]) {
      each.on('ready', () => {
        if (!this.#closed) host.back()
      })
    }
  }

  /** Of real time, whatever the runner's clock: its sockets are real. */
  #feelPulse(): void {
    this.#pulse = after(
      systemClock,
      PULSE,
      () => {
        this.#news.ping().catch(() => {}) // it is closed
        this.#feelPulse()
      },
      'background',
    )
  }

  async #maker(): Promise<(options: RedisOptions) => Client> {
    const { connection } = this.#settings
    if (typeof connection === 'object' && 'duplicate' in connection) return (options) => connection.duplicate(options)
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
      const connected = Promise.all(this.#clients.map((client) => client.connect()))
      await Promise.race([connected.then(() => this.#checkFormat()), late])
      // A database that is not there: ioredis would go on in another one.
      if (this.#lastError?.name === 'ReplyError') throw this.#lastError
    } catch (error) {
      this.close()
      const isVague = error instanceof Error && error.message === 'Connection is closed.'
      throw asEngineError(this.name, isVague ? (this.#lastError ?? error) : error)
    } finally {
      alarm?.cancel()
    }
  }

  async #checkFormat(): Promise<void> {
    const { base, prefix } = this.#settings
    const client = this.#clients[0] as Client
    const info = await client.info('cluster').catch(() => '') // it may be that nobody may ask
    // A script would be stopped half way, at the first key that is elsewhere.
    if (/^cluster_enabled:1/m.test(info) && !/\{[^}]+\}/.test(prefix))
      throw new EngineError(`on Redis Cluster the prefix has to be in braces: '{${prefix.slice(0, -1)}}'`)
    await client.setnx(`${base}format`, FORMAT)
    checkFormat(Number(await client.get(`${base}format`)), `what Redis keeps under ${base}`)
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

  async waitForWork(queues: readonly string[], end: AbortSignal): Promise<string | undefined> {
    const { base, prefix } = this.#settings
    const own = `${base}wake:${this.#me}`
    // Ends the wait, or the next one.
    const wake = (): void => {
      this.#clients[1]
        ?.multi()
        .zadd(own, 0, '1')
        .expire(own, 2 * BLOCK)
        .exec()
        .catch(() => {})
    }
    end.addEventListener('abort', wake, { once: true })
    try {
      const popped = await this.#wake.bzpopmin(...queues.map((queue) => `${prefix}${queue}:marker`), own, BLOCK)
      if (popped === null) return undefined
      // BullMQ's marker is 0 where there is work, and 1 where there will be. (ioredis types the answer for one key.)
      const [key, member] = popped as unknown as [string, string]
      return member === '0' ? key.slice(prefix.length, -':marker'.length) : undefined
    } finally {
      end.removeEventListener('abort', wake)
    }
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
    this.#pulse?.cancel()
    for (const client of this.#clients) client.disconnect()
  }
}

async function loadIoredis(): Promise<Constructor> {
  try {
    const { Redis } = await import('ioredis')
    return Redis as unknown as Constructor // its own overloads do not take optional options as our compiler reads them
  } catch (cause) {
    throw new MissingDependencyError('ioredis', 'bullmq() on Redis', { cause })
  }
}
