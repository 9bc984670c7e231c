/** What becomes of a task whose process dies: the crash rule, and how others know of the death. */
import assert from 'node:assert/strict'
import type { TaskRecord } from 'background-runner'
import { afterAll, describe, it } from 'vitest'
import { connect } from './support/connection.js'
import { type Process, World } from './support/process.js'

const world = new World()
afterAll(() => world.end())

const SLOW = 30_000

/** One who submits and looks on, and starts others. */
async function family(settings: { lease?: number; concurrency?: number } = {}): Promise<{
  path: string
  web: Process
  worker: () => Promise<Process>
}> {
  const path = world.path()
  const lease = settings.lease ?? 1_500 // a sixth of it is how often the others are looked at
  const web = await world.process({ path, lease, work: false })
  return { path, web, worker: () => world.process({ path, lease, ...settings }) }
}

/** A worker that is killed as soon as it has called the handlers of these tasks. */
async function killedWith(worker: Promise<Process>, ...ids: string[]): Promise<void> {
  const process = await worker
  for (const id of ids) await process.tells('called', id)
  await process.kill()
}

const outcomes = ({ attempts }: TaskRecord): unknown[] => attempts.map(({ outcome }) => outcome)

describe('the crash rule', () => {
  it(
    'a task that kills its process alone ends CRASHED, after three deaths; two hundred others succeed',
    async () => {
      const { web, worker } = await family()
      const before = await web.submits(100, 'slow')
      const poison = await web.submit('die')
      const after = await web.submits(100, 'slow')
      const ended = web.ask('onIdle').then(() => true)
      let deaths = 0
      for (let idle = false; !idle; ) {
        const working = await worker()
        idle = await Promise.race([ended, working.ended().then(() => false)])
        if (!idle) deaths++
      }
      assert.equal(deaths, 3)
      const record = await web.ask('status', poison)
      assert.deepEqual([record.state, record.error?.code], ['failed', 'CRASHED'])
      assert.deepEqual(outcomes(record), ['crashed', 'crashed', 'crashed'])
      for (const { id } of [...before, ...after]) assert.equal((await web.ask('status', id)).state, 'succeeded')
    },
    SLOW,
  )

  it(
    'a first death puts a task back; after two in a row it runs beside no other such task',
    async () => {
      const { web, worker } = await family()
      const [a, b] = [await web.submit('hold'), await web.submit('hold')]
      await killedWith(worker(), a, b)
      await killedWith(worker(), a, b) // side by side again
      const c = await web.submit('hold')
      const third = await worker()
      await third.tells('called', c)
      assert.deepEqual([third.tellings('called', a).length, third.tellings('called', b).length], [1, 0])
      await third.kill()
      assert.equal((await web.ask('wait', a)).error?.code, 'CRASHED', 'three deaths, and it was the only suspect')
      const fourth = await worker()
      for (const id of [b, c]) await fourth.tells('called', id)
      for (const id of [b, c]) await fourth.ask('release', id, 'alive')
      const cleared = await web.ask('wait', b)
      assert.deepEqual([cleared.output, outcomes(cleared)], ['alive', ['crashed', 'crashed', 'succeeded']])
      assert.deepEqual(outcomes(await web.ask('wait', c)), ['crashed', 'succeeded'])
    },
    SLOW,
  )

  it(
    'a suspect that ends lets the next one run',
    async () => {
      const { web, worker } = await family()
      const [a, b] = [await web.submit('hold'), await web.submit('hold')]
      await killedWith(worker(), a, b)
      await killedWith(worker(), a, b)
      const third = await worker()
      await third.tells('called', a)
      assert.equal(third.tellings('called', b).length, 0)
      await third.ask('release', a, 'alive')
      await third.tells('called', b)
      await third.ask('release', b, 'alive')
      await web.ask('onIdle')
    },
    SLOW,
  )

  it(
    'a verdict clears the count: four deaths, with a failure between, are no crash',
    async () => {
      const { web, worker } = await family()
      const id = await web.submit('hold', { retry: { attempts: 2, backoff: { type: 'fixed', delay: 1 } } })
      await killedWith(worker(), id)
      await killedWith(worker(), id)
      const third = await worker()
      await third.tells('called', id)
      await third.ask('release', id) // fails
      await third.tells('called', id, 2)
      await third.kill()
      await killedWith(worker(), id)
      const last = await worker()
      await last.tells('called', id)
      await last.ask('release', id, 'alive')
      const expected = ['crashed', 'crashed', 'retry', 'crashed', 'crashed', 'succeeded']
      assert.deepEqual(outcomes(await web.ask('wait', id)), expected)
    },
    SLOW,
  )

  it(
    'retry clears the count, and nothing that crashed used up an attempt',
    async () => {
      const { web, worker } = await family()
      const id = await web.submit('hold')
      for (let death = 1; death <= 3; death++) await killedWith(worker(), id)
      const crashed = await web.ask('wait', id)
      assert.deepEqual([crashed.error?.code, crashed.attempt, crashed.maxAttempts], ['CRASHED', 3, 3])
      const revived = await web.ask('retry', id)
      assert.deepEqual([revived.state, revived.maxAttempts], ['queued', 4])
      for (let death = 1; death <= 2; death++) await killedWith(worker(), id)
      const last = await worker()
      await last.tells('called', id)
      await last.ask('release', id, 'alive')
      assert.equal((await web.ask('wait', id)).state, 'succeeded')
    },
    SLOW,
  )

  it(
    'a task whose cancel was asked for is cancelled when its process dies',
    async () => {
      const { web, worker } = await family()
      const id = await web.submit('deaf')
      const working = await worker()
      await working.tells('called', id)
      await web.ask('cancel', id, { reason: 'withdrawn' })
      await working.kill()
      const record = await web.ask('wait', id)
      assert.equal(record.state, 'cancelled')
      assert.match(record.error?.message ?? '', /withdrawn/)
      assert.equal(web.tellings('cancelled', id).length, 1, 'the one that noticed tells of it')
    },
    SLOW,
  )

  it(
    'what close has given up on has not crashed when its process dies later',
    async () => {
      const { web, worker } = await family({ lease: 15_000 })
      const id = await web.submit('deaf')
      const leaving = await worker()
      await leaving.tells('called', id)
      assert.equal((await leaving.ask<{ abandoned: number }>('close', { deadline: 0 })).abandoned, 1)
      assert.equal((await web.ask('status', id)).state, 'running')
      await leaving.kill()
      const next = await worker()
      await next.tells('called', id)
      assert.deepEqual(outcomes(await web.ask('status', id)).slice(0, 1), ['released'])
    },
    SLOW,
  )
})

describe('a death is noticed', () => {
  it('at once where the pid shows it, long before the lease is over', async () => {
    const { web, worker } = await family({ lease: 600_000 })
    const id = await web.submit('hold')
    await killedWith(worker(), id)
    await web.tells('stalled', id)
    assert.deepEqual(outcomes(await web.ask('status', id)), ['crashed'])
  })

  it('by a process that is started after it', async () => {
    const path = world.path()
    const first = await world.process({ path, lease: 600_000 })
    const id = await first.submit('hold')
    await first.tells('called', id)
    await first.kill()
    const second = await world.process({ path })
    assert.equal(second.tellings('stalled', id).length, 1, 'before it is ready')
    await second.tells('called', id)
  })

  it('by the lease alone, where the pid says nothing; and one that lives keeps what it runs', async () => {
    const { path, web, worker } = await family({ lease: 600, concurrency: 1 })
    const [dead, living] = [await worker(), await worker()]
    await web.submits(2, 'hold')
    const database = await connect(path)
    database.exec("UPDATE workers SET boot = 'another machine'")
    const lost = (await dead.tells('called')).id
    const kept = (await living.tells('called')).id
    const beat = (): number =>
      Number(database.prepare('SELECT beat FROM workers WHERE pid = ?').get(living.pid)?.['beat'])
    const before = beat()
    await dead.kill()
    while (beat() < before + 6) await web.ask('counts') // two leases
    database.close()
    assert.deepEqual(outcomes(await web.ask('status', lost)), ['crashed'])
    assert.deepEqual(outcomes(await web.ask('status', kept)), [undefined], 'it runs on')
  })
})
