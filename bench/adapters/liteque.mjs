/**
 * liteque on better-sqlite3 11.3: later ones (11.10, 12) refuse the asynchronous transaction in which it claims, which is over
 * before the first statement in it.
 */
import Database from 'better-sqlite3-11'
import { drizzle } from 'drizzle-orm/better-sqlite3'
import { migrateDB, Runner, SqliteQueue } from 'liteque'
import { SYNCHRONOUS } from '../database.mjs'

/** ms: as short as it may be for who waits a little. The default of its README is 1 000. */
const POLL = 10

export const durability = ['process', 'power']

export async function createRunner({ path, durability, concurrency, handler }) {
  const connection = new Database(path)
  // What its own buildDBClient sets.
  connection.pragma('journal_mode = WAL')
  connection.pragma(`synchronous = ${SYNCHRONOUS[durability]}`)
  connection.pragma('cache_size = -65536')
  connection.pragma('foreign_keys = ON')
  connection.pragma('temp_store = MEMORY')
  const database = drizzle(connection)
  migrateDB(database)
  const queue = new SqliteQueue('task', database, { defaultJobArgs: { numRetries: 3 }, keepFailedJobs: true })
  let ran = 0
  const run = async ({ data }) => {
    await handler(data)
    ran++
  }
  const runner = new Runner(queue, { run }, { pollIntervalMs: POLL, timeoutSecs: 60, concurrency })
  return {
    submit: (input) => queue.enqueue(input),
    onIdle: () => runner.runUntilEmpty(),
    // It keeps no record of what has succeeded.
    succeeded: async () => {
      const { pending, pending_retry, running, failed } = await queue.stats()
      if (pending + pending_retry + running + failed > 0) throw new Error('liteque: some are left')
      return ran
    },
    close: async () => connection.close(),
  }
}
