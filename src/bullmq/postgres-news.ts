/**
 * What others say, by LISTEN: over a connection of its own, which is made again where it breaks. Whoever listens to a channel
 * holds a lock in the database as well, by which others can tell that somebody does, and which ends with the connection.
 */
import type { Client, QueryResultRow } from 'pg'
import type { BackendHost } from './backend.js'
import { isAway, isSilent, RETRY, SILENCE } from './trouble.js'

/** BullMQ's own functions say by it that a queue has work. */
const WORK = 'bullmq_jobs'
/** So often its connection, which is silent by nature, is asked for an answer, ms. */
const PULSE = 10_000

export interface NewsSettings {
  readonly base: string
  readonly schema: string
  /** A client that is not connected yet. */
  connect(): Client
  /** Resolves later, or as all closes. */
  pause(ms: number): Promise<void>
  readonly host: BackendHost
  hasWork(queue: string): void
}

export class PostgresNews {
  readonly #settings: NewsSettings
  #client: Client | undefined
  /** One that is being made. */
  #next: Client | undefined
  /** What is listened to. */
  readonly #channels: Set<string> = new Set()
  /** A channel, by PostgreSQL's name of it. */
  readonly #names: Map<string, string> = new Map()
  /** One after the other. */
  #last: Promise<unknown> = Promise.resolve()
  #closed = false

  constructor(settings: NewsSettings) {
    this.#settings = settings
  }

  /** @param first what is done over its connection before */
  async open(first: (client: Client) => Promise<void>): Promise<void> {
    await this.#connect(first)
    void this.#feelPulse()
  }

  async #feelPulse(): Promise<void> {
    while (!this.#closed) {
      await this.#settings.pause(PULSE)
      if (!this.#closed) await this.#inTurn((client) => ask(client, 'SELECT 1')).catch(() => undefined) // the next one tells
    }
  }

  async #connect(first?: (client: Client) => Promise<void>): Promise<void> {
    const client = this.#settings.connect()
    this.#next = client
    const lost = (error: Error): void => {
      if (this.#client !== client) return // which whoever connects is told of
      this.#client = undefined
      letGo(client)
      this.#settings.host.fault(error)
      void this.#reconnect()
    }
    client.on('error', lost)
    client.on('end', () => lost(new Error('the connection has ended')))
    client.on('notification', ({ channel, payload = '' }) => this.#heard(channel, payload))
    try {
      await client.connect()
      await first?.(client)
      await ask(client, `LISTEN ${WORK}`)
      await this.#hear(client, [...this.#channels])
    } catch (error) {
      letGo(client)
      throw error
    } finally {
      this.#next = undefined
    }
    if (this.#closed) return letGo(client)
    this.#client = client
  }

  async #reconnect(): Promise<void> {
    for (let wait = RETRY.first; !this.#closed; wait = Math.min(2 * wait, RETRY.most)) {
      try {
        await this.#connect()
        if (!this.#closed) this.#settings.host.back()
        return
      } catch {
        await this.#settings.pause(wait) // it was said that it is away
      }
    }
  }

  async #hear(client: Client, channels: readonly string[]): Promise<void> {
    if (channels.length === 0) return
    const { base, schema } = this.#settings
    const rows = await ask<{ name: string; channel: string }>(
      client,
      `SELECT "${schema}".br_listen($1, channel) AS name, channel FROM unnest($2::text[]) AS channel`,
      [base, channels],
    )
    for (const { name, channel } of rows) this.#names.set(name, channel)
    if (channels.includes('changed')) await ask(client, `SELECT "${schema}".br_settled($1)`, [base])
  }

  #heard(name: string, message: string): void {
    if (this.#closed) return
    if (name === WORK) return this.#settings.hasWork(message)
    const channel = this.#names.get(name)
    if (channel !== undefined && this.#channels.has(channel)) this.#settings.host.heard(channel, message)
  }

  listen(channels: readonly string[]): Promise<void> {
    for (const channel of channels) this.#channels.add(channel)
    return this.#inTurn((client) => this.#hear(client, channels))
  }

  unlisten(channel: string): Promise<void> {
    const { base, schema } = this.#settings
    this.#channels.delete(channel)
    return this.#inTurn((client) => ask(client, `SELECT "${schema}".br_unlisten($1, $2)`, [base, channel]))
  }

  /** While there is no connection there is nothing to do: the next one begins with what is listened to then. */
  #inTurn(step: (client: Client) => Promise<unknown>): Promise<void> {
    const done = this.#last.then(async () => {
      const client = this.#client
      try {
        if (client !== undefined) await step(client)
      } catch (error) {
        if (isSilent(error)) client?.emit('error', error) // it has not ended, but is of no use
        if (!this.#closed && !isAway(error)) throw error
      }
    })
    this.#last = done.catch(() => undefined)
    return done
  }

  close(): void {
    this.#closed = true
    for (const client of [this.#client, this.#next]) if (client !== undefined) letGo(client)
    this.#client = undefined
  }
}

async function ask<Row extends QueryResultRow>(
  client: Client,
  text: string,
  values: readonly unknown[] = [],
): Promise<readonly Row[]> {
  const question = { text, values: [...values], query_timeout: SILENCE } // which its types do not know
  return (await client.query<Row>(question)).rows
}

/** It is no longer needed, and holds the process no longer, even where it never answers. */
export function letGo(client: Client): void {
  client.end().catch(() => undefined)
  ;(client as Client & { unref?(): void }).unref?.()
}
