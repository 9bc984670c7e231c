/** What only a real Redis shows: what its scripts read of what users bring, whom its keys belong to, and who is told. */
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { inspect } from 'node:util'
import { BackgroundRunner, defineTask, NonRetryableError, type RunnerOptions, type TaskMap } from 'background-runner'
import { type BullmqOptions, bullmq } from 'background-runner/bullmq'
import { Queue } from 'bullmq'
import { Redis } from 'ioredis'
import { afterAll, afterEach, beforeEach, it } from 'vitest'
import { testRedis } from '../support/redis.js'

const redis = await testRedis()
afterAll(() => redis.end())

let prefix: string
let closers: (() => Promise<unknown>)[] = []
beforeEach(() => {
  prefix = redis.prefix()
})
afterEach(async () => {
  await Promise.all(closers.map((close) => close()))
  closers = []
})

function create<const Tasks extends TaskMap>(
  options: Omit<RunnerOptions<Tasks>, 'engine'>,
  engine: Partial<BullmqOptions> = {},
) {
  const runner = new BackgroundRunner<Tasks>({
    ...options,
    engine: bullmq({ connection: redis.url, prefix, ...engine }),
  } as RunnerOptions<Tasks>)
  closers.push(() => runner.close({ deadline: 0 }))
  return runner
}

/** What handlers wait at. */
class Gate {
  open!: () => void
  readonly opened: Promise<void> = new Promise((resolve) => {
    this.open = resolve
  })
}

/** Who hears of nothing looks by itself after 5 s: who has heard is there before that, also where the machine is busy. */
const SOON = 4_000

const nothing = defineTask({ run: () => {} })
const refuses = defineTask({
  run: () => {
    throw new NonRetryableError('no \ud800 good')
  },
})

redis.describe('a lone surrogate, which cjson does not read, in what a user brings', () => {
  it('in metadata: the task is removed, and its tags are free', async () => {
    const runner = create({ tasks: { nothing } })
    const tags = ['C:\\ud800\\\\ud800']
    const { id } = await runner.submit('nothing', undefined, { tags, metadata: { odd: '\ud800\\\ud800\\\\' } })
    assert.deepEqual((await runner.wait(id)).metadata, { odd: '\ud800\\\ud800\\\\' })
    assert.equal(await runner.remove(id), true)
    assert.deepEqual(await redis.client.keys(`${prefix}:tasks.nothing:br*`), [])
  })

  it('in metadata: it ends with what it came after', async () => {
    const runner = create({ tasks: { nothing, refuses } })
    await runner.pause()
    const parent = await runner.submit('refuses')
    const child = await runner.submit('nothing', undefined, { after: [parent.id], metadata: '\udfff' })
    assert.equal(
      (await runner.explain(child.id)).reasons.some(({ type }) => type === 'after'),
      true,
    )
    await runner.resume()
    assert.equal((await child.wait()).state, 'cancelled')
  })

  it('in an error: its turn among the tasks of other names comes', async () => {
    const gate = new Gate()
    const runner = create({
      tasks: {
        nothing,
        fails: defineTask({
          retry: { attempts: 2, backoff: { type: 'fixed', delay: 30 } },
          run: async () => {
            await gate.opened
            throw new Error('\ud800')
          },
        }),
      },
    })
    const started = new Promise((resolve) => runner.once('started', resolve))
    const failing = await runner.submit('fails')
    await started
    await runner.pause()
    gate.open()
    while ((await failing.status())?.state !== 'queued') await sleep(5) // it stays so: all is paused
    const other = await runner.submit('nothing')
    await runner.resume()
    assert.equal((await other.wait()).state, 'succeeded')
    assert.equal((await failing.wait()).error?.message, '\ud800')
  })
})

it.skipIf(redis.url === '')('names with dots: each runner has its own tasks, and its own pause', async () => {
  const one = create({ tasks: { 'y.z': defineTask({ run: () => 'one' }), y: nothing } }, { name: 'x' })
  const other = create({ tasks: { z: defineTask({ run: () => 'other' }) } }, { name: 'x.y' })
  await Promise.all([one.pause(), other.pause()])
  await one.submit('y')
  const ids = await Promise.all([one.submit('y.z'), other.submit('z')])
  await one.resume()
  assert.equal((await ids[0].wait()).output, 'one')
  assert.deepEqual((await other.counts()).queued, 1)
  await other.resume()
  assert.equal((await ids[1].wait()).output, 'other')
  assert.equal((await one.list()).tasks.length, 2)
})

it.skipIf(redis.url === '')('what failed is pruned although many that were cancelled before are kept', async () => {
  const runner = create({ tasks: { nothing, refuses }, retention: { failed: 100, cancelled: '1d' } })
  const later = await runner.submitMany('refuses', Array.from({ length: 501 }, () => undefined) as [], { delay: '1d' })
  for (const handle of later) await handle.cancel()
  await (await runner.submit('refuses')).wait()
  await sleep(150)
  await (await runner.submit('nothing')).wait()
  while ((await runner.counts()).failed > 0) await sleep(20)
  assert.deepEqual(await runner.counts(), {
    queued: 0,
    scheduled: 0,
    running: 0,
    succeeded: 1,
    failed: 0,
    cancelled: 501,
  })
})

it.skipIf(redis.url === '')(
  'what came back after a crash is the first of all names, whatever its priority',
  async () => {
    const order: string[] = []
    const run = (input: string) => void order.push(input)
    const runner = create({ tasks: { a: defineTask({ run }), b: defineTask({ run }) }, concurrency: 1 })
    await runner.pause()
    const back = await runner.submit('a', 'back', { priority: -5 })
    await runner.submit('b', 'b')
    await runner.submit('a', 'a', { priority: 5 })
    await redis.client.zrem(`${prefix}:tasks.a:prioritized`, `t-${back.id}`) // as BullMQ puts back what stalled
    await redis.client.rpush(`${prefix}:tasks.a:wait`, `t-${back.id}`)
    await runner.resume()
    await runner.onIdle()
    assert.deepEqual(order, ['back', 'a', 'b'])
  },
)

redis.describe('onIdle of a process that only submits', () => {
  it('settles when another process has cancelled the last task', async () => {
    const [one, other] = [create({ tasks: { nothing }, work: false }), create({ tasks: { nothing }, work: false })]
    await other.ready()
    const { id } = await one.submit('nothing', undefined, { delay: '1d' })
    const idle = one.onIdle().then(() => 'idle')
    await sleep(50)
    await other.cancel(id)
    assert.equal(await Promise.race([idle, sleep(8_000)]), 'idle')
  })

  it('settles although tasks are removed meanwhile', async () => {
    const worker = create({ tasks: { nothing }, concurrency: 5 })
    const runner = create({ tasks: { nothing }, work: false })
    await worker.ready()
    for (let round = 0; round < 20; round++) {
      const inputs = Array.from({ length: 5 }, () => undefined) as []
      const old = await runner.submitMany('nothing', inputs)
      for (const handle of old) await handle.wait()
      await runner.submitMany('nothing', inputs)
      const idle = runner.onIdle().then(() => 'idle')
      for (const { id } of old) {
        await sleep(Math.random() * 2)
        void runner.remove(id)
      }
      assert.equal(await Promise.race([idle, sleep(8_000)]), 'idle')
    }
  })
})

redis.describe('of new work one process hears', () => {
  /** Tasks of a name that hold until `gate` is open, and of another one; `startedAt(n)` resolves when n have started: when. */
  function holding(limits: { readonly concurrency?: number } = {}) {
    const gate = new Gate()
    const started: number[] = []
    let tell = (): void => {}
    const run = async () => {
      started.push(performance.now())
      tell()
      await gate.opened
    }
    const startedAt = async (n: number): Promise<number> => {
      while (started.length < n)
        await new Promise<void>((resolve) => {
          tell = resolve
        })
      return started[n - 1] as number
    }
    return { tasks: { a: defineTask({ ...limits, run }), b: defineTask({ run }), c: nothing }, gate, startedAt }
  }

  /** How long until the second one of a name is started, after all have begun to wait. */
  async function lateness(limits: { readonly concurrency?: number }, slots: number): Promise<number> {
    const { tasks, gate, startedAt } = holding(limits)
    const first = create({ tasks, concurrency: slots })
    await first.submit('a')
    await startedAt(1)
    await sleep(50)
    const second = create({ tasks, concurrency: slots }) // it waits after the first one does
    await second.ready()
    await sleep(100)
    const client = create({ tasks, work: false })
    await client.ready()
    const begin = performance.now()
    await client.submit('a')
    const late = (await startedAt(2)) - begin
    gate.open()
    return late
  }

  it('also while it is busy, as long as it has a slot', async () => {
    const { tasks, gate, startedAt } = holding()
    const worker = create({ tasks })
    const client = create({ tasks, work: false })
    await Promise.all([worker.ready(), client.ready()])
    let n = 0
    for (const name of ['a', 'a', 'b', 'b', 'a'] as const) {
      await sleep(50) // it has begun to wait
      const begin = performance.now()
      await client.submit(name)
      const late = (await startedAt(++n)) - begin
      assert.ok(late < SOON, `${n}: ${late}`)
    }
    gate.open()
  })

  it('and one that may not start it, by the limit of its name, passes it on', async () => {
    assert.ok((await lateness({ concurrency: 1 }, 10)) < SOON)
  })

  it('and one that has no slot passes it on', async () => {
    assert.ok((await lateness({}, 1)) < SOON)
  })

  it('and one whose name was at its limit hears of it again as soon as it is not', async () => {
    const { tasks, gate, startedAt } = holding({ concurrency: 1 })
    create({ tasks })
    const client = create({ tasks, work: false })
    const long = await client.submit('a')
    await startedAt(1)
    await (await client.submit('c')).wait() // now it waits for b and c alone
    gate.open()
    await long.wait()
    await sleep(50)
    const begin = performance.now()
    await client.submit('a')
    assert.ok((await startedAt(2)) - begin < SOON)
  })
})

redis.describe("BullMQ's own tools", () => {
  /** The queue of a name, as a dashboard has it. */
  function queueOf(name: string): Queue {
    const queue = new Queue(`tasks.${name}`, {
      prefix,
      connection: { url: redis.url },
    })
    closers.push(() => queue.close())
    return queue
  }

  it('retry a cancelled task: it runs', async () => {
    const runner = create({ tasks: { nothing } })
    const { id } = await runner.submit('nothing', undefined, { delay: '1d' })
    await runner.cancel(id)
    await (await queueOf('nothing').getJob(`t-${id}`))?.retry('failed')
    while ((await runner.status(id))?.state !== 'succeeded') await sleep(5)
    const record = await runner.status(id)
    assert.deepEqual([record?.attempts.length, record?.cancelRequestedAt], [1, undefined])
    const counts = await runner.counts()
    assert.deepEqual([counts.succeeded, counts.failed, counts.cancelled], [1, 0, 0])
  })

  it('retry one that its deaths have ended: it runs', async () => {
    const { id } = await create({ tasks: { nothing }, work: false }).submit('nothing')
    const deaths = [1, 2, 3].map((n) => `${n}:${Date.now()}:died:${Date.now()}`)
    await redis.client.hset(`${prefix}:tasks.nothing:t-${id}`, { ats: 3, 'br:died': deaths.join(',') })
    const runner = create({ tasks: { nothing } })
    const record = await runner.wait(id)
    assert.deepEqual([record.state, record.attempt, record.error?.code], ['failed', 3, 'CRASHED'])
    assert.deepEqual(
      record.attempts.map(({ outcome }) => outcome),
      ['crashed', 'crashed', 'crashed'],
    )
    await (await queueOf('nothing').getJob(`t-${id}`))?.retry('failed')
    while ((await runner.status(id))?.state !== 'succeeded') await sleep(5)
  })

  it('remove a task: its key is free, and the counts are right', async () => {
    const runner = create({ tasks: { nothing }, work: false })
    const { id } = await runner.submit('nothing', undefined, { key: 'k' })
    await runner.cancel(id)
    await (await queueOf('nothing').getJob(`t-${id}`))?.remove()
    assert.equal((await runner.submit('nothing', undefined, { key: 'k' })).deduplicated, false)
    assert.deepEqual((await runner.list()).tasks.length, 1)
    const { queued, failed, cancelled } = await runner.counts()
    assert.deepEqual([queued, failed, cancelled], [1, 0, 0])
  })
})

redis.describe('the connection', () => {
  const shown = async (connection: string): Promise<string> => {
    const runner = create({ tasks: { nothing } }, { connection })
    const told: unknown[] = []
    runner.on('error', (error) => told.push(error))
    told.push(await runner.ready().catch((error: unknown) => error))
    return inspect(told, { depth: 9, showHidden: true })
  }

  it('shows no password, whatever is wrong with it', async () => {
    const text = await shown(redis.url.replace('://', '://somebody:secret-word@'))
    assert.match(text, /WRONGPASS/)
    assert.doesNotMatch(text, /secret-word/)
    assert.doesNotMatch(await shown('redis://:secret-word@127.0.0.1:1'), /secret-word/)
    for (const bad of ['redis://:secret-word@h:99999', 'REDIS://:secret-word@h', 'http://:secret-word@h'])
      assert.throws(
        () => bullmq({ connection: bad }),
        (error) => !inspect(error, { depth: 9 }).includes('secret-word'),
      )
  })

  it('says why it cannot be opened, also where there is no such database', async () => {
    const refused = create({ tasks: { nothing } }, { connection: 'redis://127.0.0.1:1' })
    refused.on('error', () => {})
    await assert.rejects(refused.ready(), /ECONNREFUSED/)
    const missing = create({ tasks: { nothing } }, { connection: `${redis.url}/99999` })
    missing.on('error', () => {})
    await assert.rejects(missing.ready(), /DB index is out of range/)
    assert.throws(() => bullmq({ connection: `${redis.url}/main` }), { code: 'INVALID_INPUT' })
  })

  it("may be the app's own client, whatever that is set to; a keyPrefix is refused", async () => {
    assert.throws(() => bullmq({ connection: { keyPrefix: 'app:' } }), /keyPrefix/)
    const settings = { stringNumbers: true, commandTimeout: 100, enableAutoPipelining: true, autoResubscribe: false }
    const app = new Redis(redis.url, settings)
    const client = create({ tasks: { nothing }, work: false }, { connection: app })
    const worker = create({ tasks: { nothing } }, { connection: { ...app.options } })
    const faults: unknown[] = []
    for (const runner of [client, worker]) runner.on('error', (error) => faults.push(error))
    await worker.ready()
    await sleep(300)
    const handle = await client.submit('nothing')
    assert.equal((await handle.wait()).state, 'succeeded')
    assert.equal(await client.remove(handle.id), true)
    assert.deepEqual(faults, [])
    await client.close()
    assert.equal(await app.ping(), 'PONG')
    app.disconnect()
  })
})
