/** What `bullmq(options)` takes. Nothing here needs a Redis: an engine connects when its runner is made. */
import assert from 'node:assert/strict'
import { BackgroundRunner, defineTask, InvalidInputError } from 'background-runner'
import { bullmq } from 'background-runner/bullmq'
import { Cluster } from 'ioredis'
import { Client, Pool } from 'pg'
import { describe, it } from 'vitest'

const connection = 'redis://127.0.0.1:6379'

function issuesOf(options: object): string[] {
  try {
    bullmq(options as never)
  } catch (error) {
    assert.ok(error instanceof InvalidInputError, String(error))
    return error.issues.map(({ path, message }) => `${path.join('.')} ${message}`)
  }
  return []
}

describe('bullmq(options)', () => {
  it.each([
    { connection },
    { connection: 'rediss://user:secret@redis.example.com:6380/3' },
    { connection: { host: '127.0.0.1', port: 6379 } },
    { connection: 'postgresql://user:secret@db.example.com/app', prefix: 'my_schema' },
    { connection, name: 'app', prefix: '{bull}', offline: 'wait', lease: '5s' },
  ])('takes %j', (options) => {
    assert.deepEqual(issuesOf(options), [])
  })

  it('names each option that is wrong, with its type', () => {
    assert.deepEqual(issuesOf({}), [
      'connection must be a redis:// or postgres:// URL, options of ioredis, a client of ioredis, or a Pool of pg, got undefined',
    ])
    assert.match(
      issuesOf({ connection: 'http://127.0.0.1' })[0] ?? '',
      /^connection must be a redis:\/\/ or postgres:\/\/ URL/,
    )
    assert.deepEqual(issuesOf({ connection, name: 'a b', prefix: 'a:b', offline: 'later', lease: 10, speed: 1 }), [
      'speed is unknown here; there is connection, name, prefix, offline, lease',
      'name must have 1 to 100 characters, no colon and no white space, got "a b"',
      'prefix must have 1 to 100 characters, no colon and no white space, got "a:b"',
      "offline must be 'fail' or 'wait', got \"later\"",
      'lease must be at least 500 ms, got 10',
    ])
  })

  it('refuses a Cluster, and says what to give in its place', () => {
    const cluster = new Cluster([{ host: '127.0.0.1' }], { lazyConnect: true })
    assert.deepEqual(issuesOf({ connection: cluster }), [
      'connection must not be a Cluster: give the address of the node that has the slot of the prefix',
    ])
  })

  it('takes a Pool of pg, whose schema has to be one, and no Client', () => {
    const pool = new Pool()
    assert.deepEqual(issuesOf({ connection: pool }), [])
    assert.match(issuesOf({ connection: pool, prefix: '{bull}' })[0] ?? '', /^prefix must be a schema/)
    const issue = 'connection must not be a Client of pg: give its URL, or a Pool'
    assert.deepEqual(issuesOf({ connection: new Client() }), [issue])
  })

  it('shows no password of a URL that it refuses', () => {
    const [issue = ''] = issuesOf({ connection: 'http://user:secret@127.0.0.1' })
    assert.ok(!issue.includes('secret'), issue)
  })

  it('keeps no limits over all processes, and says so when the runner is made', () => {
    const limited = defineTask({ concurrency: { max: 1, by: () => '' }, run: () => {} })
    assert.throws(() => new BackgroundRunner({ tasks: { limited }, engine: bullmq({ connection }) }), {
      code: 'UNSUPPORTED_BY_ENGINE',
      message: /the engine bullmq cannot keep keyed concurrency, rate limits and resources/,
    })
  })
})
