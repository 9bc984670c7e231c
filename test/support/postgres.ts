/**
 * A PostgreSQL for tests: the one that is there (`POSTGRES_URL`, or 127.0.0.1:5432). Where there is none, what needs one is
 * left out and says so; under `CI=true` it fails.
 */
import { Client } from 'pg'
import { describe } from 'vitest'

export interface TestPostgres {
  readonly url: string
  /** Of this run alone. */
  readonly schema: string
  /** `describe`, or what leaves it out where there is no PostgreSQL. */
  readonly describe: typeof describe | typeof describe.skip
  /** Removes what was left. To be called after all tests. */
  end(): Promise<void>
}

/** What takes its time over PostgreSQL is left to `CI=true`, and to where `POSTGRES_URL` asks for it. */
export function isPostgresAsked(): boolean {
  return process.env['CI'] === 'true' || process.env['POSTGRES_URL'] !== undefined
}

/** @throws under `CI=true` there has to be one, and one that `POSTGRES_URL` names has to answer */
export async function testPostgres(): Promise<TestPostgres> {
  const named = process.env['POSTGRES_URL']
  const url = named ?? 'postgres://postgres@127.0.0.1:5432/postgres'
  const schema = `br_test_${process.pid}`
  try {
    await query(url, 'SELECT 1')
  } catch (error) {
    if (named !== undefined || process.env['CI'] === 'true')
      throw new Error(`there is no PostgreSQL at ${named === undefined ? url : 'POSTGRES_URL'}`, { cause: error })
    console.warn(`left out: no PostgreSQL at ${url} (${error})`)
    return { url, schema, describe: describe.skip, end: async () => {} }
  }
  const end = (): Promise<void> => query(url, `DROP SCHEMA IF EXISTS ${schema} CASCADE`)
  await end()
  return { url, schema, describe, end }
}

async function query(url: string, text: string): Promise<void> {
  const client = new Client(url)
  try {
    await client.connect()
    await client.query(text)
  } finally {
    await client.end()
  }
}
