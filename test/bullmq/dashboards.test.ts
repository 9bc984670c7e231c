/** BullMQ's own view of the tasks, as its dashboards have it, and what they may do to them. */
import assert from 'node:assert/strict'
import { BackgroundRunner, defineTask, NonRetryableError } from 'background-runner'
import { createPostgresBackend, Queue } from 'bullmq'
import { afterAll, afterEach, beforeEach, it } from 'vitest'
import { engineAt } from '../support/engine-at.js'
import { type SharedServer, sharedServers } from '../support/servers.js'

const servers = await sharedServers()
afterAll(async () => {
  for (const server of servers) await server.end()
})

for (const server of servers) server.describe(`a Queue of BullMQ on ${server.name}`, () => suite(server))

const isOnPostgres = (path: string): boolean => path.startsWith('postgres')

/** Of whichever backend. @param path see `engineAt` */
function queueAt(path: string): Pick<Queue, keyof Queue> {
  const [url = '', prefix = '', name = 'tasks'] = path.split('#')
  if (!isOnPostgres(path)) return new Queue(`${name}.email`, { connection: { url }, prefix })
  const connection = { connectionString: url, schema: prefix }
  return new Queue(`${name}.email`, { connection }, createPostgresBackend) as unknown as Queue
}

function suite({ path: newPath }: SharedServer): void {
  let path = ''
  let queue: Pick<Queue, keyof Queue>
  let runner: ReturnType<typeof create>
  let well = false
  let release: (output: string) => void = () => {}

  function create(retention = {}) {
    const tasks = {
      email: defineTask({
        retry: { attempts: 1 },
        run: async (input: { to: string }, ctx): Promise<string> => {
          if (input.to === 'nobody' && !well) throw new NonRetryableError('there is nobody')
          if (input.to !== 'slow') return `sent to ${input.to}`
          ctx.progress({ done: 50 })
          return new Promise((resolve, reject) => {
            release = resolve
            ctx.signal.addEventListener('abort', () => reject(ctx.signal.reason))
          })
        },
      }),
    }
    return new BackgroundRunner({ tasks, engine: engineAt(path), retention })
  }

  beforeEach(async () => {
    path = newPath()
    well = false
    runner = create()
    await runner.ready() // which makes the tables
    queue = queueAt(path)
  })
  afterEach(async () => {
    await runner.close({ deadline: 0 })
    await queue.close()
  })

  /** PostgreSQL would change the order of keys, and refuses some characters: there it has the text. */
  const shown = (value: unknown): unknown => (isOnPostgres(path) ? JSON.stringify(value) : value)

  it('shows each state, with input, output, progress and reason', async () => {
    const sent = await runner.submit('email', { to: 'ann' }, { id: 'sent' })
    await sent.wait()
    await (await runner.submit('email', { to: 'nobody' }, { id: 'failed' })).wait()
    const later = await runner.submit('email', { to: 'bob' }, { id: 'later', delay: '1h' })
    await (await runner.submit('email', { to: 'eve' }, { id: 'gone', delay: '1h' })).cancel()
    const progress = new Promise((resolve) => runner.once('progress', resolve))
    const slow = await runner.submit('email', { to: 'slow' }, { id: 'slow' })
    await progress
    await runner.pause()
    await runner.submit('email', { to: 'zoe' }, { id: 'waits' })
    const { completed, failed, delayed, active } = await queue.getJobCounts()
    assert.deepEqual({ completed, failed, delayed, active }, { completed: 1, failed: 2, delayed: 1, active: 1 })
    const job = async (id: string) => {
      const found = await queue.getJob(`t-${id}`)
      assert.ok(found, id)
      return found
    }
    const done = await job(sent.id)
    assert.deepEqual([done.name, done.data, done.returnvalue], ['email', shown({ to: 'ann' }), shown('sent to ann')])
    assert.deepEqual([await done.getState(), await (await job(later.id)).getState()], ['completed', 'delayed'])
    assert.match((await job('failed')).failedReason, /there is nobody/)
    assert.match((await job('gone')).failedReason, /cancelled/)
    assert.deepEqual((await job(slow.id)).progress, shown({ done: 50 }))
    assert.equal(await (await job('waits')).getState(), 'prioritized')
    assert.equal(await queue.isPaused(), true)
    await runner.resume()
    assert.equal(await queue.isPaused(), false)
    release('sent at last')
    assert.equal((await slow.wait()).output, 'sent at last')
    await runner.wait('waits')
    assert.deepEqual((await queue.getCompleted()).map(({ id }) => id).sort(), ['t-sent', 't-slow', 't-waits'])
  })

  it('may retry a task that has failed: it runs again', async () => {
    const task = await runner.submit('email', { to: 'nobody' })
    assert.equal((await task.wait()).state, 'failed')
    well = true
    const ended = new Promise((resolve) => runner.once('succeeded', resolve))
    await (await queue.getJob(`t-${task.id}`))?.retry()
    await ended
    const record = await task.status()
    assert.deepEqual([record?.state, record?.output], ['succeeded', 'sent to nobody'])
    assert.deepEqual(
      record?.attempts.map(({ outcome }) => outcome),
      ['failed', 'succeeded'],
    )
  })

  it('may retry a task that was cancelled: it runs again, and is kept as one that has succeeded', async () => {
    await runner.close()
    runner = create({ cancelled: 1 })
    const task = await runner.submit('email', { to: 'ann' }, { delay: '1h' })
    await runner.pause()
    await task.cancel()
    await (await queue.getJob(`t-${task.id}`))?.retry()
    const pruned = await runner.submit('email', { to: 'eve' }, { delay: '1h' })
    await pruned.cancel() // when this one goes, the other one stays
    await runner.wait(pruned.id).then(() => gone(pruned.id))
    assert.equal((await task.status())?.state, 'queued')
    await runner.resume()
    const record = await task.wait()
    assert.deepEqual([record.state, record.output], ['succeeded', 'sent to ann'])
    const { succeeded, failed, cancelled } = await runner.counts()
    assert.deepEqual({ succeeded, failed, cancelled }, { succeeded: 1, failed: 0, cancelled: 0 })
  })

  /** Resolves when a task has been pruned. */
  function gone(id: string): Promise<void> {
    return new Promise((resolve) => {
      const stop = runner.watch(async () => {
        if ((await runner.status(id)) !== undefined) return
        stop()
        resolve()
      })
    })
  }

  it('may remove a task: its key is free again', async () => {
    const task = await runner.submit('email', { to: 'ann' }, { key: 'order 7' })
    await task.wait()
    await (await queue.getJob(`t-${task.id}`))?.remove()
    const other = await runner.submit('email', { to: 'ann' }, { key: 'order 7' })
    assert.equal(other.deduplicated, false)
    assert.equal((await other.wait()).state, 'succeeded')
  })

  it('may promote and remove tasks that wait', async () => {
    const task = await runner.submit('email', { to: 'ann' }, { delay: '1h' })
    const other = await runner.submit('email', { to: 'bob' }, { delay: '1h' })
    const promoted = task.wait()
    await (await queue.getJob(`t-${task.id}`))?.promote()
    assert.equal((await promoted).output, 'sent to ann')
    await (await queue.getJob(`t-${other.id}`))?.remove()
    assert.equal(await other.status(), undefined)
    await assert.rejects(other.wait(), { code: 'TASK_NOT_FOUND' })
    assert.equal((await runner.list()).tasks.length, 1)
  })

  it('may remove tasks that somebody waits for, or obliterate all: they are told, though late, and new ones run', async () => {
    const slow = await runner.submit('email', { to: 'slow' })
    await new Promise((resolve) => runner.once('progress', resolve))
    const removed = await runner.submit('email', { to: 'bob' }, { delay: '1h' })
    const later = await runner.submit('email', { to: 'eve' }, { delay: '1h' })
    const waited = [slow, removed, later].map((task) => assert.rejects(task.wait(), { code: 'TASK_NOT_FOUND' }))
    await runner.counts() // they have been looked at, and are there
    await (await queue.getJob(`t-${removed.id}`))?.remove()
    await queue.obliterate({ force: true })
    release('sent in vain')
    await Promise.all(waited)
    assert.equal((await runner.list()).tasks.length, 0)
    assert.equal((await (await runner.submit('email', { to: 'ann' })).wait()).output, 'sent to ann')
  }, 30_000)

  it('may pause its tasks, and resume them', async () => {
    await queue.pause()
    const task = await runner.submit('email', { to: 'ann' })
    assert.deepEqual(
      (await runner.explain(task.id)).reasons.map(({ type }) => type),
      ['paused'],
    )
    await queue.resume()
    assert.equal((await task.wait()).output, 'sent to ann')
  })
}
