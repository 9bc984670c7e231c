/**
 * Thousands that come after one, on a file: they are told of its end in many transactions, and whatever becomes of the
 * process that does, each of them is told, and once. Stores without an engine: nothing goes on unless it is looked.
 */
import assert from 'node:assert/strict'
import { copyFileSync } from 'node:fs'
import { EngineError, type NewTask } from 'background-runner'
import { describe, it } from 'vitest'
import { systemClock } from '../../src/clock.js'
import { SqliteStore } from '../../src/sqlite/sqlite-store.js'
import { nextTurn } from '../../src/testing/real-time.js'
import { connect } from './support/connection.js'
import { place } from './support/place.js'

const at = place()
/** Many times what is told in one transaction; and the middle is in the middle of what one tells. */
const MANY = 1_100

/** Ids of what has ended with what it came after, as the processes heard it. */
const heard: string[] = []

async function open(path: string = at.path): Promise<SqliteStore> {
  const store = new SqliteStore({ path, durability: 'process', lease: 600_000 })
  await store.open({
    clock: systemClock,
    random: () => 0.5,
    maxPending: Number.POSITIVE_INFINITY,
    limits: new Map(),
    resources: new Map(),
    names: ['work'],
    work: true,
    host: {
      changed: () => {},
      lost: () => {},
      cancelled: () => {},
      recovered: (event, { id }) => void heard.push(`${event} ${id}`),
      fault: (error) => assert.fail(String(error)),
    },
  })
  at.after(() => store.close([]))
  return store
}

const task = (id: string, after?: string): NewTask => ({
  id,
  order: 0,
  idIsNew: true,
  name: 'work',
  input: undefined,
  priority: 0,
  delay: 0,
  runAt: undefined,
  maxAttempts: 1,
  extras: after === undefined ? undefined : { after: [after] },
})

/** Stores one task, and those that come after it, or one after the other; its end is told to some. */
async function halfTold(store: SqliteStore, shape: 'family' | 'chain' = 'family'): Promise<void> {
  heard.length = 0
  const after = (i: number): string => (shape === 'family' ? 'c0' : `c${i - 1}`)
  await store.insert([task('c0'), ...Array.from({ length: MANY }, (_, i) => task(`c${i + 1}`, after(i + 1)))], 0)
  await store.cancel('c0', {}, 0)
  const { cancelled, queued } = await store.counts()
  assert.ok(cancelled > 1 && queued > MANY / 2, `of ${MANY} ${cancelled - 1} are told in one transaction`)
}

/** Looks until nothing is left to do, as an engine does. */
async function looked(...stores: SqliteStore[]): Promise<void> {
  for (let left = true; left; ) {
    const outlooks = await Promise.all(stores.map((store) => store.outlook(0)))
    left = outlooks.some(({ more }) => more)
    assert.equal(outlooks.every(({ idle }) => idle) && left, false, 'none is idle while there is more to tell')
  }
  await nextTurn()
}

async function allTold(store: SqliteStore): Promise<void> {
  assert.deepEqual(
    { ...(await store.counts()) },
    {
      queued: 0,
      scheduled: 0,
      running: 0,
      succeeded: 0,
      failed: 0,
      cancelled: MANY + 1,
    },
  )
  const database = await connect(at.path)
  at.after(() => database.close())
  assert.equal(database.prepare('SELECT count(*) AS n FROM parents').get()?.['n'], 0)
  assert.equal(database.prepare("SELECT count(*) AS n FROM meta WHERE key = 'untold'").get()?.['n'], 0)
}

describe('the end of one that thousands come after', () => {
  it('is told to the rest by the next process, where the one that told it has left', async () => {
    const store = await open()
    await halfTold(store)
    await store.close([])
    const next = await open()
    const claimed = await next.claim({ open: ['work'], take: () => {}, give: () => {} }, 0)
    assert.equal(claimed, undefined, 'nothing is claimed before all are told')
    await looked(next)
    await allTold(next)
  })

  it('is told to the rest where that process was killed', async () => {
    await halfTold(await open(`${at.path}.killed`))
    for (const part of ['', '-wal']) copyFileSync(`${at.path}.killed${part}`, `${at.path}${part}`)
    const next = await open()
    await looked(next)
    await allTold(next)
  })

  it('is told by all who have the file open, to each once', async () => {
    const [store, other] = [await open(), await open()]
    await halfTold(store)
    await looked(store, other)
    await allTold(other)
    assert.equal(heard.length, MANY)
    assert.equal(new Set(heard).size, MANY)
  })

  for (const shape of ['family', 'chain'] as const) {
    it(`is told once and to all of a ${shape}, where a transaction comes to nothing in the middle`, async () => {
      const store = await open()
      await halfTold(store, shape)
      const disk = await connect(at.path)
      at.after(() => disk.close())
      disk.exec(`CREATE TRIGGER full BEFORE UPDATE ON tasks WHEN NEW.id = 'c${MANY / 2}'
                 BEGIN SELECT RAISE(ABORT, 'the disk is full'); END`)
      await assert.rejects(looked(store), EngineError)
      disk.exec('DROP TRIGGER full')
      await looked(store)
      await allTold(store)
      assert.equal(heard.length, MANY)
      assert.equal(new Set(heard).size, MANY)
    })
  }

  it('is named by explain until it is told', async () => {
    const store = await open()
    await halfTold(store)
    const last = await store.find(`c${MANY}`)
    assert.ok(last)
    assert.deepEqual((await store.explain(last, ['work'], [], 0))[0], { type: 'after', tasks: ['c0'] })
  })
})
