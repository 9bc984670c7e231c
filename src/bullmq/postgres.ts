/**
 * The connections of one engine to PostgreSQL.
 *
 * - `verbs`: what callers wait for, over one connection, in the order in which they asked. With `offline: 'fail'` it answers
 *   within a bound, with an error where PostgreSQL does not.
 * - `work`: claims and verdicts, side by side. Patient: what is asked while PostgreSQL is away is asked again when it is back.
 *   Locks are kept over a connection of their own, behind nothing else.
 * - `news`: what others say, and that there is new work (LISTEN): postgres-news.ts.
 *
 * What it waits for by itself passes in real time, whatever clock the runner has: PostgreSQL knows of no other.
 *
 * Each question is one function of ours in the database (sql.ts), and so one transaction.
 */
import type { Client, ClientConfig, Pool, PoolConfig, QueryConfig, QueryResult } from 'pg'
import { type Alarm, after, type Clock, nextTurn, systemClock } from '../clock.js'
import { EngineError, MissingDependencyError } from '../errors.js'
import type { Answer, Asker, Backend, BackendHost } from './backend.js'
import { loadMigrations, migrate } from './migrate.js'
import { letGo, PostgresNews } from './postgres-news.js'
import { gatherClaims, gatherSubmissions, inOrderOfJob } from './postgres-order.js'
import { asEngineError, hasLost, isAway, isSilent, RETRY, SILENCE, wasCut } from './trouble.js'

/** How long a verb waits for PostgreSQL, ms. */
const PATIENCE = 5_000
/** How long making a connection may take, ms. */
const OPENING = 5_000
/** And how long all of opening: others may be making the tables, and have to be waited for. */
const MAKING = 30_000
/** A connection that nobody has used for so long is closed, ms: it knows the functions, which a new one has to read first. */
const IDLE = 60_000
/** So many claims and verdicts are under way at once. */
const WORKERS = 4
/** How long a wait for new work lasts, ms: longer than a notice needs, in case one is lost. */
const WAIT = 5_000
/** Counting waits for work that is under way until none was for so many turns; but no more turns than that, and no longer, ms. */
const QUIET = 4
const TURNS = 20
const GRACE = 1_000
/** Who loses a deadlock has written nothing: a verb is tried so often. */
const TRIES = 5
/** What finds otherwise than it was read what it has done itself. */
const ONCE: ReadonlySet<string> = new Set(['amend', 'swap'])

/** A `Pool` of pg, whichever version the app has. */
export interface PostgresPool {
  readonly options: object
  readonly totalCount: number
  query(...args: never[]): unknown
}

/** What of a pool's options says where PostgreSQL is, and who asks; the others are of how the app uses it. */
const WHERE = [
  'connectionString',
  'host',
  'port',
  'user',
  'password',
  'database',
  'ssl',
  'sslnegotiation',
  'enableChannelBinding',
  'options',
  'stream',
] as const

export interface PostgresSettings {
  /** A `postgres://` URL, or the app's own pool. */
  readonly connection: string | PostgresPool
  /** Of BullMQ's tables, and of ours. */
  readonly schema: string
  /** Of its queues. */
  readonly base: string
  readonly isPatient: boolean
}

type Driver = typeof import('pg')

/** Connections of one kind. */
interface Line {
  readonly options: PoolConfig
  /** Those before it are ended as soon as nobody waits for one of their connections. */
  pool: Pool
}

export class Postgres implements Backend {
  readonly name = 'PostgreSQL'
  readonly #settings: PostgresSettings
  readonly #me: string
  #driver!: Driver
  #host!: BackendHost
  readonly #pools: Set<Pool> = new Set()
  /** All that there are, or that are being made. */
  readonly #clients: Set<Client> = new Set()
  /** Who waits for an answer: a pool that is ended forgets those who wait for a connection. */
  readonly #asking: Set<(error: Error) => void> = new Set()
  #news!: PostgresNews
  verbs!: Asker
  work!: Asker
  /** Queues that have got work since they were last waited for. */
  readonly #woken: Set<string> = new Set()
  #wake: ((queue?: string) => void) | undefined
  #waited: readonly string[] = []
  /** Claims and verdicts that are under way. */
  readonly #working: Set<Promise<unknown>> = new Set()
  /** While something is asked beside which nothing else is. */
  #alone: Promise<unknown> | undefined
  #isBack = false
  readonly #pauses: Map<Alarm, () => void> = new Map()
  #closed = false

  constructor(settings: PostgresSettings, me: string) {
    this.#settings = settings
    this.#me = me
  }

  async open(_clock: Clock, host: BackendHost): Promise<void> {
    const { base, isPatient, schema } = this.#settings
    this.#host = host
    const [driver, migrations] = await Promise.all([loadDriver(), loadMigrations()])
    this.#driver = driver
    const verbs = this.#line({ max: 1, query_timeout: isPatient ? SILENCE : PATIENCE })
    const work = this.#line({ max: WORKERS, query_timeout: SILENCE })
    const locks = this.#line({ max: 1, query_timeout: SILENCE })
    this.#news = new PostgresNews({
      base,
      schema,
      connect: () => new driver.Client({ ...this.#options(), connectionTimeoutMillis: OPENING }),
      pause: (ms) => this.#pause(ms),
      host: { ...host, fault: (error) => this.#fault(error) },
      hasWork: (queue) => this.#hasWork(queue),
    })
    try {
      await inTime(
        MAKING,
        this.#news.open((client) => migrate(client, schema, migrations)),
      )
    } catch (error) {
      this.close()
      throw this.#error(error)
    }
    const ask = this.#asker(verbs)
    const tellBack = (): void => this.#tellBack()
    const patiently = gatherClaims(inOrderOfJob(this.#patient(this.#asker(work), tellBack)))
    const keep = this.#patient(this.#asker(locks), tellBack)
    const answer = this.#ordered(gatherSubmissions(isPatient ? this.#patient(ask) : this.#undeterred(ask)))
    // What waits for those before it has less time than they had.
    this.verbs = isPatient ? answer : (...question) => inTime(PATIENCE, answer(...question))
    let keeps = false
    this.work = (...question) => {
      if (question[0] === 'renew') return keep(...question)
      if (!keeps) {
        keeps = true
        // By the time there are locks to keep it is connected, and has read the function.
        keep('renew', question[1], { jobs: [], lock: 0 }).catch(() => undefined)
      }
      if (isAlone(...question)) return this.#byItself(() => patiently(...question))
      return this.#besideOthers(() => patiently(...question), question[0] === 'outlook')
    }
  }

  /** @param last what was asked before is answered before: whoever looks out has to know of it */
  #besideOthers(ask: () => Promise<Answer>, last: boolean): Promise<Answer> {
    const before = last && this.#working.size > 0 ? Promise.allSettled(this.#working) : this.#alone
    const answer = before === undefined ? ask() : before.then(ask)
    this.#working.add(answer)
    const done = (): void => void this.#working.delete(answer)
    answer.then(done, done)
    return answer
  }

  #byItself(ask: () => Promise<Answer>): Promise<Answer> {
    const answer = Promise.allSettled(this.#working).then(ask)
    const alone = Promise.allSettled([this.#alone, answer])
    this.#alone = alone
    void alone.then(() => {
      if (this.#alone === alone) this.#alone = undefined
    })
    return answer
  }

  #options(): PoolConfig {
    const { connection } = this.#settings
    return {
      ...(typeof connection === 'string' ? { connectionString: connection } : whereOf(connection)),
      application_name: 'background-runner',
      keepAlive: true,
      idleTimeoutMillis: IDLE,
    }
  }

  #line(options: PoolConfig): Line {
    return { options, pool: this.#pool(options) }
  }

  #pool(options: PoolConfig): Pool {
    const clients = this.#clients
    // A pool tells of a client when it has connected, and one that never does would hold the process open; so would the
    // pool's own timer for it.
    class Client extends this.#driver.Client {
      constructor(config: ClientConfig = {}) {
        super({ ...config, password: config.password, connectionTimeoutMillis: OPENING }) // which the pool hides
        clients.add(this)
        this.on('error', () => undefined) // whoever waits for its answer is told
        this.on('end', () => clients.delete(this))
      }
    }
    const pool = new this.#driver.Pool({ ...this.#options(), ...options, Client })
    pool.on('error', (error) => this.#fault(error))
    this.#pools.add(pool)
    return pool
  }

  /** One of its connections is dead, though nobody was told. The others may be so, too: each would be found out by waiting. */
  #replace(line: Line, pool: Pool): void {
    if (this.#closed || line.pool !== pool) return
    line.pool = this.#pool(line.options)
  }

  #endPool(pool: Pool): void {
    if (this.#pools.delete(pool)) pool.end().catch(() => undefined)
  }

  #query(pool: Pool, question: QueryConfig): Promise<QueryResult<{ answer: string | null }>> {
    return new Promise((resolve, reject) => {
      this.#asking.add(reject)
      const done = (): void => void this.#asking.delete(reject)
      pool.query(question).then(resolve, reject).then(done)
    })
  }

  #error(error: unknown): unknown {
    return asEngineError(this.name, error)
  }

  #fault(error: unknown): void {
    if (!this.#closed) this.#host.fault(this.#error(error))
  }

  // Asking.

  #asker(line: Line): Asker {
    const { base, schema } = this.#settings
    return async (question, now, parameters, ...raw) => {
      const [object, texts] = Array.isArray(parameters)
        ? [null, parameters.map(String)]
        : [storable(JSON.stringify(parameters)), raw]
      const { pool } = line
      try {
        const { rows } = await this.#query(pool, {
          name: `br_${question}`,
          text: `SELECT "${schema}".br_${question}($1, $2, $3, $4, $5)::text AS answer`,
          values: [base, now, this.#me, object, texts.map(withoutNull)],
        })
        // As text, since how JSON is read the app may have changed for all who use pg.
        return JSON.parse(rows[0]?.answer ?? 'null')
      } catch (error) {
        if (isSilent(error)) this.#replace(line, pool)
        throw error
      } finally {
        if (line.pool !== pool && pool.waitingCount === 0) this.#endPool(pool)
      }
    }
  }

  /** Asks again at once where that does no harm. */
  #undeterred(ask: Asker): Asker {
    return async (...question) => {
      for (let tries = 1; ; tries++) {
        try {
          return await ask(...question)
        } catch (error) {
          const again = hasLost(error) ? tries < TRIES : tries === 1 && wasCut(error) && !ONCE.has(question[0])
          if (!again || this.#closed) throw this.#error(error)
        }
      }
    }
  }

  /** Asks until there is an answer. */
  #patient(ask: Asker, back = (): void => {}): Asker {
    return async (...question) => {
      let wasAway = false
      for (let wait = RETRY.first; ; wait = Math.min(2 * wait, RETRY.most)) {
        try {
          const answer = await ask(...question)
          if (wasAway) back()
          return answer
        } catch (error) {
          if (this.#closed || !(isAway(error) || hasLost(error))) throw this.#error(error)
          if (hasLost(error)) continue
          wasAway = true
          await this.#pause(wait)
          if (this.#closed) throw this.#error(error)
        }
      }
    }
  }

  /** Once those who wait for answers have seen them. */
  #tellBack(): void {
    if (this.#isBack) return
    this.#isBack = true
    nextTurn(() => {
      this.#isBack = false
      if (!this.#closed) this.#host.back()
    })
  }

  /** What was asked before is counted, and what followed from it. */
  #ordered(ask: Asker): Asker {
    return async (...question) => {
      if (question[0] === 'counts') await this.#quiet()
      return ask(...question)
    }
  }

  /** Work goes on side by side, and one step of it asks for the next one within a few turns. */
  async #quiet(): Promise<void> {
    let left = TURNS
    let enough = (): void => {}
    const late = new Promise<void>((resolve) => {
      enough = resolve
    })
    const alarm = after(
      systemClock,
      GRACE,
      () => {
        left = 0
        enough()
      },
      'background',
    )
    for (let quiet = 0; quiet < QUIET && left > 0; left--) {
      quiet = this.#working.size > 0 ? 0 : quiet + 1
      await Promise.race([Promise.allSettled(this.#working), late])
      await new Promise<void>((resolve) => nextTurn(resolve))
    }
    alarm.cancel()
  }

  /** Resolves later, or as this closes. */
  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const alarm = after(
        systemClock,
        ms,
        () => {
          this.#pauses.delete(alarm)
          resolve()
        },
        'background',
      )
      this.#pauses.set(alarm, resolve)
    })
  }

  // Waiting.

  #hasWork(queue: string): void {
    if (this.#wake !== undefined && this.#waited.includes(queue)) this.#wake(queue)
    else if (queue.startsWith(`${this.#settings.base}.`)) this.#woken.add(queue)
  }

  waitForWork(queues: readonly string[], end: AbortSignal): Promise<string | undefined> {
    const woken = queues.find((queue) => this.#woken.delete(queue))
    if (woken !== undefined || end.aborted) return Promise.resolve(woken)
    return new Promise((resolve) => {
      const wake = (queue?: string): void => {
        alarm.cancel()
        end.removeEventListener('abort', stop)
        this.#wake = undefined
        resolve(queue)
      }
      const stop = (): void => wake()
      const alarm = after(systemClock, WAIT, stop, 'background')
      end.addEventListener('abort', stop, { once: true })
      this.#waited = queues
      this.#wake = wake
    })
  }

  /** All who wait were woken. */
  async passOn(): Promise<void> {}

  listen(...channels: string[]): Promise<void> {
    return this.#news.listen(channels)
  }

  unlisten(channel: string): Promise<void> {
    return this.#news.unlisten(channel)
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#wake?.()
    for (const [alarm, resolve] of this.#pauses) {
      alarm.cancel()
      resolve()
    }
    for (const pool of this.#pools) this.#endPool(pool)
    this.#news.close()
    // One that never answers holds the process no longer.
    for (const client of this.#clients) letGo(client)
    for (const reject of this.#asking) reject(new Error('the engine is closed'))
  }
}

/**
 * What this worker holds is known while nothing is under way that changes it. And what is put back as if it had not begun can
 * be begun again under the same number: while it is not known whether it is back, it is not taken.
 */
function isAlone(...[question, , parameters]: Parameters<Asker>): boolean {
  if (question === 'mine') return true
  return question === 'settle' && String((parameters as readonly unknown[])[5]).includes('u')
}

function whereOf({ options }: PostgresPool): PoolConfig {
  const given = options as PoolConfig & Record<string, unknown>
  // One by one: the pool hides its password from who copies all.
  return Object.fromEntries(WHERE.filter((name) => given[name] !== undefined).map((name) => [name, given[name]]))
}

/** @throws {EngineError} it was not over within `ms`; it goes on nevertheless */
async function inTime<Value>(ms: number, work: Promise<Value>): Promise<Value> {
  let alarm: Alarm | undefined
  const late = new Promise<never>((_resolve, reject) => {
    const error = new EngineError(`PostgreSQL did not answer for ${ms} ms`)
    alarm = after(systemClock, ms, () => reject(error), 'background')
  })
  try {
    return await Promise.race([work, late])
  } finally {
    alarm?.cancel()
  }
}

/** A text of PostgreSQL has no character 0. */
function withoutNull(text: string): string {
  return text.includes('\0') ? text.replaceAll('\0', '\\u0000') : text
}

/** Nor has its JSON, and no half of a surrogate pair: they are kept as they are written. */
function storable(json: string): string {
  return json.replace(/\\(?:u(?:0000|d[89a-f][0-9a-f]{2})|.)/g, (written) =>
    written.length > 2 ? `\\${written}` : written,
  )
}

async function loadDriver(): Promise<Driver> {
  try {
    const { default: driver } = await import('pg')
    return driver as unknown as Driver // the few shapes of it that are used here
  } catch (cause) {
    throw new MissingDependencyError('pg', 'bullmq() on PostgreSQL', { cause })
  }
}
