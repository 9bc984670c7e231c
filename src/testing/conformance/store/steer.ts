/** `find`, `list`, and the verbs: they answer with the record as they wrote it, and refuse what cannot be. */
import assert from 'node:assert/strict'
import type { ListQuery, Store } from '../../../index.js'
import { ids, lacks, pathsOf, refused, same } from '../tools.js'
import { again, begun, counts, drained, ENDS, ended, found, NOW, type Shelf, type ShelfBody } from './shelf.js'

const settled = async (work: () => unknown): Promise<unknown> => work()

async function listed(store: Store, query: Partial<ListQuery> = {}): Promise<string[]> {
  return ids((await store.list({ limit: 50, ...query })).tasks)
}

/** A task in each state, by its state. */
async function oneOfEach(shelf: Shelf, store: Store): Promise<Record<string, string>> {
  const all: Record<string, string> = {}
  for (const [state, outcome] of Object.entries(ENDS)) all[state] = (await ended(shelf, store, outcome)).id
  await shelf.put(store)
  all['running'] = (await begun(store)).id
  all['queued'] = (await shelf.put(store)).id
  all['scheduled'] = (await shelf.put(store, { delay: 60_000 })).id
  return all
}

export const steer: Readonly<Record<string, ShelfBody>> = {
  'an unknown id: find gives undefined, remove false, all else TaskNotFoundError': async (shelf) => {
    const store = await shelf.store()
    for (const id of ['unknown', '', '__proto__', "' OR 1=1 --", 'x'.repeat(10_000)]) {
      assert.equal(await store.find(id), undefined)
      same(await store.remove(id), false, 'what remove answers')
      await refused(
        settled(() => store.cancel(id, {}, NOW)),
        'TASK_NOT_FOUND',
      )
      await refused(
        settled(() => store.retry(id, NOW, NOW)),
        'TASK_NOT_FOUND',
      )
      await refused(
        settled(() => store.setPriority(id, 1)),
        'TASK_NOT_FOUND',
      )
    }
  },

  'counts tells how many tasks are in each state': async (shelf) => {
    const store = await shelf.store()
    await counts(store, {})
    await oneOfEach(shelf, store)
    await counts(store, { queued: 1, scheduled: 1, running: 1, succeeded: 1, failed: 1, cancelled: 1 })
  },

  'list gives records newest first, chosen by states, names and tags': async (shelf) => {
    const store = await shelf.store()
    const all = await oneOfEach(shelf, store)
    await shelf.put(store, { id: 'a', name: 'mail', extras: { tags: ['x', 'y'] } })
    await shelf.put(store, { id: 'b', name: 'mail', extras: { tags: ['x'] }, delay: 1_000 })
    assert.deepEqual((await listed(store)).slice(0, 3), ['b', 'a', all['scheduled']])
    assert.deepEqual(await listed(store, { states: ['running', 'failed'] }), [all['running'], all['failed']])
    assert.deepEqual(await listed(store, { names: ['mail'] }), ['b', 'a'])
    assert.deepEqual(await listed(store, { names: ['mail', 'unknown'], states: ['queued'] }), ['a'])
    assert.deepEqual(await listed(store, { tags: ['x'] }), ['b', 'a'])
    assert.deepEqual(await listed(store, { tags: ['y', 'x'] }), ['a'])
    assert.deepEqual(await listed(store, { tags: ['%'] }), [])
    const { tasks } = await store.list({ limit: 1 })
    assert.deepEqual(
      tasks.map(({ id, state, tags, runAt, attempts }) => [id, state, tags, runAt, attempts]),
      [['b', 'scheduled', ['x'], NOW + 1_000, []]],
    )
  },

  'a cursor neither skips nor repeats, while tasks come, go and change': async (shelf) => {
    const store = await shelf.store()
    const newest = (await shelf.putMany(store, 20)).reverse()
    const seen: string[] = []
    for (let cursor: string | undefined; ; ) {
      const page = await store.list({ limit: 6, ...(cursor !== undefined && { cursor }) })
      seen.push(...ids(page.tasks))
      if (page.next === undefined) break
      cursor = page.next
      for (const { id } of page.tasks.slice(3)) {
        await store.cancel(id, {}, NOW)
        await store.remove(id)
      }
      await shelf.putMany(store, 3)
      await store.setPriority(newest[seen.length] ?? '', 9)
    }
    assert.deepEqual(seen, newest)
    assert.equal((await store.list({ limit: 21 })).next, undefined, 'a full last page has no next')
    for (const cursor of ['', 'nonsense', "' OR 1=1 --"])
      assert.deepEqual(
        pathsOf(
          await refused(
            settled(() => store.list({ limit: 6, cursor })),
            'INVALID_INPUT',
          ),
        ),
        ['cursor'],
        `${cursor} is no cursor`,
      )
  },

  'cancel ends a task that waits, and asks for the end of one that runs': async (shelf) => {
    const store = await shelf.store()
    const all = await oneOfEach(shelf, store)
    for (const state of ['queued', 'scheduled']) {
      const { record, effect } = await store.cancel(all[state] ?? '', { reason: 'withdrawn' }, NOW + 5)
      assert.deepEqual(
        [effect, record.state, record.finishedAt, record.cancelRequestedAt, record.error?.code],
        ['cancelled', 'cancelled', NOW + 5, NOW + 5, 'TASK_CANCELLED'],
      )
      assert.match(record.error?.message ?? '', /withdrawn/)
    }
    for (const later of [5, 9]) {
      const { record, effect } = await store.cancel(all['running'] ?? '', { force: later === 9 }, NOW + later)
      assert.deepEqual([effect, record.state, record.cancelRequestedAt], ['asked', 'running', NOW + 5])
    }
    for (const state of ['succeeded', 'failed', 'cancelled'])
      await refused(
        settled(() => store.cancel(all[state] ?? '', {}, NOW)),
        'INVALID_STATE',
      )
    await counts(store, { running: 1, succeeded: 1, failed: 1, cancelled: 3 })
    assert.deepEqual(await drained(store, NOW + 60_000), [], 'what was cancelled is not claimed')
  },

  'retry gives a failed or cancelled task a new budget, at once or later, and refuses the others': async (shelf) => {
    const store = await shelf.store()
    const all = await oneOfEach(shelf, store)
    const now = await store.retry(all['failed'] ?? '', NOW + 5, NOW + 5)
    assert.deepEqual([now.state, now.runAt, now.attempt, now.maxAttempts], ['queued', NOW + 5, 1, 4])
    lacks(now, 'error', 'finishedAt', 'cancelRequestedAt')
    const later = await store.retry(all['cancelled'] ?? '', NOW + 900, NOW + 5)
    assert.deepEqual([later.state, later.runAt], ['scheduled', NOW + 900])
    for (const state of ['queued', 'scheduled', 'running', 'succeeded'])
      await refused(
        settled(() => store.retry(all[state] ?? '', NOW, NOW)),
        'INVALID_STATE',
      )
    await counts(store, { queued: 2, scheduled: 2, running: 1, succeeded: 1 })
    assert.equal((await found(store, now.id)).extras?.retries, 1)
    assert.deepEqual(await drained(store, NOW + 900), [all['queued'], all['failed'], all['cancelled']])
  },

  'setPriority moves what waits, and refuses what does not': async (shelf) => {
    const store = await shelf.store()
    const all = await oneOfEach(shelf, store)
    await shelf.put(store, { id: 'other', priority: 3 })
    assert.equal((await store.setPriority(all['queued'] ?? '', 3)).priority, 3)
    const record = await store.setPriority(all['scheduled'] ?? '', 5)
    assert.deepEqual([record.state, record.priority], ['scheduled', 5])
    for (const state of ['running', 'succeeded', 'failed', 'cancelled'])
      await refused(
        settled(() => store.setPriority(all[state] ?? '', 1)),
        'INVALID_STATE',
      )
    assert.deepEqual(await drained(store, NOW + 60_000), [all['scheduled'], all['queued'], 'other'])
  },

  'remove takes away what has ended, and frees its id and its key': async (shelf) => {
    const store = await shelf.store()
    const all = await oneOfEach(shelf, store)
    for (const state of ['queued', 'scheduled', 'running'])
      await refused(
        settled(() => store.remove(all[state] ?? '')),
        'INVALID_STATE',
      )
    for (const state of ['succeeded', 'failed', 'cancelled']) {
      const id = all[state] ?? ''
      same(await store.remove(id), true, 'what remove answers')
      same(await store.remove(id), false, 'what remove answers')
      assert.equal(await store.find(id), undefined)
    }
    await counts(store, { queued: 1, scheduled: 1, running: 1 })
    const keyed = await shelf.put(store, { id: 'mine', extras: { key: 'k' } })
    await store.cancel(keyed.id, {}, NOW)
    await store.remove(keyed.id)
    const [inserted] = await store.insert([shelf.task({ id: 'mine', name: 'other', extras: { key: 'k' } })], NOW)
    same(inserted?.deduplicated, false, 'it is deduplicated')
  },

  'a task that was retried and ended again is one task': async (shelf) => {
    const store = await shelf.store()
    const { id } = await ended(shelf, store, ENDS.failed)
    await store.retry(id, NOW, NOW)
    await store.settle(await begun(store), again(NOW), NOW)
    await store.settle(await begun(store), ENDS.succeeded, NOW)
    await counts(store, { succeeded: 1 })
    same(await store.remove(id), true, 'what remove answers')
    await counts(store, {})
  },
}
