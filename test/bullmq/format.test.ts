/** What a version keeps in Redis is read, and worked off, by this one: stored fixtures, one for each format. */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { BackgroundRunner, type Clock, defineTask, type TaskRecord } from 'background-runner'
import { bullmq } from 'background-runner/bullmq'
import { afterAll, it } from 'vitest'
import { FORMAT } from '../../src/bullmq/backend.js'
import { type Keys, restore } from '../fixtures/bullmq/keys.js'
import { testRedis } from '../support/redis.js'

const FIXTURES = fileURLToPath(new URL('../fixtures/bullmq/', import.meta.url))
const redis = await testRedis()
afterAll(() => redis.end())

interface Fixture {
  readonly keys: Keys
  readonly counts: object
  readonly tasks: readonly TaskRecord[]
  readonly holds: readonly object[]
  readonly schedules: readonly object[]
}

/** The virtual day on which they were made, a little later. */
const later: Clock = {
  now: () => Date.parse('2030-01-01T00:10:00Z') + performance.now(),
  monotonic: () => performance.now(),
  setTimeout: (callback, ms) => setTimeout(callback, ms),
  clearTimeout: (handle) => clearTimeout(handle as NodeJS.Timeout),
}

function create(prefix: string, work: boolean) {
  return new BackgroundRunner({
    tasks: {
      works: defineTask({ run: (input: { to: string }) => ({ sent: [input.to] }) }),
      nothing: defineTask({ run: () => null }),
      fails: defineTask({ run: () => {} }),
      refuses: defineTask({ run: () => {} }),
      later: defineTask({ run: () => {} }),
      large: defineTask({ run: () => {} }),
      sick: defineTask({ run: (_input: unknown, ctx) => ctx.attempt }),
      runs: defineTask({ run: (_input: unknown, ctx) => ({ attempt: ctx.attempt, saved: ctx.saved ?? null }) }),
    },
    engine: bullmq({ connection: redis.url, prefix, lease: 500 }),
    clock: later,
    work,
    retention: { succeeded: '9000d', failed: '9000d', cancelled: '9000d' },
  })
}

redis.describe.each(Array.from({ length: FORMAT }, (_, n) => n + 1))('what format %i keeps', (format) => {
  const fixture = JSON.parse(readFileSync(`${FIXTURES}v${format}.json`, 'utf8')) as Fixture

  it('is read as it was', async () => {
    const prefix = redis.prefix(`read-${format}`)
    await restore(redis.client, prefix, fixture.keys)
    await using runner = create(prefix, false)
    assert.deepEqual((await runner.list({ limit: 1_000 })).tasks, fixture.tasks)
    assert.deepEqual(await runner.counts(), fixture.counts)
    assert.deepEqual(await runner.holds(), fixture.holds)
    assert.deepEqual(await runner.schedules(), fixture.schedules)
    for (const task of fixture.tasks) assert.deepEqual(await runner.status(task.id), task)
    assert.equal((await runner.submit('works', { to: 'x' }, { key: 'order 1' })).id, 'with-everything')
    assert.equal((await runner.list({ tags: ['mail'], states: ['running'] })).tasks[0]?.id, 'running')
  })

  it('is worked off: its times have come, its process is dead, and what was asked for is done', async () => {
    const prefix = redis.prefix(`work-${format}`)
    await restore(redis.client, prefix, fixture.keys)
    await using runner = create(prefix, true)
    await runner.unschedule('daily')
    await runner.resume()
    const waiting = fixture.tasks.filter(({ state }) => ['queued', 'running'].includes(state))
    const records = await Promise.all(waiting.map(({ id }) => runner.wait(id)))
    const states = Object.fromEntries(records.map(({ id, state }) => [id, state]))
    for (const { id } of waiting)
      assert.equal(states[id], id === 'running-and-cancelled' ? 'cancelled' : 'succeeded', id)
    const running = records.find(({ id }) => id === 'running')
    assert.deepEqual(running?.output, { attempt: 2, saved: { step: 'b' } })
    assert.deepEqual(
      running?.attempts.map(({ outcome }) => outcome),
      ['crashed', 'succeeded'],
    )
  }, 10_000)
})

it('there is a fixture for each format', () => {
  const files = readdirSync(FIXTURES).filter((file) => file.endsWith('.json'))
  assert.equal(files.length, FORMAT)
})

it.skipIf(redis.url === '')('what a newer version has made is refused, and left as it is', async () => {
  const prefix = redis.prefix('newer')
  await redis.client.set(`${prefix}:tasks:format`, FORMAT + 1)
  const runner = create(prefix, true)
  runner.on('error', () => {})
  await assert.rejects(runner.ready(), { code: 'ENGINE_ERROR', message: /newer version/ })
  assert.deepEqual(await redis.client.keys(`${prefix}:*`), [`${prefix}:tasks:format`])
})
