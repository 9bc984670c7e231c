/** Who has nothing to do asks for nothing: counted on a Redis that nobody else uses. */
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { BackgroundRunner, defineTask } from 'background-runner'
import { bullmq } from 'background-runner/bullmq'
import { Redis } from 'ioredis'
import { afterAll, afterEach, beforeAll, it } from 'vitest'
import { describeWithServers } from '../support/redis.js'
import { RedisServer } from '../support/redis-server.js'

describeWithServers()('on a Redis', () => {
  let server: RedisServer
  let client: Redis
  let prefixes = 0
  const runners: { close(options: { deadline: number }): Promise<unknown> }[] = []

  beforeAll(async () => {
    server = await RedisServer.start()
    client = new Redis(server.url)
  })
  afterEach(async () => {
    await Promise.all(runners.splice(0).map((each) => each.close({ deadline: 0 })))
  })
  afterAll(async () => {
    client.disconnect()
    await server.end()
  })

  interface Made {
    readonly names: readonly string[]
    readonly work?: boolean
    readonly prefix?: string
    readonly name?: string
    readonly concurrency?: number
  }

  async function create({ names, prefix = `quiet-${prefixes}`, name = 'tasks', ...settings }: Made) {
    const define = (of: string) =>
      defineTask({ run: async (ms: number): Promise<string> => sleep(ms, `${of} of ${prefix} ${name}`) })
    const tasks = Object.fromEntries(names.map((each) => [each, define(each)]))
    const engine = bullmq({ connection: server.url, prefix, name })
    const runner = new BackgroundRunner({ tasks, engine, ...settings })
    runners.push(runner)
    await runner.ready()
    return runner
  }

  /** How many scripts of ours, and waits for work, the server is asked for in half a second in which nobody asks for anything. */
  async function asked(): Promise<number> {
    const calls = async (): Promise<number> => {
      const info = await client.info('commandstats')
      const each = ['evalsha', 'bzpopmin'].map((name) => new RegExp(`cmdstat_${name}:calls=(\\d+)`).exec(info)?.[1])
      return each.reduce((sum, n) => sum + Number(n ?? 0), 0)
    }
    await sleep(200) // what follows from what was asked for
    const before = await calls()
    await sleep(500)
    return (await calls()) - before
  }

  it('a task that arrives alone wakes one who waits, however many there are', async () => {
    prefixes++
    const TASKS = 30
    const web = await create({ names: ['alone'], work: false })
    const scripts = async (): Promise<number> =>
      Number(/cmdstat_evalsha:calls=(\d+)/.exec(await client.info('commandstats'))?.[1] ?? 0)
    const each = async (): Promise<number> => {
      await sleep(200)
      const before = await scripts()
      for (let n = 0; n < TASKS; n++) await (await web.submit('alone', 0)).wait()
      await sleep(200)
      return ((await scripts()) - before) / TASKS
    }
    await create({ names: ['alone'] })
    const one = await each()
    for (let n = 0; n < 7; n++) await create({ names: ['alone'] })
    const eight = await each()
    // Who has heard that nothing is left has no need to look when others come to the same.
    assert.ok(eight < one + 4, `${one} scripts a task for one worker, ${eight} for eight`)
  })

  it('a worker leaves a name that it does not know to one that does, and is not busy with it', async () => {
    prefixes++
    const ignorant = await create({ names: ['other'] })
    const web = await create({ names: ['known', 'other'], work: false })
    const handles = await web.submitMany('known', Array(50).fill(0))
    const first = handles[0]
    assert.ok(first)
    await (await web.submit('other', 0)).wait()
    assert.equal((await first.status())?.state, 'queued')
    assert.deepEqual(
      (await web.explain(first.id)).reasons.map(({ type }) => type),
      ['worker'],
    )
    const calls = await asked()
    assert.ok(calls < 10, `${calls} calls while fifty wait whose name nobody knows`)
    await create({ names: ['known'] })
    const records = await Promise.all(handles.map((each) => each.wait()))
    assert.ok(records.every(({ state, attempt }) => state === 'succeeded' && attempt === 1))
    assert.equal((await ignorant.counts()).succeeded, 51)
  })

  it('runners of several names and prefixes do not disturb each other', async () => {
    const places = [
      { prefix: 'one', name: 'tasks' },
      { prefix: 'one', name: 'tasks.work' },
      { prefix: 'one', name: 'work' },
      { prefix: 'two', name: 'tasks' },
      { prefix: '{two}', name: 'tasks' },
    ]
    const all = await Promise.all(places.map((place) => create({ names: ['work', 'work.work'], ...place })))
    await all[0]?.pause()
    for (const [n, runner] of all.entries()) {
      const task = await runner.submit('work', 0, { id: 'the-same', key: 'the same' })
      assert.equal(task.deduplicated, false)
      if (n > 0) assert.equal((await task.wait()).output, `work of ${places[n]?.prefix} ${places[n]?.name}`)
    }
    assert.deepEqual(await Promise.all(all.map(async (each) => (await each.counts()).queued)), [1, 0, 0, 0, 0])
    await all[0]?.resume()
    assert.equal((await all[0]?.wait('the-same'))?.output, 'work of one tasks')
    assert.ok((await Promise.all(all.map((each) => each.list()))).every(({ tasks }) => tasks.length === 1))
    await all[0]?.remove('the-same')
    assert.ok(await all[1]?.status('the-same'))
  })

  it('many who wait for a long task ask for nothing meanwhile', async () => {
    prefixes++
    await create({ names: ['work'] })
    const web = await create({ names: ['work'], work: false })
    const task = await web.submit('work', 2_000)
    const waits = Array.from({ length: 500 }, () => task.wait())
    await task.status()
    const calls = await asked()
    assert.ok(calls < 20, `${calls} calls for five hundred who wait`)
    assert.ok((await Promise.all(waits)).every(({ state }) => state === 'succeeded'))
  })

  it('a full worker is not busy with what it has no slot for, and one that has takes it at once', async () => {
    prefixes++
    const full = await create({ names: ['work'], concurrency: 1 })
    const handles = await full.submitMany('work', [1_500, 0, 0, 0])
    const calls = await asked()
    assert.ok(calls < 20, `${calls} calls while three wait for a slot`)
    await create({ names: ['work'] })
    await Promise.all(handles.slice(1).map((each) => each.wait()))
    assert.equal((await handles[0]?.status())?.state, 'running')
  })

  it('idle workers and what is scheduled, held or paused keep nobody busy', async () => {
    prefixes++
    const runner = await create({ names: ['work'] })
    await create({ names: ['work'] })
    await runner.submit('work', 0, { delay: '1h' })
    await runner.pause()
    await runner.submit('work', 0)
    const paused = await asked()
    assert.ok(paused < 20, `${paused} calls while paused`)
    await runner.resume()
    const idle = await asked()
    assert.ok(idle < 20, `${idle} calls while idle`)
  })
})
