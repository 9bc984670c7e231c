/** How the tables in PostgreSQL come to be, are brought up to date, and are left to newer versions. */
import assert from 'node:assert/strict'
import { BackgroundRunner, defineTask } from 'background-runner'
import { Client } from 'pg'
import { afterAll, beforeAll, it } from 'vitest'
import { FORMAT } from '../../src/bullmq/backend.js'
import { VERSION } from '../../src/bullmq/sql-tables.js'
import { World } from '../sqlite/support/process.js'
import { engineAt } from '../support/engine-at.js'
import { testPostgres } from '../support/postgres.js'

const { url, schema, describe, end } = await testPostgres()
const world = new World()
const runners: BackgroundRunner[] = []

describe('the schema in PostgreSQL', () => {
  let client: Client
  beforeAll(async () => {
    client = new Client(url)
    await client.connect()
  })
  afterAll(async () => {
    await Promise.all(runners.map((runner) => runner.close({ deadline: 0 })))
    await world.end()
    await client.end()
    await end()
  })

  function runner() {
    const tasks = { work: defineTask({ run: (input: string) => input }) }
    const made = new BackgroundRunner({ tasks, engine: engineAt(`${url}#${schema}`), work: false })
    made.on('error', () => {})
    runners.push(made)
    return made
  }

  /** What is noted of it. */
  async function noted(): Promise<unknown> {
    return (await client.query(`SELECT version, format FROM ${schema}.br_version`)).rows
  }

  it('is made once by several processes that start at once in an empty database', async () => {
    const path = `${url}#${schema}#many`
    const processes = await Promise.all([1, 2, 3, 4].map(() => world.process({ path })))
    const submitted = await Promise.all(processes.map((each) => each.submits(5, 'return')))
    await Promise.all(processes.map((each) => each.ask('onIdle')))
    const called = processes.flatMap((each) => each.tellings('called').map(({ id }) => id))
    assert.deepEqual(called.sort(), submitted.flatMap((each) => each.map(({ id }) => id)).sort())
    assert.deepEqual(await noted(), [{ version: VERSION, format: FORMAT }])
  })

  it('of an older version is brought up to date by several at once, with what is in it', async () => {
    const { id } = await runner().submit('work', 'kept')
    await client.query(`ALTER TABLE ${schema}.br_version DROP COLUMN format`)
    await client.query(`UPDATE ${schema}.br_version SET version = 1`)
    const several = [runner(), runner(), runner()]
    await Promise.all(several.map((each) => each.ready()))
    for (const each of several) assert.equal((await each.status(id))?.input, 'kept')
    assert.deepEqual(await noted(), [{ version: VERSION, format: FORMAT }])
  })

  for (const [what, newer] of [
    ['version', { version: VERSION + 1, format: FORMAT }],
    ['format', { version: VERSION, format: FORMAT + 1 }],
  ] as const) {
    it(`of a newer ${what} is refused, and left as it is`, async () => {
      await runner().ready()
      await client.query(`UPDATE ${schema}.br_version SET version = $1, format = $2`, [newer.version, newer.format])
      await assert.rejects(runner().ready(), { code: 'ENGINE_ERROR', message: /newer version/ })
      assert.deepEqual(await noted(), [newer])
      await client.query(`UPDATE ${schema}.br_version SET version = $1, format = $2`, [VERSION, FORMAT])
    })
  }

  it('that a newer version brings up to date while this one is about to is refused, too', async () => {
    await runner().ready()
    await client.query(`UPDATE ${schema}.br_version SET version = $1`, [VERSION - 1])
    await client.query(`SELECT pg_advisory_lock(hashtext('br:migrations'), hashtext($1))`, [schema])
    const late = assert.rejects(runner().ready(), { code: 'ENGINE_ERROR', message: /newer version/ })
    const waits = `SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND classid = hashtext('br:migrations')::oid`
    while ((await client.query(waits)).rows.length === 0) await new Promise((resolve) => setTimeout(resolve, 5))
    await client.query(`UPDATE ${schema}.br_version SET version = $1`, [VERSION + 1])
    await client.query(`SELECT pg_advisory_unlock(hashtext('br:migrations'), hashtext($1))`, [schema])
    await late
    assert.deepEqual(await noted(), [{ version: VERSION + 1, format: FORMAT }])
  })
})
