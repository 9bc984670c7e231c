/** The PostgreSQL that is measured on, and a schema of it for each measurement. */
import { randomUUID } from 'node:crypto'
import pg from 'pg'

export const url = process.env.POSTGRES_URL ?? 'postgres://postgres@127.0.0.1:5432/postgres'

/** Gives `measure` a schema that nobody else has, and removes it. */
export async function withPostgres(measure) {
  const schema = `bench_${randomUUID().slice(0, 8)}`
  try {
    return await measure(schema)
  } finally {
    const client = new pg.Client(url)
    await client.connect()
    await client.query('SET client_min_messages TO warning')
    await client.query(`DROP SCHEMA IF EXISTS "${schema}" CASCADE`)
    await client.end()
  }
}
