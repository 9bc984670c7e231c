/** Brings a schema of PostgreSQL up to date: BullMQ's migrations, then what we add to them (sql.ts). */
import type { Client } from 'pg'
import { EngineError, MissingDependencyError } from '../errors.js'
import { checkFormat, FORMAT } from './backend.js'
import { FUNCTIONS } from './sql.js'
import { TABLES, VERSION } from './sql-tables.js'

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

/** What a schema was made with: our version of it, BullMQ's, and the format of what is kept in it. */
interface Versions {
  readonly version: number
  readonly bull: number
  readonly format: number
}

/** @throws {EngineError} the schema was made by a newer version */
export async function migrate(client: Client, schema: string, bull: Migrations): Promise<void> {
  const is = await versions(client, schema)
  check(is, schema)
  if (is.version === VERSION && is.format === FORMAT && is.bull >= bull.LATEST_SCHEMA_VERSION) return
  const latest = await bull.runMigrations(client, schema)
  await client.query('BEGIN')
  try {
    await client.query(`SELECT pg_advisory_xact_lock(hashtext('br:migrations'), hashtext($1))`, [schema])
    // Somebody else has done it meanwhile, perhaps a newer one.
    const now = await versions(client, schema)
    check(now, schema)
    await client.query(`SET LOCAL search_path TO "${schema}"`)
    if (now.version < VERSION) await client.query(TABLES + FUNCTIONS)
    await client.query('DELETE FROM br_version')
    const made = [VERSION, Math.max(latest, now.bull), FORMAT]
    await client.query('INSERT INTO br_version (version, bull, format) VALUES ($1, $2, $3)', made)
    await client.query('COMMIT')
  } catch (error) {
    await client.query('ROLLBACK').catch(() => undefined) // the first error says what is wrong
    throw error
  }
}

function check({ version, format }: Versions, schema: string): void {
  if (version > VERSION)
    throw new EngineError(
      `the schema ${schema} was made by a newer version of background-runner (${version} > ${VERSION})`,
    )
  checkFormat(format, `the schema ${schema}`)
}

async function versions(client: Client, schema: string): Promise<Versions> {
  const none = { version: 0, bull: 0, format: 0 }
  const { rows } = await client.query<{ there: boolean }>(`SELECT to_regclass($1) IS NOT NULL AS there`, [
    `"${schema}".br_version`,
  ])
  if (rows[0]?.there !== true) return none
  // Version 1 had no format beside it.
  const found = await client.query<Versions>(
    `SELECT version, bull, coalesce((to_jsonb(v) ->> 'format')::integer, 1) AS format FROM "${schema}".br_version v`,
  )
  return found.rows[0] ?? none
}
