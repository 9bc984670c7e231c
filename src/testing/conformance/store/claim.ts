/** `outlook` and `claim`: what is due, in which order it is taken, and that it is taken once. */
import assert from 'node:assert/strict'
import type { Store } from '../../../index.js'
import { again, begun, claimed, counts, Doorman, drained, ENDS, found, looked, NOW, type ShelfBody } from './shelf.js'

/** Enough for more than one step of a store that makes tasks due in steps. */
const MANY = 2_500

export const claim: Readonly<Record<string, ShelfBody>> = {
  'claim takes the highest priority, then what became due first, then what was submitted first': async (shelf) => {
    const store = await shelf.store()
    const put = (id: string, priority: number, delay: number): Promise<unknown> =>
      shelf.put(store, { id, priority, delay })
    await put('due at 3', 0, 3)
    await put('due at 1', 0, 1)
    await put('urgent', 5, 4)
    await put('due at 0', 0, 0)
    await put('also at 1', 0, 1)
    await put('last', -1, 0)
    await put('not due', 9, 6)
    assert.deepEqual(await drained(store, NOW + 5), ['urgent', 'due at 0', 'due at 1', 'also at 1', 'due at 3', 'last'])
  },

  'the order holds across names': async (shelf) => {
    const store = await shelf.store()
    for (const [id, name, priority] of [
      ['a', 'work', 0],
      ['b', 'other', 1],
      ['c', 'other', 0],
      ['d', 'work', 1],
    ] as const)
      await shelf.put(store, { id, name, priority })
    assert.deepEqual(await drained(store, NOW, new Doorman('work', 'other')), ['b', 'd', 'a', 'c'])
  },

  'what is claimed is running: one attempt more, begun now, without an error': async (shelf) => {
    const store = await shelf.store()
    await shelf.put(store)
    await store.settle(await begun(store), again(NOW + 1_000), NOW)
    const task = await begun(store, NOW + 1_000)
    assert.deepEqual([task.state, task.attempt, task.startedAt, task.error], ['running', 2, NOW + 1_000, undefined])
    const kept = await found(store, task.id)
    assert.deepEqual([kept.state, kept.attempt, kept.startedAt], ['running', 2, NOW + 1_000])
    await counts(store, { running: 1 })
  },

  'many claims at one moment take each task once': async (shelf) => {
    const store = await shelf.store()
    const ids = await shelf.putMany(store, 10)
    await looked(store, NOW)
    const doorman = new Doorman('work')
    const tasks = await Promise.all(Array.from({ length: 25 }, () => store.claim(doorman, NOW)))
    const taken = tasks.flatMap((task) => (task === undefined ? [] : [task.id]))
    assert.deepEqual(taken.sort(), ids.sort())
    assert.equal(doorman.taken.length, 10, 'names told to the admission')
    await counts(store, { running: 10 })
  },

  'claim takes only names that are admitted, and tells the admission of what it took': async (shelf) => {
    const store = await shelf.store()
    await shelf.put(store, { id: 'a', name: 'mail', priority: 9 })
    await shelf.put(store, { id: 'b', name: 'resize' })
    const doorman = new Doorman('resize', 'unheard of')
    assert.equal((await claimed(store, NOW, doorman))?.id, 'b')
    assert.equal(await claimed(store, NOW, doorman), undefined)
    assert.deepEqual(doorman.taken, ['resize'])
    doorman.open = []
    assert.equal(await claimed(store, NOW, doorman), undefined)
    doorman.open = ['resize', 'mail']
    assert.equal((await claimed(store, NOW, doorman))?.id, 'a')
    assert.deepEqual(doorman.taken, ['resize', 'mail'])
  },

  'a name that the admission closes as it is told of a claim is not claimed again': async (shelf) => {
    const store = await shelf.store()
    await shelf.putMany(store, 3)
    await shelf.put(store, { id: 'other', name: 'other' })
    await looked(store, NOW)
    const doorman = new Doorman('work', 'other')
    doorman.take = (name) => {
      doorman.taken.push(name)
      doorman.open = doorman.open.filter((each) => each !== name)
    }
    await Promise.all(Array.from({ length: 4 }, () => store.claim(doorman, NOW)))
    assert.deepEqual(doorman.taken, ['work', 'other'])
  },

  'nothing is claimed before it is due': async (shelf) => {
    const store = await shelf.store()
    await shelf.put(store, { delay: 5_000 })
    assert.equal(await claimed(store, NOW + 4_999), undefined)
    await counts(store, { scheduled: 1 })
    assert.equal((await claimed(store, NOW + 5_000))?.state, 'running')
  },

  'a pause holds all claims, and what runs can be settled': async (shelf) => {
    const store = await shelf.store()
    await shelf.putMany(store, 2)
    const task = await begun(store)
    await store.pause(true)
    await store.pause(true)
    assert.equal((await looked(store, NOW)).ready, 0, 'nothing is ready')
    assert.equal(await claimed(store), undefined)
    await store.settle(task, { type: 'succeeded', output: 1 }, NOW)
    await counts(store, { queued: 1, succeeded: 1 })
    await store.pause(false)
    assert.equal((await looked(store, NOW)).ready, 1)
    assert.equal((await claimed(store))?.state, 'running')
  },

  'outlook tells how many may be claimed, when the next becomes due, and whether anything is left': async (shelf) => {
    const store = await shelf.store()
    assert.deepEqual(await looked(store, NOW), { ready: 0, nextDue: undefined, idle: true, more: false })
    const late = await shelf.put(store, { delay: 9_000 })
    await shelf.put(store, { delay: 5_000 })
    assert.deepEqual(await looked(store, NOW), { ready: 0, nextDue: NOW + 5_000, idle: false, more: false })
    await shelf.putMany(store, 2)
    assert.deepEqual(await looked(store, NOW), { ready: 2, nextDue: NOW + 5_000, idle: false, more: false })
    assert.deepEqual(await looked(store, NOW + 5_000), { ready: 3, nextDue: NOW + 9_000, idle: false, more: false })
    const running = []
    for (let n = 0; n < 3; n++) running.push(await begun(store, NOW + 5_000))
    await store.cancel(late.id, {}, NOW)
    assert.deepEqual(await looked(store, NOW), { ready: 0, nextDue: undefined, idle: false, more: false }, 'three run')
    for (const task of running) await store.settle(task, { type: 'succeeded', output: 1 }, NOW)
    assert.deepEqual(await looked(store, NOW), { ready: 0, nextDue: undefined, idle: true, more: false })
  },

  'what is to be tried again is looked out for': async (shelf) => {
    const store = await shelf.store()
    await shelf.put(store)
    await store.settle(await begun(store), again(NOW + 3_000), NOW)
    assert.equal((await looked(store, NOW)).nextDue, NOW + 3_000)
    assert.equal((await looked(store, NOW + 3_000)).ready, 1)
  },

  'very many that become due at one moment may take several looks, and nothing is claimed before the last': async (
    shelf,
  ) => {
    const store = await shelf.store()
    await shelf.putMany(store, MANY - 1, { delay: 1_000 })
    await shelf.put(store, { id: 'urgent', delay: 1_000, priority: 1 })
    await areTaken(store, NOW + 1_000)
  },

  'very many that come after one may take several looks, and nothing is claimed before the last': async (shelf) => {
    const store = await shelf.store()
    const { id } = await shelf.put(store)
    const first = await begun(store)
    await shelf.putAfter(store, MANY - 1, id)
    await shelf.put(store, { id: 'urgent', priority: 1, extras: { after: [id] } })
    assert.equal(await claimed(store), undefined, 'nothing is claimed before it has ended')
    await store.settle(first, ENDS.succeeded, NOW)
    await areTaken(store, NOW)
  },
}

/** Looks and claims as long as there is more to look for, and takes them all: the urgent one first. */
async function areTaken(store: Store, now: number): Promise<void> {
  const ran: string[] = []
  let outlook = await store.outlook(now)
  for (; outlook.more; outlook = await store.outlook(now)) {
    assert.equal(outlook.ready, 0, 'nothing is ready while there is more')
    assert.equal(outlook.idle, false, 'nor is anything idle')
    // A claim may make some of them due, too; but none is taken before it is known to be the best of all.
    const task = await store.claim(new Doorman('work'), now)
    if (task !== undefined) ran.push(task.id)
  }
  assert.equal(outlook.ready + ran.length, MANY, 'all are ready at last')
  ran.push(...(await drained(store, now)))
  assert.equal(ran[0], 'urgent', 'the first one taken')
  assert.equal(new Set(ran).size, MANY, 'tasks that were taken')
}
