/** `settle`, `progress` and `save`: what becomes of a task when its attempt has ended, and what it wrote meanwhile. */
import assert from 'node:assert/strict'
import type { Outcome, Store, StoredTask, TaskRecord } from '../../../index.js'
import { lacks, nth } from '../tools.js'
import { again, begun, claimed, counts, drained, ENDS, error, found, NOW, type Shelf, type ShelfBody } from './shelf.js'

const END = NOW + 250

/** One task that ran for 250 ms and ended with `outcome`: the event, the task and its record. */
async function after(
  shelf: Shelf,
  outcome: Outcome,
  meanwhile: (store: Store, task: StoredTask) => Promise<unknown> = async () => undefined,
): Promise<{ store: Store; event: Awaited<ReturnType<Store['settle']>>; task: StoredTask; record: TaskRecord }> {
  const store = await shelf.store()
  const { id } = await shelf.put(store, { input: 'in' })
  const claimed = await begun(store)
  await meanwhile(store, claimed)
  const event = await store.settle(claimed, outcome, END)
  const task = await found(store, id)
  const record = nth((await store.list({ limit: 10 })).tasks, 0)
  return { store, event, task, record }
}

const attempt = (outcome: string, more: object = {}): object => ({
  number: 1,
  startedAt: NOW,
  finishedAt: END,
  outcome,
  ...more,
})

export const settle: Readonly<Record<string, ShelfBody>> = {
  'succeeded: it has its output, its end and its attempt': async (shelf) => {
    const { store, event, task, record } = await after(shelf, ENDS.succeeded)
    assert.equal(event, 'succeeded')
    assert.deepEqual([task.state, task.output, task.finishedAt], ['succeeded', { a: 1 }, END])
    assert.deepEqual(record.attempts, [attempt('succeeded')])
    lacks(record, 'error')
    await counts(store, { succeeded: 1 })
  },

  'succeeded without an output, with the error that says why': async (shelf) => {
    const { record } = await after(shelf, { type: 'succeeded', output: undefined, outputError: error('not JSON') })
    lacks(record, 'output')
    assert.deepEqual(record.outputError, error('not JSON'))
  },

  'the history tells of a timeout that fired': async (shelf) => {
    const { record } = await after(shelf, { ...ENDS.succeeded, timedOut: true })
    assert.deepEqual(record.attempts, [attempt('succeeded', { timedOut: true })])
  },

  'failed: it has its error and its end, and its budget may be told anew': async (shelf) => {
    const { store, event, record } = await after(shelf, { type: 'failed', error: error('no luck'), maxAttempts: 1 })
    assert.equal(event, 'failed')
    assert.deepEqual([record.state, record.finishedAt, record.maxAttempts], ['failed', END, 1])
    assert.deepEqual(record.error, error('no luck'))
    assert.deepEqual(record.attempts, [attempt('failed', { error: error('no luck') })])
    await counts(store, { failed: 1 })
  },

  'cancelled: it has its error, and the history has what the handler threw': async (shelf) => {
    const { store, event, record } = await after(shelf, {
      type: 'cancelled',
      error: error('cancelled'),
      thrown: error('stopped'),
    })
    assert.equal(event, 'cancelled')
    assert.deepEqual([record.state, record.finishedAt, record.error], ['cancelled', END, error('cancelled')])
    assert.deepEqual(record.attempts, [attempt('cancelled', { error: error('stopped') })])
    await counts(store, { cancelled: 1 })
  },

  'retry: it is scheduled, with the error of its attempt, which counts': async (shelf) => {
    const { store, event, record } = await after(shelf, again(END + 5_000))
    assert.equal(event, 'retrying')
    assert.deepEqual([record.state, record.runAt, record.attempt, record.maxAttempts], ['scheduled', END + 5_000, 1, 3])
    assert.deepEqual([record.error, record.finishedAt], [error('no luck'), undefined])
    assert.deepEqual(record.attempts, [attempt('retry', { error: error('no luck') })])
    await counts(store, { scheduled: 1 })
    assert.equal(await claimed(store, END + 4_999), undefined, 'it is not early')
    assert.equal((await begun(store, END + 5_000)).attempt, 2)
  },

  'retry of an attempt that does not count gives one more': async (shelf) => {
    const { record } = await after(shelf, again(END + 5_000, false))
    assert.deepEqual([record.attempt, record.maxAttempts], [1, 4])
  },

  'released: it is queued again in its old place, no attempt is used': async (shelf) => {
    const { store, event, record } = await after(shelf, { type: 'released' }, async (store) => {
      await shelf.put(store, { id: 'next' })
    })
    assert.equal(event, 'retrying')
    const released = await found(store, 'task-1')
    assert.deepEqual([released.state, released.attempt, released.maxAttempts, released.runAt], ['queued', 1, 4, NOW])
    assert.equal(record.id, 'next')
    await counts(store, { queued: 2 })
    assert.deepEqual(await drained(store, END), ['task-1', 'next'])
  },

  'a cancel that was accepted wins over every verdict but a success': async (shelf) => {
    const outcomes: Outcome[] = [ENDS.failed, again(END + 1), { type: 'released' }, ENDS.cancelled, ENDS.succeeded]
    for (const outcome of outcomes) {
      const { store, event, task } = await after(shelf, outcome, (store, { id }) =>
        Promise.resolve(store.cancel(id, { reason: 'withdrawn' }, NOW)),
      )
      const expected = outcome.type === 'succeeded' ? 'succeeded' : 'cancelled'
      assert.deepEqual([event, task.state], [expected, expected], `cancelled, then ${outcome.type}`)
      await store.remove(task.id)
      await counts(store, {})
      await shelf.close(store)
    }
  },

  'a second verdict on one attempt writes nothing': async (shelf) => {
    const { store, task } = await after(shelf, ENDS.succeeded)
    await (async () => store.settle(task, ENDS.failed, END + 1))().catch(() => undefined)
    const kept = await found(store, task.id)
    assert.deepEqual([kept.state, kept.output, kept.finishedAt], ['succeeded', { a: 1 }, END])
    await counts(store, { succeeded: 1 })
  },

  'progress and saved state are kept, the latest of each, and outlive the attempt': async (shelf) => {
    const { store, task, record } = await after(shelf, again(END), async (store, task) => {
      for (const n of [1, 2]) {
        await store.progress(task, { at: n })
        await store.save(task, { done: n })
        assert.deepEqual((await found(store, task.id)).extras?.progress, { at: n })
      }
    })
    assert.deepEqual([task.extras?.progress, task.extras?.saved], [{ at: 2 }, { done: 2 }])
    assert.deepEqual(record.progress, { at: 2 })
    assert.deepEqual((await begun(store, END)).extras?.saved, { done: 2 }, 'the next attempt has it')
  },

  'the history keeps the first and the last 20 attempts': async (shelf) => {
    const store = await shelf.store()
    await shelf.put(store)
    for (let n = 1; n <= 45; n++) await store.settle(await begun(store), n < 45 ? again(NOW) : ENDS.succeeded, NOW)
    const { attempts } = nth((await store.list({ limit: 1 })).tasks, 0)
    const kept = Array.from({ length: 45 }, (_, i) => i + 1).filter((n) => n <= 20 || n > 25)
    assert.deepEqual(
      attempts.map(({ number }) => number),
      kept,
    )
  },
}
