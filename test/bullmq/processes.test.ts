/** Several processes on one Redis, or one PostgreSQL: what one asks for, the other does; and what becomes of tasks whose process dies. */
import assert from 'node:assert/strict'
import type { TaskCounts, TaskRecord } from 'background-runner'
import { afterAll, beforeAll, it } from 'vitest'
import { type Process, World } from '../sqlite/support/process.js'
import { sharedServers } from '../support/servers.js'

const SLOW = 30_000

const servers = await sharedServers()
const world = new World()
afterAll(async () => {
  await world.end()
  for (const server of servers) await server.end()
})

for (const { name, describe, path: newPath } of servers) {
  describe(`on ${name}: a process that only submits, and one that works`, () => works(newPath))
  describe(`on ${name}: many at once`, () => manyAtOnce(newPath))
  describe(`on ${name}: the crash rule`, () => crashRule(newPath))
}

function works(newPath: () => string): void {
  let web: Process
  let worker: Process
  beforeAll(async () => {
    const path = newPath()
    web = await world.process({ path, work: false })
    worker = await world.process({ path, concurrency: 1 })
  })

  /** Submits a task that occupies the one slot of the worker. */
  async function occupy(): Promise<string> {
    const id = await web.submit('hold')
    await worker.tells('called', id)
    return id
  }

  it('the one waits for what the other does', async () => {
    const id = await occupy()
    const waited = web.ask('wait', id)
    const result = web.ask('result', id)
    assert.equal((await web.ask('status', id)).state, 'running')
    await worker.ask('release', id, 'done')
    assert.equal((await waited).output, 'done')
    assert.equal(await result, 'done')
  })

  it('onIdle of the one waits for what the other runs, and its counts are those of both', async () => {
    const id = await occupy()
    let idle = false
    const waiting = web.ask('onIdle').then(() => {
      idle = true
    })
    const { running } = await web.ask<TaskCounts>('counts')
    assert.deepEqual([running, idle], [1, false])
    await worker.ask('release', id, 'done')
    await waiting
    assert.equal((await web.ask<TaskCounts>('counts')).running, 0)
  })

  it('a cancel reaches the handler with its reason', async () => {
    const id = await occupy()
    const waited = web.ask('wait', id)
    assert.equal((await web.ask('cancel', id, { reason: 'withdrawn' })).state, 'running')
    const { state, error } = await waited
    assert.equal(state, 'cancelled')
    assert.match(error?.message ?? '', /withdrawn/)
    await worker.tells('cancelled', id)
    assert.equal(web.tellings('cancelled', id).length, 0, 'events tell what the own process did')
  })

  it('a cancel with force gives up on a handler that does not listen, and frees its slot', async () => {
    const id = await web.submit('deaf')
    await worker.tells('called', id)
    await web.ask('cancel', id, { force: true })
    const { state, error } = await web.ask('wait', id)
    assert.deepEqual([state, error?.code], ['cancelled', 'ABANDONED'])
    await web.ask('wait', await web.submit('return'))
  })

  it('setPriority changes what the other takes next', async () => {
    const id = await occupy()
    const [a, b, c] = [await web.submit('return'), await web.submit('return'), await web.submit('return')]
    await web.ask('setPriority', c, 5)
    await worker.ask('release', id, 'done')
    await web.ask('onIdle')
    await worker.tells('succeeded', b)
    const order = worker.tellings('started').slice(-4)
    assert.deepEqual(
      order.map((told) => told.id),
      [id, c, a, b],
    )
  })

  it('a pause by one holds the other, and resume lets it go on at once', async () => {
    await web.ask('pause')
    const id = await web.submit('return')
    const own = await worker.submit('return')
    assert.deepEqual(
      [(await worker.ask('status', id)).state, (await worker.ask('status', own)).state],
      ['queued', 'queued'],
    )
    await web.ask('resume')
    await web.ask('onIdle')
    assert.equal((await web.ask('status', own)).state, 'succeeded')
  })

  it('a hold that one tells is seen by the other, and ends', async () => {
    const id = await web.submit('sick')
    await worker.tells('held', 'work')
    await web.ask('wait', id)
    await worker.tells('unheld', 'work')
    assert.equal((await web.ask('status', id)).output, 'well')
  })

  it('close settles those who wait, and the process ends by itself', async () => {
    const path = newPath()
    const alone = await world.process({ path, work: false })
    const id = await alone.submit('return')
    const waited = alone.ask('wait', id).catch((error) => error.code)
    await alone.ask('close')
    assert.equal(await waited, 'RUNNER_CLOSED')
    await alone.ask('leave')
    await alone.ended()
    assert.equal(alone.exitCode, 0)
  })
}

function manyAtOnce(newPath: () => string): void {
  it('one hundred submits of one key from four processes make one task', async () => {
    const path = newPath()
    const processes = await Promise.all([1, 2, 3, 4].map(() => world.process({ path })))
    const submitted = await Promise.all(processes.map((each) => each.submits(25, 'return', { key: 'the order' })))
    const all = submitted.flat()
    assert.equal(new Set(all.map(({ id }) => id)).size, 1)
    assert.equal(all.filter(({ deduplicated }) => !deduplicated).length, 1)
    await Promise.all(processes.map((each) => each.ask('onIdle')))
    assert.equal(processes.flatMap((each) => each.tellings('called')).length, 1)
    await Promise.all(processes.map((each) => each.kill()))
  })

  it('a hundred tasks among four processes run once each', async () => {
    const path = newPath()
    const processes = await Promise.all([1, 2, 3, 4].map(() => world.process({ path, concurrency: 3 })))
    await Promise.all(processes.map((each) => each.submits(25, 'return')))
    await Promise.all(processes.map((each) => each.ask('onIdle')))
    const called = processes.flatMap((each) => each.tellings('called'))
    assert.deepEqual([called.length, new Set(called.map(({ id }) => id)).size], [100, 100])
    await Promise.all(processes.map((each) => each.kill()))
  })
}

function crashRule(newPath: () => string): void {
  /** One who submits and looks on, and starts others. */
  async function family(): Promise<{ web: Process; worker: () => Promise<Process> }> {
    const path = newPath()
    const settings = { path, lease: 600 }
    return { web: await world.process({ ...settings, work: false }), worker: () => world.process(settings) }
  }
  const outcomes = ({ attempts }: TaskRecord): unknown[] => attempts.map(({ outcome }) => outcome)

  /** A worker that is killed as soon as it has called the handlers of these tasks. */
  async function killedWith(worker: Promise<Process>, ...ids: string[]): Promise<void> {
    const process = await worker
    for (const id of ids) await process.tells('called', id)
    await process.kill()
  }

  it(
    'a task that kills its process alone ends CRASHED, after three deaths; others succeed',
    async () => {
      const { web, worker } = await family()
      const others = await web.submits(20, 'slow')
      const poison = await web.submit('die')
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
      for (const { id } of others) assert.equal((await web.ask('status', id)).state, 'succeeded')
    },
    SLOW,
  )

  it(
    'one that was asked to stop, and whose process has died, is cancelled',
    async () => {
      const { web, worker } = await family()
      const id = await web.submit('deaf')
      const first = await worker()
      await first.tells('called', id)
      await web.ask('cancel', id, { reason: 'withdrawn' })
      await first.kill()
      const second = await worker()
      const record = await web.ask('wait', id)
      assert.equal(record.state, 'cancelled')
      assert.equal(second.tellings('called', id).length, 0)
    },
    SLOW,
  )

  it(
    'after two deaths in a row it runs beside no other such task, and waits without using an attempt',
    async () => {
      const { web, worker } = await family()
      const [a, b] = [await web.submit('hold'), await web.submit('hold')]
      await killedWith(worker(), a, b)
      await killedWith(worker(), a, b)
      const third = await worker()
      const first = await Promise.race([a, b].map((id) => third.tells('called', id)))
      const [now, then] = first.id === a ? [a, b] : [b, a]
      const c = await web.submit('hold')
      await third.tells('called', c)
      assert.equal(third.tellings('called', then).length, 0)
      await new Promise((resolve) => setTimeout(resolve, 1_500)) // it is tried again in vain
      assert.equal(third.tellings('called', then).length, 0)
      await third.ask('release', now, 'alive')
      await third.tells('called', then)
      for (const id of [then, c]) await third.ask('release', id, 'alive')
      for (const id of [a, b]) {
        const record = await web.ask('wait', id)
        assert.deepEqual([record.attempt, outcomes(record)], [3, ['crashed', 'crashed', 'succeeded']])
      }
    },
    SLOW,
  )

  it(
    'a verdict clears the count',
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
}
