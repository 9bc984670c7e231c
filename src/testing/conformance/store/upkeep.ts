/** `prune` and `close`: what goes, what stays, and what a durable store still has when it is opened again. */
import assert from 'node:assert/strict'
import type { RetentionPolicy, Store } from '../../../index.js'
import { nth, same } from '../tools.js'
import { again, begun, counts, drained, ENDS, ended, found, looked, NOW, returned, type ShelfBody } from './shelf.js'

const FOR_EVER = Number.MAX_SAFE_INTEGER
/** So many come after one task that a store may tell them in steps. */
const MANY = 1_500

function policy(some: Partial<RetentionPolicy>): RetentionPolicy {
  return { succeeded: FOR_EVER, failed: FOR_EVER, cancelled: FOR_EVER, count: undefined, ...some }
}

/** Prunes until there is no more; gives all ids that went. */
async function pruned(store: Store, retention: Partial<RetentionPolicy>, now: number): Promise<string[]> {
  const all: string[] = []
  for (let i = 0; i < 10_000; i++) {
    const { ids, more } = await store.prune(policy(retention), now)
    all.push(...ids)
    if (!more) return all
  }
  assert.fail('prune says 10 000 times that there is more')
}

export const upkeep: Readonly<Record<string, ShelfBody>> = {
  'prune takes what ended longer ago than its end allows, and tells which': async (shelf) => {
    const store = await shelf.store()
    const tasks: Record<string, string> = {}
    for (const [state, outcome] of Object.entries(ENDS)) tasks[state] = (await ended(shelf, store, outcome)).id
    const retention = { succeeded: 300, failed: 100, cancelled: 200 }
    assert.deepEqual(await pruned(store, retention, NOW + 99), [], 'no status is lost early')
    assert.deepEqual(await pruned(store, retention, NOW + 100), [tasks['failed']])
    assert.deepEqual(await pruned(store, retention, NOW + 250), [tasks['cancelled']])
    assert.deepEqual(await pruned(store, retention, NOW + 300), [tasks['succeeded']])
    await counts(store, {})
    for (const id of Object.values(tasks)) assert.equal(await store.find(id), undefined)
    assert.deepEqual((await store.list({ limit: 10 })).tasks, [])
  },

  'prune leaves the count that ended last': async (shelf) => {
    const store = await shelf.store()
    const all: string[] = []
    for (const [n, outcome] of [ENDS.succeeded, ENDS.failed, ENDS.succeeded, ENDS.cancelled, ENDS.failed].entries())
      all.push((await ended(shelf, store, outcome, NOW + n)).id)
    assert.deepEqual((await pruned(store, { count: 2 }, NOW + 10)).sort(), all.slice(0, 3).sort())
    assert.deepEqual(await pruned(store, { count: 2 }, NOW + 10), [])
    assert.deepEqual((await pruned(store, { count: 0 }, NOW + 10)).sort(), all.slice(3).sort())
  },

  'all that come after one hear of its end, also if it is removed or pruned before that, or tried again': async (
    shelf,
  ) => {
    const store = await shelf.store()
    const put = async (count: number): Promise<readonly [string, string]> => {
      const { id } = await shelf.put(store, { delay: 1_000 })
      const children = await shelf.putAfter(store, count, id)
      await store.cancel(id, {}, NOW)
      return [id, children.at(-1) as string]
    }
    const [removed, last] = await put(MANY)
    assert.equal(await store.remove(removed), true)
    await looked(store, NOW)
    await counts(store, { cancelled: MANY })
    assert.match((await found(store, last)).error?.message ?? '', new RegExp(removed))

    await pruned(store, { cancelled: 0 }, NOW)
    await put(MANY)
    await store.prune(policy({ cancelled: 0 }), NOW)
    await looked(store, NOW)
    await pruned(store, { cancelled: 0 }, NOW)
    await counts(store, {})

    const [retried] = await put(MANY)
    await store.retry(retried, NOW, NOW)
    assert.equal((await begun(store)).id, retried)
    await counts(store, { running: 1, cancelled: MANY })
  },

  'one that was cancelled itself and is tried again hears no more of an end from before': async (shelf) => {
    const store = await shelf.store()
    const { id } = await shelf.put(store, { delay: 1_000 })
    const child = (await shelf.putAfter(store, MANY, id)).at(-1) as string
    await store.cancel(id, {}, NOW)
    await store.cancel(child, {}, NOW)
    await store.retry(child, NOW, NOW)
    assert.equal((await begun(store)).id, child)
    await counts(store, { running: 1, cancelled: MANY })
  },

  'prune never takes what has not ended, and counts it for nothing': async (shelf) => {
    const store = await shelf.store()
    await shelf.put(store)
    await begun(store)
    await shelf.put(store, { delay: 1 })
    const retried = await ended(shelf, store, ENDS.failed)
    await store.retry(retried.id, NOW + 1, NOW)
    await shelf.put(store)
    assert.deepEqual(await pruned(store, { succeeded: 0, failed: 0, cancelled: 0, count: 0 }, NOW + 1e12), [])
    await counts(store, { running: 1, scheduled: 2, queued: 1 })
  },

  'very many that are over go in several steps, each of them once': async (shelf) => {
    const store = await shelf.store()
    const all = await shelf.putMany(store, 2_500)
    for (const id of all) await store.cancel(id, {}, NOW)
    const gone = await pruned(store, { count: 10 }, NOW)
    assert.equal(gone.length, 2_490)
    assert.equal(new Set(gone).size, 2_490)
    await counts(store, { cancelled: 10 })
  },

  'what was pruned has freed its id and its key': async (shelf) => {
    const store = await shelf.store()
    const { id } = await shelf.put(store, { id: 'mine', extras: { key: 'k' } })
    await store.cancel(id, {}, NOW)
    await pruned(store, { count: 0 }, NOW)
    const [inserted] = await store.insert([shelf.task({ id: 'mine', extras: { key: 'k' } })], NOW)
    same(inserted?.deduplicated, false, 'it is deduplicated')
  },

  'close takes leave, with tasks in every state': async (shelf) => {
    const store = await shelf.store()
    await ended(shelf, store, ENDS.succeeded)
    await shelf.put(store, { delay: 1_000 })
    await shelf.putMany(store, 2)
    const task = await begun(store)
    await shelf.close(store, [task])
  },
}

export const restart: Readonly<Record<string, ShelfBody>> = {
  'what was stored is there when the storage is opened again': async (shelf) => {
    const first = await shelf.store()
    const done = await ended(shelf, first, ENDS.succeeded)
    await shelf.put(first, { id: 'again' })
    const task = await begun(first)
    await first.save(task, { done: 1 })
    await first.settle(task, again(NOW + 500), NOW)
    await shelf.put(first, { id: 'later', delay: 1_000 })
    await shelf.put(first, { id: 'plain', input: { a: [1] }, extras: { key: 'k', tags: ['x'], metadata: 7 } })
    await shelf.put(first, { id: 'urgent', priority: 1 })
    const before = await first.list({ limit: 10 })
    await shelf.close(first)
    const second = await shelf.store()
    assert.deepEqual(await second.list({ limit: 10 }), before)
    assert.deepEqual((await found(second, done.id)).output, { a: 1 })
    assert.deepEqual((await found(second, 'again')).extras?.saved, { done: 1 })
    const [inserted] = await second.insert([shelf.task({ extras: { key: 'k' } })], NOW)
    assert.deepEqual([inserted?.id, inserted?.deduplicated], ['plain', true])
    assert.deepEqual(await looked(second, NOW), { ready: 2, nextDue: NOW + 500, idle: false, more: false })
    assert.deepEqual(await drained(second, NOW + 1_000), ['urgent', 'plain', 'again', 'later'])
  },

  'a pause is there when the storage is opened again': async (shelf) => {
    const first = await shelf.store()
    await first.pause(true)
    await shelf.putMany(first, 1)
    await shelf.close(first)
    const second = await shelf.store()
    assert.equal((await looked(second, NOW)).ready, 0)
    await second.pause(false)
    assert.equal((await drained(second, NOW)).length, 1)
  },

  'what was abandoned waits again when the storage is opened again, and counts as no death': async (shelf) => {
    let store = await shelf.store()
    const { id } = await shelf.put(store)
    for (let n = 1; n <= 4; n++) {
      const task = await returned(store)
      assert.deepEqual([task.id, task.attempt, task.maxAttempts, task.extras?.deaths ?? 0], [id, n, 2 + n, 0])
      await shelf.close(store, [task])
      store = await shelf.store()
    }
    assert.equal((await returned(store)).attempt, 5)
    assert.equal(nth((await store.list({ limit: 1 })).tasks, 0).attempts.length, 5)
  },
}
