/** What is otherwise in PostgreSQL than in Redis. */
import { BackgroundRunner, defineTask } from 'background-runner'
import { bullmq } from 'background-runner/bullmq'
import { Client } from 'pg'
import { afterAll, expect, it } from 'vitest'
import { testPostgres } from '../support/postgres.js'

const { url, schema, describe, end } = await testPostgres()
afterAll(end)

const engine = (name: string) => bullmq({ connection: url, prefix: schema, name })

describe('tasks in PostgreSQL', () => {
  it('cost none of them its result when connections are cut', async () => {
    const ran = new Map<number, number>()
    const work = defineTask({ run: (n: number) => void ran.set(n, (ran.get(n) ?? 0) + 1) })
    const runner = new BackgroundRunner({ tasks: { work }, engine: engine('cut'), concurrency: 5 })
    const faults: unknown[] = []
    runner.on('error', (error) => faults.push(error))
    const admin = new Client(url)
    await admin.connect()
    const numbers = Array.from({ length: 200 }, (_, n) => n)
    await runner.submitMany('work', numbers)
    for (let cuts = 0; cuts < 20 && ran.size < numbers.length; cuts++) {
      await admin.query(`
        SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE application_name = 'background-runner' AND query LIKE '%"${schema}"%' ORDER BY random() LIMIT 1`)
    }
    await admin.end()
    await expect.poll(async () => (await runner.counts()).succeeded, { timeout: 15_000 }).toBe(numbers.length)
    expect([...ran.values()].filter((times) => times > 1)).toEqual([])
    await runner.close()
  })

  it('keep the order of keys, and every character', async () => {
    const strange = { b: 'a\u0000b', a: '\ud800', 2: -0.5e-7, 1: [{ z: 1, y: null }] }
    const echo = defineTask({ run: (input: typeof strange) => input })
    const fail = defineTask({
      retry: { attempts: 1 },
      run: () => {
        throw new Error('no\u0000 luck')
      },
    })
    const runner = new BackgroundRunner({ tasks: { echo, fail }, engine: engine('strange') })
    const task = await runner.submit('echo', strange, { tags: ['tag'], metadata: { b: 1, a: 2 } })
    const record = await task.wait()
    expect(JSON.stringify([record.input, record.output])).toBe(JSON.stringify([strange, strange]))
    expect(JSON.stringify(record.metadata)).toBe('{"b":1,"a":2}')
    expect((await runner.list({ tags: ['tag'] })).tasks.map(({ id }) => id)).toEqual([task.id])
    expect((await runner.list({ tags: ['\ud800'] })).tasks).toEqual([])
    expect(await runner.status('\u0000')).toBeUndefined()
    expect((await (await runner.submit('fail')).wait()).error?.message).toBe('no\u0000 luck')
    await runner.close()
  })

  it('are none of another name in the same schema', async () => {
    const tasks = { work: defineTask({ run: () => {} }) }
    const one = new BackgroundRunner({ tasks, engine: engine('one'), work: false })
    const other = new BackgroundRunner({ tasks, engine: engine('one.other') })
    const task = await one.submit('work')
    await other.ready()
    expect(await other.status(task.id)).toBeUndefined()
    expect((await one.counts()).queued).toBe(1)
    await Promise.all([one.close(), other.close()])
  })
})
