/** A verb whose answer is lost on the way is asked again, and answered as it would have been. */
import assert from 'node:assert/strict'
import { BackgroundRunner, defineTask, NonRetryableError } from 'background-runner'
import { bullmq } from 'background-runner/bullmq'
import { afterAll, afterEach, beforeAll, beforeEach, it } from 'vitest'
import { describeWithServers } from '../support/redis.js'
import { RedisServer } from '../support/redis-server.js'
import { TcpProxy } from '../support/tcp-proxy.js'

describeWithServers()('a verb whose answer was cut', () => {
  let server: RedisServer
  let proxy: TcpProxy
  let runner: ReturnType<typeof create>
  let prefixes = 0

  function create(connection: string, work: boolean) {
    const tasks = {
      works: defineTask({ run: (input: number) => input }),
      fails: defineTask({
        run: () => {
          throw new NonRetryableError('no good')
        },
      }),
    }
    const made = new BackgroundRunner({ tasks, engine: bullmq({ connection, prefix: `again-${prefixes}` }), work })
    made.on('error', () => {}) // it is cut
    return made
  }

  beforeAll(async () => {
    server = await RedisServer.start()
    proxy = await TcpProxy.start(server.port)
  })
  beforeEach(async () => {
    prefixes++
    runner = create(proxy.url, false)
    // What has been asked once the server knows: the next answer is to the question itself.
    const { id } = await runner.submit('works', 0, { delay: '1d', id: 'before' })
    await runner.cancel(id)
    await runner.remove(id)
    await runner.schedule('before', { every: '1d', task: 'works', input: 0 })
    await runner.unschedule('before')
    proxy.cuts = 0
  })
  afterEach(() => runner.close({ deadline: 0 }))
  afterAll(async () => {
    await proxy.end()
    await server.end()
  })

  it('submit, with an id or a key of its own: it was new', async () => {
    proxy.cutAnswer('"tasks"')
    assert.equal((await runner.submit('works', 1, { id: 'one', delay: '1d' })).deduplicated, false)
    proxy.cutAnswer('"tasks"')
    assert.equal((await runner.submit('works', 2, { key: 'two', delay: '1d' })).deduplicated, false)
    assert.equal(proxy.cuts, 2)
    assert.equal((await runner.submit('works', 1, { id: 'one' })).deduplicated, true)
    assert.equal((await runner.submit('works', 2, { key: 'two' })).deduplicated, true)
    assert.equal((await runner.counts()).scheduled, 2)
  })

  it('submit of one that is there: it was not new', async () => {
    await runner.submit('works', 1, { id: 'one', delay: '1d' })
    proxy.cutAnswer('"tasks"')
    assert.equal((await runner.submit('works', 1, { id: 'one' })).deduplicated, true)
    assert.equal(proxy.cuts, 1)
  })

  it('cancel: it is cancelled', async () => {
    const { id } = await runner.submit('works', 1, { delay: '1d' })
    proxy.cutAnswer('"op":"cancel"')
    assert.equal((await runner.cancel(id, { reason: 'withdrawn' })).state, 'cancelled')
    assert.equal(proxy.cuts, 1)
    await assert.rejects(runner.cancel(id), { code: 'INVALID_STATE' })
  })

  it('retry: it is retried, once, although it has failed again meanwhile', async () => {
    const { id } = await runner.submit('fails')
    const worker = create(server.url, true)
    try {
      assert.equal((await worker.wait(id)).state, 'failed')
      proxy.cutAnswer('"op":"retry"')
      assert.equal((await runner.retry(id)).state, 'queued')
      assert.equal(proxy.cuts, 1)
      const { state, attempt } = await worker.wait(id)
      assert.deepEqual([state, attempt], ['failed', 2])
    } finally {
      await worker.close({ deadline: 0 })
    }
  })

  it('remove, and unschedule: it was there', async () => {
    const { id } = await runner.submit('works', 1, { delay: '1d' })
    await runner.cancel(id)
    proxy.cutAnswer('"op":"remove"')
    assert.equal(await runner.remove(id), true)
    assert.equal(await runner.remove(id), false)
    await runner.schedule('daily', { every: '1d', task: 'works', input: 0 })
    proxy.cutAnswer('"key":"schedules"')
    assert.equal(await runner.unschedule('daily'), true)
    assert.equal(await runner.unschedule('daily'), false)
    assert.equal(proxy.cuts, 2)
  })
})
