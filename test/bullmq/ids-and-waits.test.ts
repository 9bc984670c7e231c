/** Ids that are names of BullMQ's keys, handlers that throw nothing, and many who wait. */
import assert from 'node:assert/strict'
import { BackgroundRunner, defineTask } from 'background-runner'
import { bullmq } from 'background-runner/bullmq'
import { Queue } from 'bullmq'
import { afterAll, it } from 'vitest'
import { World } from '../sqlite/support/process.js'
import { testRedis } from '../support/redis.js'

/** What BullMQ calls the keys of a queue, and what else looks odd there. */
const NAMES = [
  'events',
  'completed',
  'marker',
  'id',
  'wait',
  'meta',
  'active',
  'failed',
  'delayed',
  'prioritized',
  'pc',
]
const ODD = ['stalled', 'limiter', 'paused', 'repeat', 'metrics', 'de', '0', '12', '-5', '__proto__', 't-wait', 'br']

const redis = await testRedis()
const world = new World()
afterAll(async () => {
  await world.end()
  await redis.end()
})

redis.describe('a task', () => {
  it('may have the id of any of the keys that BullMQ has', async () => {
    const prefix = redis.prefix()
    const tasks = { email: defineTask({ run: (input: string): string => input }) }
    await using runner = new BackgroundRunner({ tasks, engine: bullmq({ connection: redis.url, prefix }) })
    const ids = [...NAMES, ...ODD]
    const handles = await Promise.all(ids.map((id) => runner.submit('email', `to ${id}`, { id })))
    assert.deepEqual(
      handles.map((each) => each.id),
      ids,
    )
    const outputs = await Promise.all(handles.map((each) => each.result()))
    assert.deepEqual(
      outputs,
      ids.map((id) => `to ${id}`),
    )
    const again = await Promise.all(ids.map((id) => runner.submit('email', 'again', { id })))
    assert.ok(again.every(({ deduplicated }) => deduplicated))
    assert.equal((await runner.counts()).succeeded, ids.length)
    const queue = new Queue('tasks.email', { connection: { url: redis.url }, prefix })
    assert.equal((await queue.getJobCounts())['completed'], ids.length)
    await queue.close()
    for (const id of ids) assert.equal(await runner.remove(id), true)
    assert.equal((await runner.list()).tasks.length, 0)
  })

  it('may have a name, a key, tags and a queue that look like keys', async () => {
    const prefix = redis.prefix()
    const names = ['a:b', 'wait', 'tasks', 'a b', 'ü', '{x}', '__proto__']
    const entries = names.map((name) => [name, defineTask({ run: (): string => name })] as const)
    await using runner = new BackgroundRunner({
      tasks: Object.fromEntries(entries),
      engine: bullmq({ connection: redis.url, prefix, name: 'meta' }),
    })
    for (const name of Object.keys(Object.fromEntries(entries))) {
      const task = await runner.submit(name, undefined, { key: 'a:b c\'"', tags: ['x:y', 'wait'] })
      assert.equal((await task.wait()).output, name)
      const same = await runner.submit(name, undefined, { key: 'a:b c\'"' })
      assert.deepEqual([same.id, same.deduplicated], [task.id, true])
    }
    assert.equal((await runner.list({ tags: ['x:y', 'wait'] })).tasks.length, names.length)
  })

  it('ends when its handler throws undefined, or what cannot be stored', async () => {
    const things = [undefined, null, '\0', '\ud800', Object.create(null), new Error('a\0b \ud800')]
    const tasks = {
      throws: defineTask({
        retry: { attempts: 1 },
        run: (n: number): void => {
          throw things[n]
        },
      }),
      returns: defineTask({ run: (): string => 'a\0b \ud800' }),
    }
    const prefix = redis.prefix()
    await using runner = new BackgroundRunner({ tasks, engine: bullmq({ connection: redis.url, prefix }) })
    for (const n of things.keys()) {
      const { state, error } = await runner.wait((await runner.submit('throws', n)).id)
      assert.deepEqual([state, typeof error?.message], ['failed', 'string'])
    }
    const { state, output } = await runner.wait((await runner.submit('returns')).id)
    assert.deepEqual([state, output], ['succeeded', 'a\0b \ud800'])
  })
})

redis.describe('fifteen hundred who wait', () => {
  const MANY = 1_500
  const tasks = { work: defineTask({ run: (): void => {} }) }

  it('are all told, at concurrency 10', async () => {
    const engine = bullmq({ connection: redis.url, prefix: redis.prefix() })
    await using runner = new BackgroundRunner({ tasks, engine, concurrency: 10 })
    const handles = await runner.submitMany('work', Array(MANY).fill(undefined))
    const records = await Promise.all(handles.map((each) => each.wait()))
    assert.ok(records.every(({ state }) => state === 'succeeded'))
  })

  it('are all told of what another process does', async () => {
    const prefix = redis.prefix()
    const worker = await world.process({ path: `${redis.url}#${prefix}`, concurrency: 10 })
    const engine = bullmq({ connection: redis.url, prefix })
    const quick = { work: defineTask({ run: (_deed: string): void => {} }) }
    await using runner = new BackgroundRunner({ tasks: quick, engine, work: false })
    const handles = await runner.submitMany('work', Array(MANY).fill('return'))
    const records = await Promise.all(handles.map((each) => each.wait()))
    assert.ok(records.every(({ output }) => output === `done by ${worker.pid}`))
  })

  it('are all refused when their runner is closed', async () => {
    const engine = bullmq({ connection: redis.url, prefix: redis.prefix() })
    const runner = new BackgroundRunner({ tasks, engine, work: false })
    const handles = await runner.submitMany('work', Array(MANY).fill(undefined))
    const waits = handles.map((each) => each.wait().catch((error: { code: string }) => error.code))
    await runner.close()
    assert.deepEqual(new Set(await Promise.all(waits)), new Set(['RUNNER_CLOSED']))
  })
})
