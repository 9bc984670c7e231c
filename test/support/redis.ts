/**
 * A Redis for tests: the one that is there (`REDIS_URL`, or 127.0.0.1:6379), else one that is started. Where there is neither, what needs one is left out and says so; under
 * `CI=true` it fails.
 */
import { randomUUID } from 'node:crypto'
import { Redis } from 'ioredis'
import { describe } from 'vitest'
import { canStartRedis, RedisServer } from './redis-server.js'

/** What one file of tests uses of a Redis that others use too. */
export class TestRedis {
  readonly url: string
  /** `describe`, or what leaves it out where there is no Redis. */
  readonly describe: typeof describe | typeof describe.skip
  readonly #own: RedisServer | undefined
  /** All keys of this file begin with it. */
  readonly #run = `br-test-${randomUUID().slice(0, 8)}`
  #prefixes = 0
  #client: Redis | undefined

  constructor(url: string | undefined, own?: RedisServer) {
    this.url = url ?? ''
    this.describe = url === undefined ? describe.skip : describe
    this.#own = own
  }

  /** For keys that nobody else uses. */
  prefix(name: string = String(++this.#prefixes)): string {
    return `${this.#run}-${name}`
  }

  /** The same for `engineAt`. */
  path(name?: string): string {
    return `${this.url}#${this.prefix(name)}`
  }

  /** A client to look with. */
  get client(): Redis {
    this.#client ??= new Redis(this.url)
    return this.#client
  }

  /** Removes what this file has left. To be called after all its tests. */
  async end(): Promise<void> {
    if (this.url === '') return
    if (this.#own !== undefined) await this.#own.end()
    else await removeKeys(this.client, `${this.#run}*`)
    this.#client?.disconnect()
  }
}

/** @throws under `CI=true` there has to be one, and one that `REDIS_URL` names has to answer */
export async function testRedis(): Promise<TestRedis> {
  const named = process.env['REDIS_URL']
  const url = named ?? 'redis://127.0.0.1:6379'
  const trouble = await ping(url)
  if (trouble === undefined) return new TestRedis(url)
  if (named !== undefined) throw new Error(`REDIS_URL names a Redis that does not answer: ${trouble}`)
  if (canStartRedis()) {
    const own = await RedisServer.start()
    return new TestRedis(own.url, own)
  }
  needed(`no Redis at ${url} (${trouble}), and no redis-server to start`)
  return new TestRedis(undefined)
}

/** `describe` for tests that start servers of their own. */
export function describeWithServers(): typeof describe | typeof describe.skip {
  if (canStartRedis()) return describe
  needed(`no redis-server to start`)
  return describe.skip
}

export function needed(why: string): void {
  if (process.env['CI'] === 'true') throw new Error(`CI=true, and ${why}`)
  console.warn(`left out: ${why}`)
}

/** What is wrong; undefined: it answers. */
async function ping(url: string): Promise<string | undefined> {
  const client = new Redis(url, { lazyConnect: true, retryStrategy: () => null, connectTimeout: 2_000 })
  client.on('error', () => {}) // `connect` rejects with it
  try {
    await client.connect()
    await client.ping()
    return undefined
  } catch (error) {
    return String(error)
  } finally {
    client.disconnect()
  }
}

async function removeKeys(client: Redis, match: string): Promise<void> {
  let cursor = '0'
  do {
    const [next, keys] = await client.scan(cursor, 'MATCH', match, 'COUNT', 1_000)
    if (keys.length > 0) await client.unlink(...keys)
    cursor = next
  } while (cursor !== '0')
}
