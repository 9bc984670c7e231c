/** The methods of a store that keeps schedules: what is kept of each, and that an occurrence is submitted once. */
import assert from 'node:assert/strict'
import type { NewTask, ScheduleRecord, Store } from '../../../index.js'
import { ids, refused } from '../tools.js'
import { counts, found, NOW, type Shelf, type ShelfBody } from './shelf.js'

const MINUTE = 60_000

const TICK: ScheduleRecord = {
  id: 'tick',
  task: 'work',
  input: { b: [1, null], a: '\u0000\ud800' },
  cron: '* * * * *',
  timezone: 'Europe/Berlin',
  overlap: 'queue',
  next: NOW + MINUTE,
}

type Keeper = Store & Required<Pick<Store, 'putSchedule' | 'removeSchedule' | 'schedules' | 'fireSchedule'>>

async function keeper(shelf: Shelf, maxPending?: number): Promise<Keeper> {
  const store = await shelf.store(maxPending)
  for (const method of ['putSchedule', 'removeSchedule', 'schedules', 'fireSchedule'] as const)
    assert.equal(typeof store[method], 'function', `a store that keeps schedules has ${method}`)
  return store as Keeper
}

/** The schedule, read and fired for the minute after. Gives the ids of what it inserted, or undefined. */
async function fired(store: Keeper, schedule: ScheduleRecord, task?: NewTask): Promise<string[] | undefined> {
  const inserted = await store.fireSchedule(schedule, schedule.next + MINUTE, task, NOW)
  return inserted && ids(inserted)
}

export const schedules: Readonly<Record<string, ShelfBody>> = {
  'putSchedule keeps a schedule whole, and schedules gives them by id': async (shelf) => {
    const store = await keeper(shelf)
    assert.deepEqual(await store.schedules(), [])
    const every: ScheduleRecord = { id: 'often', task: 'other', every: 5_000, overlap: 'skip', next: NOW + 5_000 }
    await store.putSchedule(TICK)
    await store.putSchedule(every)
    await store.putSchedule({ ...every, id: 'B' })
    assert.deepEqual(await store.schedules(), [{ ...every, id: 'B' }, every, TICK])
  },

  'putSchedule with the same spec changes nothing; another spec is taken, and what was last is kept': async (shelf) => {
    const store = await keeper(shelf)
    await store.putSchedule(TICK)
    await store.putSchedule({ ...TICK, next: NOW + 9_000 })
    assert.deepEqual(await store.schedules(), [TICK])
    assert.deepEqual(await fired(store, TICK, shelf.task({ id: 'a' })), ['a'])
    const changed: ScheduleRecord = { ...TICK, input: 2, next: NOW + 9_000 }
    await store.putSchedule(changed)
    assert.deepEqual(await store.schedules(), [{ ...changed, last: TICK.next, lastTask: 'a' }])
  },

  'removeSchedule says whether there was one, and forgets what was last': async (shelf) => {
    const store = await keeper(shelf)
    await store.putSchedule(TICK)
    await fired(store, TICK, shelf.task())
    assert.equal(await store.removeSchedule('other'), false)
    assert.equal(await store.removeSchedule(TICK.id), true)
    assert.equal(await store.removeSchedule(TICK.id), false)
    assert.deepEqual(await store.schedules(), [])
    await store.putSchedule(TICK)
    assert.deepEqual(await store.schedules(), [TICK])
  },

  'fireSchedule inserts the task and sets the time; without a task it sets the time alone': async (shelf) => {
    const store = await keeper(shelf)
    await store.putSchedule(TICK)
    assert.deepEqual(await fired(store, TICK, shelf.task({ id: 'a', input: 1 })), ['a'])
    const { state, input } = await found(store, 'a')
    assert.deepEqual([state, input], ['queued', 1])
    const second: ScheduleRecord = { ...TICK, next: TICK.next + MINUTE, last: TICK.next, lastTask: 'a' }
    assert.deepEqual(await store.schedules(), [second])
    assert.deepEqual(await fired(store, second), [])
    assert.deepEqual(await store.schedules(), [{ ...second, next: second.next + MINUTE }])
    await counts(store, { queued: 1 })
  },

  'of many that fire one schedule at one moment one does; as does none where it has changed or is gone': async (
    shelf,
  ) => {
    const store = await keeper(shelf)
    await store.putSchedule(TICK)
    const all = await Promise.all(Array.from({ length: 5 }, () => fired(store, TICK, shelf.task())))
    assert.equal(all.filter((each) => each !== undefined).length, 1)
    const [second] = await store.schedules()
    assert.ok(second !== undefined, 'it is there')
    await store.putSchedule({ ...second, every: 1_000 })
    assert.equal(await fired(store, second, shelf.task()), undefined, 'it has changed, its time has not')
    await store.removeSchedule(TICK.id)
    assert.equal(await fired(store, second, shelf.task()), undefined, 'it is gone')
    await counts(store, { queued: 1 })
  },

  'a task that is there is answered by fireSchedule, and not inserted again': async (shelf) => {
    const store = await keeper(shelf)
    await shelf.put(store, { id: 'a', input: 'mine' })
    await store.putSchedule(TICK)
    assert.deepEqual(await fired(store, TICK, shelf.task({ id: 'a' })), ['a'])
    assert.equal((await found(store, 'a')).input, 'mine')
    assert.equal((await store.schedules())[0]?.lastTask, 'a')
    await counts(store, { queued: 1 })
  },

  'what fireSchedule cannot insert leaves the schedule as it was': async (shelf) => {
    const store = await keeper(shelf, 1)
    await shelf.put(store, { id: 'a', name: 'other' })
    await store.putSchedule(TICK)
    const fire = async (task: NewTask): Promise<unknown> => store.fireSchedule(TICK, TICK.next + MINUTE, task, NOW)
    await refused(fire(shelf.task()), 'QUEUE_FULL')
    await refused(fire(shelf.task({ id: 'a' })), 'INVALID_STATE')
    assert.deepEqual(await store.schedules(), [TICK])
    await counts(store, { queued: 1 })
  },

  'a durable store has its schedules when the storage is opened anew': async (shelf) => {
    const store = await keeper(shelf)
    if (!store.capabilities.durable) return
    await store.putSchedule(TICK)
    await fired(store, TICK, shelf.task({ id: 'a' }))
    const before = await store.schedules()
    await shelf.close(store)
    const again = await keeper(shelf)
    assert.deepEqual(await again.schedules(), before)
    await again.putSchedule(TICK)
    assert.deepEqual(await again.schedules(), before)
  },
}
