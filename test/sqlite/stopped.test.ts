/** A process that is stopped for longer than its lease (SIGSTOP, a paused container) is taken for dead, and lives. */
import assert from 'node:assert/strict'
import { afterAll, describe, it } from 'vitest'
import { connect } from './support/connection.js'
import { type Process, World } from './support/process.js'

const world = new World()
afterAll(() => world.end())

const LEASE = 500

/** Two workers with one slot each; the first one holds these tasks, is stopped, and has lost them to the second. */
async function takenOver(
  deed: 'hold' | 'deaf',
  count: number,
): Promise<{
  path: string
  stopped: Process
  other: Process
  ids: string[]
}> {
  const path = world.path()
  const stopped = await world.process({ path, lease: LEASE, concurrency: count })
  const ids = (await stopped.submits(count, deed)).map(({ id }) => id)
  for (const id of ids) await stopped.tells('called', id)
  const other = await world.process({ path, lease: LEASE, concurrency: count })
  stopped.signal('SIGSTOP')
  for (const id of ids) await other.tells('called', id)
  return { path, stopped, other, ids }
}

describe('a process that was stopped for longer than its lease', () => {
  it('has lost its tasks: its late results are refused, and those of the one that took them over count', async () => {
    const { stopped, other, ids } = await takenOver('deaf', 3)
    stopped.signal('SIGCONT')
    for (const id of ids) await stopped.ask('release', id, 'late')
    for (const id of ids) await stopped.tells('stalled', id)
    assert.equal((await other.ask('status', ids[0])).state, 'running')
    for (const id of ids) await other.ask('release', id, 'in time')
    for (const id of ids) {
      const { output, attempts } = await stopped.ask('wait', id)
      const outcomes = attempts.map(({ outcome }) => outcome)
      assert.deepEqual([output, outcomes], ['in time', ['released', 'succeeded']], 'and no crash is counted')
    }
    assert.deepEqual(stopped.tellings('succeeded'), [])
  })

  it('is told so at once: handlers that listen end, as a lost lease', async () => {
    const { stopped, other, ids } = await takenOver('hold', 1)
    stopped.signal('SIGCONT')
    await stopped.tells('stalled', ids[0])
    await other.ask('release', ids[0], 'in time')
    assert.equal((await stopped.ask('wait', ids[0])).output, 'in time')
  })

  it('works on under another number', async () => {
    const { path, stopped, ids } = await takenOver('hold', 1)
    const database = await connect(path)
    const number = (): unknown => database.prepare('SELECT id FROM workers WHERE pid = ?').get(stopped.pid)?.['id']
    assert.equal(number(), undefined)
    stopped.signal('SIGCONT')
    await stopped.tells('stalled', ids[0])
    assert.ok(Number(number()) > 2)
    database.close()
    const id = await stopped.submit('return') // the slot of the other is taken
    assert.equal((await stopped.ask('wait', id)).output, `done by ${stopped.pid}`)
  })

  it('does not wait in vain for what has ended in between', async () => {
    const path = world.path()
    const web = await world.process({ path, lease: LEASE, work: false })
    const worker = await world.process({ path, lease: LEASE })
    const id = await web.submit('hold')
    await worker.tells('called', id)
    const waited = web.ask('wait', id)
    await web.ask('status', id) // asked after it: the wait has begun
    web.signal('SIGSTOP')
    const database = await connect(path)
    const rows = (): unknown => database.prepare('SELECT count(*) AS n FROM workers').get()?.['n']
    while (rows() !== 1) await worker.ask('counts')
    // Until the other has noticed that it is alone, and writes for nobody what it does.
    const beat = (): number => Number(database.prepare('SELECT beat FROM workers').get()?.['beat'])
    for (const before = beat(); beat() < before + 2; ) await worker.ask('counts')
    database.close()
    await worker.ask('release', id, 'done')
    await worker.tells('succeeded', id)
    web.signal('SIGCONT')
    assert.equal((await waited).output, 'done')
  })
})
