/** A process that only submits, steering the tasks that another one runs. */
import assert from 'node:assert/strict'
import type { TaskCounts } from 'background-runner'
import { afterAll, beforeAll, describe, it } from 'vitest'
import { type Process, World } from './support/process.js'

const world = new World()
afterAll(() => world.end())

describe('a process that only submits, and one that works', () => {
  let web: Process
  let worker: Process
  beforeAll(async () => {
    const path = world.path()
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
    assert.equal((await web.ask('status', id)).state, 'succeeded')
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

  it('a second cancel may add the force', async () => {
    const id = await web.submit('deaf')
    await worker.tells('called', id)
    await web.ask('cancel', id)
    await worker.tells('unresponsive', id)
    await web.ask('cancel', id, { force: true })
    assert.equal((await web.ask('wait', id)).error?.code, 'ABANDONED')
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

  it('a pause by one holds the other, and resume lets it go on', async () => {
    await web.ask('pause')
    const id = await web.submit('return')
    // Whatever the worker does from its next commit on, it does paused.
    const own = await worker.submit('return')
    assert.deepEqual(
      [(await worker.ask('status', id)).state, (await worker.ask('status', own)).state],
      ['queued', 'queued'],
    )
    await web.ask('resume')
    await web.ask('onIdle')
    assert.equal((await web.ask('status', own)).state, 'succeeded')
  })
})

describe('a process with nothing else to do', () => {
  it('that only submits ends by itself when its runner is closed', async () => {
    const web = await world.process({ path: world.path(), work: false })
    await web.submit('return')
    await web.ask('close')
    await web.ask('leave')
    await web.ended()
    assert.equal(web.exitCode, 0)
  })

  it('that works lives, and works, until its runner is closed', async () => {
    const path = world.path()
    const worker = await world.process({ path })
    const web = await world.process({ path, work: false })
    await worker.ask('leave')
    const id = await web.submit('return')
    assert.equal((await web.ask('wait', id)).output, `done by ${worker.pid}`)
    worker.signal('SIGTERM')
    await worker.ended()
    assert.equal(worker.exitCode, 0)
  })
})

describe('many at once', () => {
  it('one hundred submits of one key from four processes make one task', async () => {
    const path = world.path()
    const processes = await Promise.all([1, 2, 3, 4].map(() => world.process({ path })))
    const submitted = await Promise.all(processes.map((each) => each.submits(25, 'return', { key: 'the order' })))
    const all = submitted.flat()
    assert.equal(all.length, 100)
    assert.equal(new Set(all.map(({ id }) => id)).size, 1)
    assert.equal(all.filter(({ deduplicated }) => !deduplicated).length, 1)
    await Promise.all(processes.map((each) => each.ask('onIdle'))) // and each has told all that it did
    assert.equal(processes.flatMap((each) => each.tellings('called')).length, 1, 'and it ran once')
    assert.equal((await processes[0]?.ask<TaskCounts>('counts'))?.succeeded, 1)
  })

  it('a hundred tasks among four processes run once each', async () => {
    const path = world.path()
    const processes = await Promise.all([1, 2, 3, 4].map(() => world.process({ path, concurrency: 3 })))
    await Promise.all(processes.map((each) => each.submits(25, 'return')))
    await Promise.all(processes.map((each) => each.ask('onIdle'))) // and each has told all that it did
    const called = processes.flatMap((each) => each.tellings('called'))
    assert.deepEqual([called.length, new Set(called.map(({ id }) => id)).size], [100, 100])
  })
})
