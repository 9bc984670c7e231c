/** The servers on which many machines share tasks: what is promised over the one is promised over the other. */
import { Redis } from 'ioredis'
import { Client } from 'pg'
import { describe } from 'vitest'
import { isPostgresAsked, testPostgres } from './postgres.js'
import { canStartPostgres, PostgresServer } from './postgres-server.js'
import { needed, testRedis } from './redis.js'
import { canStartRedis, RedisServer } from './redis-server.js'

type Describe = typeof describe | typeof describe.skip

/** A server of a test's own. */
export interface OwnServer {
  readonly port: number
  readonly url: string
  start(): Promise<void>
  kill(): Promise<void>
  end(): Promise<void>
}

/** A kind of server of which a test starts its own. */
export interface ServerKind {
  readonly name: string
  /** `describe`, or what leaves it out where there is no program to start. */
  readonly describe: Describe
  start(): Promise<OwnServer>
  /** Ends some of the connections that engines have, picked at random, from the side of the server. */
  cutSome(server: OwnServer, random: () => number): Promise<void>
}

/** What is there for all files of tests, and for other programs: what one file uses of it. */
export interface SharedServer {
  readonly name: string
  readonly url: string
  readonly describe: Describe
  /** For `engineAt`: of tasks that nobody else has. */
  path(name?: string): string
  /** To be called after all tests. */
  end(): Promise<void>
}

/** Servers that are killed, cut off and frozen take a minute: while one works, REDIS_URL asks for it. */
function isRedisAsked(): boolean {
  if (process.env['CI'] === 'true' || process.env['REDIS_URL'] !== undefined) return true
  console.warn('left to CI=true, or to where REDIS_URL is set: a Redis that is killed, cut off and frozen')
  return false
}

export function serverKinds(): readonly ServerKind[] {
  return [
    {
      name: 'Redis',
      describe: !isRedisAsked() ? describe.skip : canStartRedis() ? describe : left('no redis-server to start'),
      start: () => RedisServer.start(),
      cutSome: cutInRedis,
    },
    {
      name: 'PostgreSQL',
      describe: !isAsked() ? describe.skip : canStartPostgres() ? describe : left('no postgres to start'),
      start: () => PostgresServer.start(),
      cutSome: cutInPostgres,
    },
  ]
}

export async function sharedServers(): Promise<readonly SharedServer[]> {
  const [redis, postgres] = await Promise.all([testRedis(), testPostgres()])
  let names = 0
  return [
    {
      name: 'Redis',
      url: redis.url,
      describe: redis.describe,
      path: (name) => redis.path(name),
      end: () => redis.end(),
    },
    {
      name: 'PostgreSQL',
      url: postgres.url,
      describe: isAsked() ? postgres.describe : describe.skip,
      path: (name = String(++names)) => `${postgres.url}#${postgres.schema}#${name}`,
      end: () => postgres.end(),
    },
  ]
}

function isAsked(): boolean {
  const asked = isPostgresAsked()
  if (!asked) console.warn('left to CI=true, or to POSTGRES_URL: the same over PostgreSQL')
  return asked
}

function left(why: string): typeof describe.skip {
  needed(why)
  return describe.skip
}

async function cutInRedis({ url }: OwnServer, random: () => number): Promise<void> {
  const client = new Redis(url)
  try {
    await client.call('CLIENT', 'KILL', 'TYPE', random() < 0.5 ? 'normal' : 'pubsub', 'SKIPME', 'yes')
  } finally {
    client.disconnect()
  }
}

async function cutInPostgres({ url }: OwnServer, random: () => number): Promise<void> {
  const client = new Client(url)
  try {
    await client.connect()
    const { rows } = await client.query<{ pid: number }>(
      `SELECT pid FROM pg_stat_activity WHERE application_name = 'background-runner' ORDER BY pid`,
    )
    const picked = rows.map(({ pid }) => pid).filter(() => random() < 0.5)
    await client.query('SELECT pg_terminate_backend(pid) FROM unnest($1::int[]) AS pid', [picked])
  } finally {
    await client.end()
  }
}
