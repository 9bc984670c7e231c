/** The app's own `Pool` of pg as `connection`: it says where PostgreSQL is, and stays the app's. */
import assert from 'node:assert/strict'
import { BackgroundRunner, defineTask } from 'background-runner'
import { bullmq } from 'background-runner/bullmq'
import { Pool, types } from 'pg'
import { afterAll, beforeAll, it } from 'vitest'
import { type OwnServer, serverKinds } from '../support/servers.js'

for (const kind of serverKinds().filter(({ name }) => name === 'PostgreSQL')) {
  kind.describe('on a Pool of the app', () => {
    let server: OwnServer
    let pool: Pool
    beforeAll(async () => {
      server = await kind.start()
      const { hostname: host, port, username: user, password } = new URL(server.url)
      const reads = (text: string): unknown => `not what is expected: ${text}`
      pool = new Pool({
        ...{ host, port: Number(port), user, password, database: 'postgres' },
        // How the app uses it is none of ours.
        ...{ max: 1, query_timeout: 1, types: { getTypeParser: () => reads }, application_name: 'app' },
      })
    })
    afterAll(async () => {
      await pool.end()
      await server.end()
    })

    it('tasks run while the app has all its connections, and read JSON in its way; it goes on after close', async () => {
      const client = await pool.connect()
      const { JSON: json } = types.builtins
      const before = types.getTypeParser(json, 'text')
      types.setTypeParser(json, () => 'read in another way')
      try {
        const tasks = { work: defineTask({ run: (input: { n: number }) => ({ m: input.n + 1 }) }) }
        const runner = new BackgroundRunner({ tasks, engine: bullmq({ connection: pool }) })
        const task = await runner.submit('work', { n: 1 })
        assert.deepEqual((await task.wait()).output, { m: 2 })
        await runner.close()
      } finally {
        types.setTypeParser(json, before)
        client.release()
      }
      assert.deepEqual([pool.ended, pool.totalCount, pool.listenerCount('error')], [false, 1, 0])
      const { rowCount } = await pool.query({ text: 'SELECT 1', query_timeout: 5_000 } as { text: string })
      assert.equal(rowCount, 1)
    })
  })
}
