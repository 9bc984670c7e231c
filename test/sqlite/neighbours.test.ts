/**
 * The moments between two processes on one file at which something could be missed. The other process is a connection of
 * the test's own, so that what it does comes exactly then.
 */
import assert from 'node:assert/strict'
import type { Store } from 'background-runner'
import { afterAll, afterEach, beforeEach, describe, it, vi } from 'vitest'
import { systemClock } from '../../src/clock.js'
import type { NewTask } from '../../src/engine.js'
import type { Database } from '../../src/sqlite/driver.js'
import { SqliteStore } from '../../src/sqlite/sqlite-store.js'
import { TaskTable } from '../../src/sqlite/task-table.js'
import { Workers } from '../../src/sqlite/workers.js'
import { connect } from './support/connection.js'
import { World } from './support/process.js'

const world = new World()
afterAll(() => world.end())

type Settings = Parameters<SqliteStore['open']>[0]
type Task = Awaited<ReturnType<SqliteStore['find']>>

const admission = { open: ['work'], take: () => {}, give: () => {} }
const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve))

let made = 0
const newTask = (more: Partial<NewTask> = {}): NewTask => ({
  id: `task-${++made}`,
  order: made,
  idIsNew: true,
  name: 'work',
  input: undefined,
  priority: 0,
  delay: 0,
  runAt: undefined,
  maxAttempts: 1,
  extras: undefined,
  ...more,
})

describe('a store beside another process', () => {
  let store: SqliteStore
  let other: Database
  let path: string
  let told: { changed: (readonly string[] | 'any')[]; lost: readonly unknown[] }

  beforeEach(async () => {
    path = world.path()
    told = { changed: [], lost: [] }
    store = new SqliteStore({ path, durability: 'process', lease: 600_000 })
    await store.open({
      clock: systemClock,
      random: Math.random,
      maxPending: Number.POSITIVE_INFINITY,
      limits: new Map(),
      resources: new Map(),
      names: ['work'],
      work: true,
      host: {
        changed: (ids) => void told.changed.push(ids),
        lost: (tasks) => {
          told.lost = tasks
        },
        cancelled: () => {},
        recovered: () => {},
        fault: (error) => assert.fail(String(error)),
      },
    } satisfies Settings)
    other = await connect(path)
  })
  afterEach(async () => {
    other.close()
    await store.close([])
  })

  /** The other process opens the file; or takes this one for dead. */
  const register = (): number =>
    other.prepare("INSERT INTO workers (boot, pid, lease) VALUES ('elsewhere', 1, 600000)").run().inserted
  const bury = (): void => {
    other.exec('BEGIN IMMEDIATE')
    other.exec('DELETE FROM workers')
    other.exec('UPDATE tasks SET state = 0, worker = NULL WHERE state = 2')
    other.exec('UPDATE counts SET n = (SELECT count(*) FROM tasks WHERE tasks.state = counts.state)')
    other.exec('COMMIT')
  }
  const one = (sql: string): unknown => Object.values(other.prepare(sql).get() ?? {})[0]
  const claimed = async (): Promise<NonNullable<Task>> => (await store.claim(admission, 1)) as NonNullable<Task>
  const workerOf = (task: NonNullable<Task>): unknown => one(`SELECT worker FROM tasks WHERE seq = ${task.seq}`)

  it('writes for one that has just opened the file what its very next commit changes', async () => {
    await store.insert([newTask()], 1)
    const task = await claimed()
    assert.equal(one('SELECT count(*) FROM feed'), 0, 'nobody reads it')
    register()
    await store.settle(task, { type: 'succeeded', output: undefined }, 2)
    assert.deepEqual(JSON.parse(String(one('SELECT ids FROM feed'))), [task.id])
  })

  it('and so it does if a read was the first to notice the other', async () => {
    await store.insert([newTask()], 1)
    register()
    await store.counts()
    await store.insert([newTask()], 1)
    assert.equal(one('SELECT count(*) FROM feed'), 1)
  })

  it('claims nothing under a number that was buried, whoever noticed it first', async () => {
    await store.insert([newTask(), newTask()], 1)
    const before = await claimed()
    bury()
    await store.counts()
    const after = await claimed()
    assert.equal(after.id, before.id, 'it was put back')
    assert.notEqual(after.worker, before.worker)
    assert.equal(workerOf(after), one('SELECT id FROM workers'))
    assert.deepEqual(told.lost, [before], 'and not what it has claimed since')
    assert.ok(told.changed.includes('any'), 'what has changed in between nobody has written down')
    assert.equal(await store.settle(before, { type: 'succeeded', output: 'late' }, 2), undefined)
    assert.equal(await store.settle(after, { type: 'succeeded', output: 'in time' }, 2), 'succeeded')
  })

  it('saves nothing for an attempt that was taken over, and does not say that it has', async () => {
    await store.insert([newTask()], 1)
    const task = await claimed()
    await store.save(task, { sent: 1 })
    bury()
    await assert.rejects(store.save(task, { sent: 2 }), { code: 'INVALID_STATE', message: /it can save no more/ })
    await store.progress(task, 0.5) // nobody hangs on it
    assert.deepEqual([one('SELECT saved FROM tasks'), one('SELECT progress FROM tasks')], ['{"sent":1}', null])
    assert.deepEqual(task.extras?.saved, { sent: 1 })
  })

  it('takes no number that it could not register under: another may have it', async () => {
    await store.insert([newTask()], 1)
    bury()
    // The group begins under a new number, and comes to nothing.
    await assert.rejects(store.insert([newTask({ priority: {} as never })], 1))
    const taken = register()
    const task = await claimed()
    assert.equal(one('SELECT count(*) FROM workers'), 2)
    assert.notEqual(workerOf(task), taken)
  })

  it('tells all of a long feed, some of it in a turn', async () => {
    const worker = register()
    await store.counts()
    await turn()
    const add = other.prepare('INSERT INTO feed (worker, ids) VALUES (?, ?)')
    other.exec('BEGIN')
    for (let n = 0; n < 1_200; n++) add.run(worker, JSON.stringify([`a-${n}`, `b-${n}`]))
    other.exec('COMMIT')
    await store.counts()
    const ids = (): Set<string> => new Set(told.changed.flat())
    while (ids().size < 2_400) await turn()
    assert.ok(told.changed.every(({ length }) => length <= 1_000))
  })

  it('puts back as it closes what it has claimed and not begun', async () => {
    await store.insert([newTask()], 1)
    const task = await claimed()
    await store.close([])
    assert.deepEqual([one('SELECT state FROM tasks'), workerOf(task)], [0, null])
    assert.equal(one('SELECT count(*) FROM workers'), 0)
    store = new SqliteStore({ path, durability: 'process', lease: 600_000 })
    store.close = () => Promise.resolve()
  })
})

describe('who takes another process for dead', () => {
  const LEASE = 6_000
  let workers: Workers
  let database: Database
  let now: number

  beforeEach(async () => {
    const path = world.path()
    const store = new SqliteStore({ path, durability: 'process', lease: LEASE }) as unknown as Store
    const host = { fault: () => {} }
    await store.open({ clock: systemClock, random: Math.random, maxPending: 1, names: [], work: false, host } as never)
    await store.close([])
    database = await connect(path)
    now = 1_000_000
    vi.spyOn(systemClock, 'monotonic').mockImplementation(() => now)
    workers = new Workers(database, LEASE, undefined)
    workers.register()
    workers.departed()
  })
  afterEach(() => {
    vi.restoreAllMocks()
    database.close()
  })

  const join = (more: { lease?: number; boot?: string } = {}): number =>
    database
      .prepare('INSERT INTO workers (boot, pid, lease) VALUES (?, 1, ?)')
      .run(more.boot ?? 'elsewhere', more.lease ?? LEASE).inserted
  /** Looks as often as it should, for so long; says after how many ms it was taken for dead. */
  const lookFor = (ms: number, id: number): number | undefined => {
    for (const since = now; now < since + ms; ) {
      now += workers.lookEvery
      if (workers.departed().some((departed) => departed.id === id)) return now - since
    }
    return undefined
  }

  it('waits a lease, and no longer than a lease and a half', () => {
    const took = lookFor(2 * LEASE, join())
    assert.ok(took !== undefined && took > LEASE && took <= 1.5 * LEASE, `it took ${took} ms`)
  })

  it('waits for ever for one that beats', () => {
    const id = join()
    for (let beat = 0; beat < 20; beat++) {
      assert.equal(lookFor(LEASE / 3, id), undefined)
      database.prepare('UPDATE workers SET beat = beat + 1 WHERE id = ?').run(id)
    }
  })

  it('looks as often as the shortest lease of all asks for', () => {
    assert.equal(workers.lookEvery, 1_000)
    const took = lookFor(10_000, join({ lease: 600 }))
    assert.ok(took !== undefined && took <= 1_000 + 1.5 * 600, `it took ${took} ms`)
  })

  it('does not trust its own clock where it was held itself: the other gets the time to move', () => {
    const id = join()
    workers.departed()
    now += 3_600_000 // the machine slept
    assert.deepEqual(workers.departed(), [])
    database.prepare('UPDATE workers SET beat = beat + 1 WHERE id = ?').run(id)
    now += 1_000
    assert.deepEqual(workers.departed(), [])
  })

  it('buries nobody who has moved since he was looked at, and nobody twice', () => {
    const table = new TaskTable(database, { limits: new Map(), resources: new Map(), clock: systemClock })
    const id = join()
    lookFor(2 * LEASE, id)
    const departed = { id, beat: 0, crashed: true }
    database.prepare('UPDATE workers SET beat = 7 WHERE id = ?').run(id)
    workers.bury(departed, table, 1)
    assert.equal(workers.look().length, 1)
    workers.bury({ ...departed, beat: 7 }, table, 1)
    assert.equal(workers.look().length, 0)
    assert.deepEqual(workers.bury({ ...departed, beat: 7 }, table, 1), [])
  })
})
