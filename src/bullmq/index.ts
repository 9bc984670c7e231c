/** The public surface of `background-runner/bullmq`, and nothing else. */
import type { RedisOptions } from 'ioredis'
import type { Duration } from '../duration.js'
import type { Engine } from '../engine.js'
import { kindOf } from '../errors.js'
import { localEngine } from '../local/local-engine.js'
import { fields, type Rule, read, required, rule, span } from '../rules.js'
import { BullStore } from './bull-store.js'
import { Postgres, type PostgresPool } from './postgres.js'
import { Redis, type Connection as RedisConnection } from './redis.js'

/** Of Redis: a `redis://` URL, options of ioredis, or a client of it. Of PostgreSQL: a `postgres://` URL, or a `Pool` of pg. */
export type Connection = RedisConnection | PostgresPool

export interface BullmqOptions {
  /**
   * Where Redis is: a `redis://` URL, options of ioredis, or the app's own client, of which copies are made. Or where
   * PostgreSQL is, as a preview: a `postgres://` URL, or the app's own `Pool` of pg, from which host, user and the like are
   * taken: the engine makes connections of its own, and neither uses up nor ends those of the pool.
   */
  readonly connection: Connection
  /** Runners of the same name share their tasks; its queues are `<name>.<task>`. @default 'tasks' */
  readonly name?: string
  /**
   * Before BullMQ's keys; in braces for Redis Cluster: `'{bull}'`. In PostgreSQL its schema.
   * @default 'bull', in PostgreSQL 'bullmq'
   */
  readonly prefix?: string
  /**
   * While Redis (or PostgreSQL) is away, a verb rejects with an `EngineError` within 5 s, or waits until it is back. @default 'fail'
   */
  readonly offline?: 'fail' | 'wait'
  /** How long a process may be silent before its tasks are taken over. @default '15s' */
  readonly lease?: Duration
}

const isName = (value: unknown): boolean => typeof value === 'string' && /^[^\s:]{1,100}$/.test(value)

const isPostgres = (connection: unknown): connection is string | PostgresPool =>
  typeof connection === 'string' ? /^postgres(?:ql)?:\/\//.test(connection) : isPool(connection)

/** A client of pg has no `totalCount`, and one of ioredis no `query`. */
function isPool(value: unknown): value is PostgresPool {
  const { query, totalCount, options } = (value ?? {}) as Partial<PostgresPool>
  return typeof query === 'function' && typeof totalCount === 'number' && typeof options === 'object'
}

/** What was given is never shown: there may be a password in it. */
const connection: Rule<Connection> = (value, path, issues) => {
  const message = typeof value === 'string' ? wrongUrl(value) : wrongOptions(value)
  if (message !== undefined) issues.push({ path, message })
  return value as Connection
}

const MUST_BE = 'must be a redis:// or postgres:// URL, options of ioredis, a client of ioredis, or a Pool of pg'

function wrongUrl(value: string): string | undefined {
  if (isPostgres(value)) return URL.canParse(value) ? undefined : `${MUST_BE}, got ${kindOf(value)}`
  const url = /^rediss?:\/\//.test(value) && URL.canParse(value) ? new URL(value) : undefined
  if (url === undefined) return `${MUST_BE}, got ${kindOf(value)}`
  return /^\/?\d*$/.test(url.pathname)
    ? undefined
    : "must end with the number of the database, as in '/1', or with nothing"
}

function wrongOptions(value: unknown): string | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return `${MUST_BE}, got ${kindOf(value)}`
  if (isPool(value)) return undefined
  const { keyPrefix, options, isCluster, query } = value as RedisOptions & {
    readonly options?: RedisOptions
    readonly isCluster?: boolean
    readonly query?: unknown
  }
  if (typeof query === 'function') return 'must not be a Client of pg: give its URL, or a Pool'
  if (isCluster) return 'must not be a Cluster: give the address of the node that has the slot of the prefix'
  // ioredis puts it before what it recognises as a key, which in a script not all are.
  return keyPrefix || options?.keyPrefix ? 'must have no keyPrefix: give bullmq() a prefix' : undefined
}

/** A shorter one is over before its process has had a chance to show that it lives, ms. */
const SHORTEST_LEASE = 500

const lease: Rule<number> = (value, path, issues) => {
  const ms = span(value, path, issues)
  if (ms < SHORTEST_LEASE) issues.push({ path, message: `must be at least ${SHORTEST_LEASE} ms, got ${ms}` })
  return ms
}

const OPTIONS = fields({
  connection: required(connection),
  name: rule<string>(isName, 'must have 1 to 100 characters, no colon and no white space'),
  prefix: rule<string>(isName, 'must have 1 to 100 characters, no colon and no white space'),
  offline: rule<'fail' | 'wait'>((value) => value === 'fail' || value === 'wait', "must be 'fail' or 'wait'"),
  lease,
})

const SCHEMA = fields({
  prefix: rule<string>(
    (value) => typeof value === 'string' && /^[A-Za-z_][A-Za-z0-9_]{0,62}$/.test(value),
    'must be a schema of PostgreSQL, of letters, digits and underscores',
  ),
})

/**
 * The distributed engine: every task is a job of BullMQ in Redis, which many machines may share; or, as a preview, in
 * PostgreSQL.
 *
 * @throws {InvalidInputError} naming each option that is wrong
 * @throws {EngineError} {MissingDependencyError} from `runner.ready()`: Redis does not answer, or bullmq or ioredis (for
 *   PostgreSQL: pg) is not installed
 */
export function bullmq(options: BullmqOptions): Engine {
  const {
    connection,
    name = 'tasks',
    prefix = isPostgres(connection) ? 'bullmq' : 'bull',
    offline = 'fail',
    lease = 15_000,
  } = read('bad bullmq options', options, OPTIONS)
  const isPatient = offline === 'wait'
  if (isPostgres(connection)) {
    const { prefix: schema } = read('bad bullmq options', { prefix }, SCHEMA)
    const settings = { connection, schema: schema as string, base: name, isPatient }
    return localEngine(new BullStore({ name, lease, backend: (me) => new Postgres(settings, me) }))
  }
  const settings = { connection, prefix: `${prefix}:`, base: `${prefix}:${name}:`, isPatient }
  return localEngine(new BullStore({ name, lease, backend: (me) => new Redis(settings, me) }))
}

export type { PostgresPool } from './postgres.js'
