/** The store suite over the stores that there are, and what it does with skips and with stores that break their word. */
import assert from 'node:assert/strict'
import type { Store } from 'background-runner'
import { storeConformance } from 'background-runner/testing'
import { describe, it } from 'vitest'
import { MemoryStore } from '../../src/local/memory-store.js'
import { STORE_TESTS, type StoreUnderTest } from '../../src/testing/conformance/store.js'
import { asynchronous } from '../engines/asynchronous-store.js'
import { durable, perStorage } from '../engines/durable-store.js'

const memoryStore = (): Store => new MemoryStore() as never
const kept = perStorage(memoryStore)

storeConformance({ describe, it }, { name: 'memory', create: memoryStore })
storeConformance({ describe, it }, { name: 'memory, asked later', create: () => asynchronous(memoryStore()) })
storeConformance({ describe, it }, { name: 'memory that is kept', create: (storage) => durable(kept(storage)) })

/** Registers the suite with a framework that runs nothing: the tests by name. */
function registered(under: Partial<StoreUnderTest>): Map<string, () => Promise<void>> {
  const tests = new Map<string, () => Promise<void>>()
  storeConformance(
    { describe: (_name, body) => body(), it: (name, body) => void tests.set(name, body) },
    { name: 'memory', create: memoryStore, ...under },
  )
  return tests
}

/** A memory store that does some things in its own way. */
function wrong(own: (store: Store) => Partial<Store>): () => Store {
  return () => {
    const store = memoryStore()
    return Object.assign(store, own({ ...bound(store) }))
  }
}

/** The methods of `store` as they are, whatever is put in their place. */
function bound(store: Store): Store {
  const methods = Object.getOwnPropertyNames(MemoryStore.prototype).filter((name) => name !== 'constructor')
  const all = methods.map((name) => [name, (store[name as keyof Store] as () => unknown).bind(store)])
  return Object.fromEntries(all) as Store
}

const CHECK = 'has a name and capabilities, and every skip has a reason and names tests of the suite'

/** What a store does wrong, and a test that sees it. */
const WRONG: Readonly<Record<string, [own: (store: Store) => Partial<Store>, seenBy: string]>> = {
  'stores what it can before it refuses': [
    ({ insert }) => ({ insert: (tasks, now) => tasks.flatMap((task) => insert([task], now) as never[]) }),
    'more than maxPending that wait are refused with QueueFullError, all or none',
  ],
  'knows no keys': [
    ({ insert }) => ({
      insert: (tasks, now) =>
        insert(
          tasks.map((task) => ({ ...task, extras: undefined })),
          now,
        ),
    }),
    'a task whose id or key exists is answered with that one, whatever its state',
  ],
  'knows no priorities': [
    ({ insert }) => ({
      insert: (tasks, now) =>
        insert(
          tasks.map((task) => ({ ...task, priority: 0 })),
          now,
        ),
    }),
    'claim takes the highest priority, then what became due first, then what was submitted first',
  ],
  'takes whatever the admission says': [
    ({ claim }) => ({
      claim: (_admission, now) => claim({ open: ['mail', 'resize', 'work'], take: () => {} } as never, now),
    }),
    'claim takes only names that are admitted, and tells the admission of what it took',
  ],
  'takes what is not due yet': [
    ({ claim }) => ({ claim: (admission, now) => claim(admission, now + 10) }),
    'nothing is claimed before it is due',
  ],
  'does not heed a pause': [() => ({ pause: () => {} }), 'a pause holds all claims, and what runs can be settled'],
  'forgets the output': [
    ({ settle }) => ({
      settle: (task, outcome, now) =>
        settle(task, outcome.type === 'succeeded' ? { type: 'succeeded', output: undefined } : outcome, now),
    }),
    'succeeded: it has its output, its end and its attempt',
  ],
  'forgets what was saved': [
    () => ({ save: () => {} }),
    'progress and saved state are kept, the latest of each, and outlive the attempt',
  ],
  'tells a cancel of a running task as its end': [
    ({ cancel }) => ({
      cancel: (id, request, now) => ({
        ...(cancel(id, request, now) as never as { record: never }),
        effect: 'cancelled',
      }),
    }),
    'cancel ends a task that waits, and asks for the end of one that runs',
  ],
  'says that nothing is left to prune after one step': [
    ({ prune }) => ({
      prune: (policy, now) => ({ ...(prune(policy, now) as never as { ids: string[] }), more: false }),
    }),
    'very many that are over go in several steps, each of them once',
  ],
  'says that all is due after one step': [
    ({ outlook }) => ({ outlook: (now) => ({ ...(outlook(now) as never as object), more: false }) as never }),
    'very many that become due at one moment may take several looks, and nothing is claimed before the last',
  ],
  'fires a schedule that has changed': [
    ({ insert }) => ({ fireSchedule: (_schedule, _following, task, now) => insert(task ? [task] : [], now) }),
    'of many that fire one schedule at one moment one does; as does none where it has changed or is gone',
  ],
  'never says when the next is due': [
    ({ outlook }) => ({ outlook: (now) => ({ ...(outlook(now) as never as object), nextDue: undefined }) as never }),
    'outlook tells how many may be claimed, when the next becomes due, and whether anything is left',
  ],
}

describe('storeConformance', () => {
  it('has a name of its own for every test', () => {
    assert.equal(new Set(STORE_TESTS).size, STORE_TESTS.length)
    assert.equal(registered({}).size, STORE_TESTS.length + 1)
  })

  it('leaves out what is skipped with a reason, and fails on any other skip', async () => {
    const [some = ''] = STORE_TESTS
    const tests = registered({ skip: [{ reason: 'it cannot', tests: [some] }] })
    assert.ok(!tests.has(some))
    await tests.get(CHECK)?.()
    for (const skip of [
      { reason: ' ', tests: [some] },
      { reason: 'it cannot', tests: [] },
      { reason: 'it cannot', tests: ['a test that nobody wrote'] },
    ])
      await assert.rejects(async () => registered({ skip: [skip] }).get(CHECK)?.(), { name: 'AssertionError' })
  })

  for (const [what, [own, seenBy]] of Object.entries(WRONG))
    it(`fails a store that ${what}`, async () => {
      const test = registered({ create: wrong(own) }).get(seenBy)
      assert.ok(test !== undefined, `there is a test "${seenBy}"`)
      await assert.rejects(test, { name: 'AssertionError' })
    })

  it('fails a store that only says that it is durable', async () => {
    const create = (): Store => durable(memoryStore())
    for (const [name, test] of registered({ create }))
      if (/when the storage is opened again/.test(name)) await assert.rejects(test, { name: 'AssertionError' }, name)
  })
})
