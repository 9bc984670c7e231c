/**
 * What a test of a store is given: stores over a storage of its own, tasks to put in, and what the local engine would
 * do around each call: it asks for the outlook until nothing more becomes due, and it tells the store which names it admits.
 */
import assert from 'node:assert/strict'
import type {
  Admission,
  NewTask,
  Outcome,
  SerializedError,
  Store,
  StoredTask,
  StoreHost,
  TaskCounts,
} from '../../../index.js'
import { sleep, stopwatch } from '../../real-time.js'
import { DAWN, VirtualClock } from '../../virtual-clock.js'
import { newStorage } from '../world.js'

/** Real ms for which is waited for what comes a little later. */
const PATIENCE = 3_000

/** The moment at which every test begins, epoch ms. */
export const NOW: number = DAWN

/** A case of the store suite. */
export type ShelfBody = (shelf: Shelf) => Promise<void>

/** Which names are admitted, as the local engine tells it, and what the store tells of it. */
export class Doorman implements Admission {
  /** The names of which another attempt may start. */
  open: readonly string[]
  /** The names that were taken, in their order. */
  readonly taken: string[] = []

  constructor(...open: string[]) {
    this.open = open
  }

  take(name: string): void {
    this.taken.push(name)
  }

  give(name: string): void {
    this.taken.splice(this.taken.lastIndexOf(name), 1)
  }
}

/** Whom a store tells what other processes did: here there are none. */
const host: StoreHost = {
  changed: () => {},
  cancelled: () => assert.fail('no task was cancelled elsewhere'),
  lost: () => assert.fail('no task was lost to another process'),
  recovered: () => {},
  fault: (fault) => {
    throw fault
  },
}

export class Shelf {
  readonly #create: (storage: string) => Store | Promise<Store>
  readonly #storage: string = newStorage()
  readonly #stores: Store[] = []
  #made = 0

  constructor(create: (storage: string) => Store | Promise<Store>) {
    this.#create = create
  }

  /** A store over the storage of the test, opened. */
  async store(maxPending: number = Number.POSITIVE_INFINITY): Promise<Store> {
    const store = await this.#create(this.#storage)
    await store.open({
      maxPending,
      limits: new Map(),
      resources: new Map(),
      names: ['work', 'other', 'mail', 'resize'],
      work: true,
      clock: new VirtualClock(),
      random: () => 0.5,
      host,
    })
    this.#stores.push(store)
    return store
  }

  /** Closes a store, as its engine does. */
  async close(store: Store, abandoned: readonly StoredTask[] = []): Promise<void> {
    this.#stores.splice(this.#stores.indexOf(store), 1)
    await store.close(abandoned)
  }

  async end(): Promise<void> {
    for (const store of this.#stores.splice(0)) await store.close([])
  }

  /** A task as the runner submits it. */
  task(options: Partial<NewTask> = {}): NewTask {
    const order = ++this.#made
    return {
      id: `task-${order}`,
      order,
      idIsNew: false,
      name: 'work',
      input: undefined,
      priority: 0,
      delay: 0,
      runAt: undefined,
      maxAttempts: 3,
      extras: undefined,
      ...options,
    }
  }

  /** Stores one task, and gives it. */
  async put(store: Store, options: Partial<NewTask> = {}, now: number = NOW): Promise<StoredTask> {
    const [inserted] = await store.insert([this.task(options)], now)
    if (inserted === undefined) assert.fail('insert tells of each task')
    return inserted.task
  }

  /** Stores many tasks of the name `work`. */
  async putMany(store: Store, count: number, options: Partial<NewTask> = {}): Promise<string[]> {
    const tasks = Array.from({ length: count }, () => this.task(options))
    await store.insert(tasks, NOW)
    return tasks.map(({ id }) => id)
  }

  /** Stores many tasks that come after this one. */
  async putAfter(store: Store, count: number, id: string): Promise<string[]> {
    const tasks = Array.from({ length: count }, () => this.task({ extras: { after: [id] } }))
    await store.insert(tasks, NOW)
    return tasks.map((task) => task.id)
  }
}

/** Looks until everything that is due can be claimed, as the local engine does on each turn. */
export async function looked(store: Store, now: number): Promise<Awaited<ReturnType<Store['outlook']>>> {
  for (let i = 0; i < 10_000; i++) {
    const outlook = await store.outlook(now)
    if (!outlook.more) return outlook
  }
  assert.fail('outlook says 10 000 times that there is more')
}

/** The one claim that a ticket makes. */
export async function claimed(
  store: Store,
  now: number = NOW,
  doorman: Doorman = new Doorman('work'),
): Promise<StoredTask | undefined> {
  await looked(store, now)
  return store.claim(doorman, now)
}

/** As `claimed`, where there must be one. */
export async function begun(store: Store, now: number = NOW): Promise<StoredTask> {
  const task = await claimed(store, now)
  if (task === undefined) assert.fail('a task is due, and claim gives it')
  return task
}

/** As `begun`, for what a store may give back a little later: a lease has to run out. */
export async function returned(store: Store): Promise<StoredTask> {
  for (const waited = stopwatch(); waited() < PATIENCE; await sleep(5)) {
    const task = await claimed(store)
    if (task !== undefined) return task
  }
  assert.fail(`what was abandoned can be claimed again within ${PATIENCE} ms`)
}

/** Claims one after the other until there is none; gives their ids. */
export async function drained(store: Store, now: number, doorman: Doorman = new Doorman('work')): Promise<string[]> {
  await looked(store, now)
  const ids: string[] = []
  for (;;) {
    const task = await store.claim(doorman, now)
    if (task === undefined) return ids
    ids.push(task.id)
  }
}

/** Puts a task to its end. */
export async function ended(shelf: Shelf, store: Store, how: Outcome, now: number = NOW): Promise<StoredTask> {
  await shelf.put(store, {}, now)
  const task = await begun(store, now)
  await store.settle(task, how, now)
  return task
}

/** The task as the store keeps it, which must be there. */
export async function found(store: Store, id: string): Promise<StoredTask> {
  const task = await store.find(id)
  if (task === undefined) assert.fail(`find gives the task ${id}`)
  return task
}

/** Fails unless the counts are these, and zero otherwise. */
export async function counts(store: Store, expected: Partial<TaskCounts>): Promise<void> {
  const none = { queued: 0, scheduled: 0, running: 0, succeeded: 0, failed: 0, cancelled: 0 }
  assert.deepEqual({ ...(await store.counts()) }, { ...none, ...expected }, 'counts')
}

export const error = (message: string): SerializedError => ({ name: 'Error', message })

/** Each verdict that ends a task. */
export const ENDS: Readonly<Record<'succeeded' | 'failed' | 'cancelled', Outcome>> = {
  succeeded: { type: 'succeeded', output: { a: 1 } },
  failed: { type: 'failed', error: error('no luck') },
  cancelled: { type: 'cancelled', error: error('cancelled') },
}

/** A verdict that puts a task off. */
export function again(runAt: number, countsAsAttempt = true): Outcome {
  return { type: 'retry', error: error('no luck'), runAt, countsAsAttempt, maxAttempts: 3 }
}
