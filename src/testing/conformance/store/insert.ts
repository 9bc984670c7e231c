/** `insert`: all or none, idempotent on id and key, and never more than `maxPending` tasks that wait. */
import assert from 'node:assert/strict'
import type { NewTask } from '../../../index.js'
import { codeOf, ids, nth, refused } from '../tools.js'
import { begun, counts, found, NOW, type ShelfBody } from './shelf.js'

const settled = async (work: () => unknown): Promise<unknown> => work()

export const insert: Readonly<Record<string, ShelfBody>> = {
  'insert tells of each task in the order in which they were given, and keeps it whole': async (shelf) => {
    const store = await shelf.store()
    const extras = {
      metadata: { tenant: 7 },
      tags: ['a', 'b'],
      context: 'r-1',
      timeout: 5_000,
      retry: { attempts: 2, maxAge: 9 },
    }
    const tasks = [shelf.task({ input: { to: ['ada'] }, priority: -3, extras }), shelf.task({ name: 'other' })]
    const inserted = await store.insert(tasks, NOW)
    assert.deepEqual(ids(inserted), ids(tasks))
    assert.deepEqual(
      inserted.map(({ deduplicated, task }) => [deduplicated, task.id, task.state]),
      tasks.map(({ id }) => [false, id, 'queued']),
    )
    const task = await found(store, nth(tasks, 0).id)
    assert.deepEqual(
      [task.name, task.state, task.input, task.priority, task.attempt, task.maxAttempts, task.createdAt, task.runAt],
      ['work', 'queued', { to: ['ada'] }, -3, 0, 3, NOW, NOW],
    )
    assert.deepEqual([task.output, task.error], [undefined, undefined])
    assert.ok(task.startedAt === 0 && task.finishedAt === 0, 'it has neither begun nor ended')
    for (const [field, value] of Object.entries(extras))
      assert.deepEqual((task.extras as Record<string, unknown>)[field], value, field)
    await counts(store, { queued: 2 })
    assert.deepEqual(await store.insert([], NOW), [])
  },

  'a task with a delay or a runAt is scheduled for then; one whose time has passed is queued, and due now': async (
    shelf,
  ) => {
    const store = await shelf.store()
    const born = async (options: Partial<NewTask>): Promise<unknown[]> => {
      const { state, runAt } = await shelf.put(store, options)
      return [state, runAt - NOW]
    }
    assert.deepEqual(await born({ delay: 5_000 }), ['scheduled', 5_000])
    assert.deepEqual(await born({ runAt: NOW + 7_000 }), ['scheduled', 7_000])
    assert.deepEqual(await born({ runAt: NOW }), ['queued', 0])
    assert.deepEqual(await born({ runAt: NOW - 7_000 }), ['queued', 0])
    await counts(store, { queued: 2, scheduled: 2 })
  },

  'a task whose id or key exists is answered with that one, whatever its state': async (shelf) => {
    const store = await shelf.store()
    const first = await shelf.put(store, { id: 'mine', extras: { key: 'k' } })
    for (const state of ['queued', 'running', 'succeeded']) {
      if (state === 'running') await begun(store)
      if (state === 'succeeded') await store.settle(await found(store, first.id), { type: 'succeeded', output: 1 }, NOW)
      for (const options of [{ id: 'mine' }, { extras: { key: 'k' } }, { id: 'mine', extras: { key: 'k' } }]) {
        const [again] = await store.insert([shelf.task({ input: 'other', ...options })], NOW)
        assert.deepEqual([again?.id, again?.deduplicated, again?.task.state], ['mine', true, state])
      }
    }
    await counts(store, { succeeded: 1 })
  },

  'a key belongs to the name of its task': async (shelf) => {
    const store = await shelf.store()
    const one = await shelf.put(store, { extras: { key: 'k' } })
    const other = await shelf.put(store, { name: 'other', extras: { key: 'k' } })
    assert.notEqual(one.id, other.id)
    await counts(store, { queued: 2 })
  },

  'an id or key that stands twice in one insert makes one task, the first': async (shelf) => {
    const store = await shelf.store()
    const tasks = [
      shelf.task({ id: 'x', input: 1 }),
      shelf.task({ id: 'x', input: 2 }),
      shelf.task({ extras: { key: 'k' } }),
      shelf.task({ extras: { key: 'k' } }),
    ]
    const inserted = await store.insert(tasks, NOW)
    const byKey = nth(tasks, 2).id
    assert.deepEqual(
      inserted.map(({ id, deduplicated }) => [id, deduplicated]),
      [
        ['x', false],
        ['x', true],
        [byKey, false],
        [byKey, true],
      ],
    )
    assert.equal((await found(store, 'x')).input, 1)
    await counts(store, { queued: 2 })
  },

  'an id of another name, and an id and a key of two tasks, are refused, and nothing is stored': async (shelf) => {
    const store = await shelf.store()
    await shelf.put(store, { id: 'mine' })
    await shelf.put(store, { id: 'second', extras: { key: 'k' } })
    const bad = [
      { id: 'mine', name: 'other' },
      { id: 'mine', extras: { key: 'k' } },
    ]
    for (const options of bad) {
      const tasks = [shelf.task(), shelf.task(options), shelf.task()]
      await refused(
        settled(() => store.insert(tasks, NOW)),
        'INVALID_STATE',
      )
    }
    const twisted = [
      shelf.task({ id: 'x', extras: { key: 'a' } }),
      shelf.task({ id: 'y', extras: { key: 'b' } }),
      shelf.task({ id: 'y', extras: { key: 'a' } }),
    ]
    await refused(
      settled(() => store.insert(twisted, NOW)),
      'INVALID_STATE',
    )
    await counts(store, { queued: 2 })
    assert.equal(await store.find('x'), undefined)
  },

  'more than maxPending that wait are refused with QueueFullError, all or none': async (shelf) => {
    const store = await shelf.store(3)
    await shelf.putMany(store, 1)
    await shelf.put(store, { delay: 1_000 })
    const full = await settled(() => store.insert([shelf.task(), shelf.task()], NOW)).then(() => 'stored', codeOf)
    assert.equal(full, 'QUEUE_FULL')
    await counts(store, { queued: 1, scheduled: 1 })
    await begun(store)
    await store.insert([shelf.task(), shelf.task()], NOW)
    await counts(store, { queued: 2, scheduled: 1, running: 1 })
  },

  'maxPending counts what is new, and once what stands twice in one insert': async (shelf) => {
    const store = await shelf.store(2)
    await shelf.put(store, { id: 'x', extras: { key: 'a' } })
    await store.insert([shelf.task({ id: 'x' }), shelf.task({ id: 'y' }), shelf.task({ id: 'y' })], NOW)
    const [again] = await store.insert([shelf.task({ extras: { key: 'a' } })], NOW)
    assert.deepEqual([again?.id, again?.deduplicated], ['x', true], 'what exists is told even where there is no room')
    await refused(
      settled(() => store.insert([shelf.task({ extras: { key: 'b' } })], NOW)),
      'QUEUE_FULL',
    )
    await refused(
      settled(() => store.insert([shelf.task()], NOW)),
      'QUEUE_FULL',
    )
    await counts(store, { queued: 2 })
  },
}
