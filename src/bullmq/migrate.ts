/** Brings a schema of PostgreSQL up to date: BullMQ's migrations, then what we add to them (sql.ts). */
import type { Client } from 'pg'
import { EngineError, MissingDependencyError } from '../errors.js'
import { FUNCTIONS, TABLES, VERSION } from './sql.js'

export interface Migrations {
  readonly LATEST_SCHEMA_VERSION: number
  runMigrations(client: Client, schema: string): Promise<number>
}

/** BullMQ's. @throws {MissingDependencyError} bullmq is not installed, or another version than this one stands on */
export async function loadMigrations(): Promise<Migrations> {
  try {
    // BullMQ has no `exports`: each of its files can be imported, and this one needs nothing of Redis.
    const { default: cjs, ...esm } = (await import('bullmq/dist/cjs/postgres/index.js' as string)) as Migrations & {
      default?: Migrations
    }
    return cjs ?? esm
  } catch (cause) {
    throw new MissingDependencyError('bullmq@~6.7', 'bullmq() on PostgreSQL', { cause })
  }
}

/** @throws {EngineError} the schema was made by a newer version */
export async function migrate(client: Client, schema: string, bull: Migrations): Promise<void> {
  const is = await versions(client, schema)
  if (is.version > VERSION)
    throw new EngineError(
      `the schema ${schema} was made by a newer version of background-runner (${is.version} > ${VERSION})`,
    )
  if (is.version === VERSION && is.bull >= bull.LATEST_SCHEMA_VERSION) return
  const latest = await bull.runMigrations(client, schema)
  await client.query('BEGIN')
  try {
    await client.query(`SELECT pg_advisory_xact_lock(hashtext('br:migrations'), hashtext($1))`, [schema])
    await client.query(`SET LOCAL search_path TO "${schema}"`)
    if ((await versions(client, schema)).version < VERSION) await client.query(TABLES + FUNCTIONS)
    await client.query('DELETE FROM br_version')
    await client.query('INSERT INTO br_version VALUES ($1, $2)', [VERSION, latest])
    await client.query('COMMIT')
  } catch (error) {
    await client.query('ROLLBACK')
    throw error
  }
}

async function versions(client: Client, schema: string): Promise<{ readonly version: number; readonly bull: number }> {
  const { rows } = await client.query<{ there: boolean }>(`SELECT to_regclass($1) IS NOT NULL AS there`, [
    `"${schema}".br_version`,
  ])
  if (rows[0]?.there !== true) return { version: 0, bull: 0 }
  const found = await client.query<{ version: number; bull: number }>(
    `SELECT version, bull FROM "${schema}".br_version`,
  )
  return found.rows[0] ?? { version: 0, bull: 0 }
}
