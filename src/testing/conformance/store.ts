/**
 * The conformance suite of stores: what the local engine relies on, method by method (`Store` says what each is for).
 *
 * It needs a test framework with `describe` and `it`, and nothing else; a skip has to have a reason and to name tests of
 * the suite. An engine over the store is proved by `engineConformance`, which sees what users see.
 *
 * Left to the tests of each store, since they need a process that dies or sleeps: a verdict on an attempt that another
 * process has taken over is refused (`settle` gives undefined).
 *
 * @example
 * storeConformance({ describe, it }, { name: 'mine', create: (storage) => new MyStore(join(folder, storage)) })
 */
import assert from 'node:assert/strict'
import type { Store } from '../../index.js'
import { claim } from './store/claim.js'
import { holds } from './store/holds.js'
import { insert } from './store/insert.js'
import { schedules } from './store/schedules.js'
import { settle } from './store/settle.js'
import { Shelf, type ShelfBody } from './store/shelf.js'
import { steer } from './store/steer.js'
import { restart, upkeep } from './store/upkeep.js'
import { checkSkips, type Framework, type Skip } from './suite.js'
import { newStorage } from './world.js'

export interface StoreUnderTest {
  readonly name: string
  /**
   * A new store over `storage`, of letters, digits and dashes, not opened yet: a name that was never given before is an
   * empty storage, the same name again is the same storage. A store that is not durable has no use for it.
   */
  readonly create: (storage: string) => Store | Promise<Store>
  /** What the store leaves out; each with its reason, and the full names of the tests. */
  readonly skip?: readonly Skip[]
}

const TOPICS: Readonly<Record<string, Readonly<Record<string, ShelfBody>>>> = {
  insert,
  'outlook and claim': claim,
  'settle, progress and save': settle,
  holds,
  'list and the verbs': steer,
  'prune and close': upkeep,
  schedules,
  'a durable store': restart,
}

/** Those topics that are about what a store need not promise. */
const PROMISES: ReadonlyMap<unknown, 'durable' | 'schedules'> = new Map([
  [schedules, 'schedules'],
  [restart, 'durable'],
] as const)

/** The name of every test of the suite. */
export const STORE_TESTS: readonly string[] = Object.values(TOPICS).flatMap(Object.keys)

/** Runs the suite over one store. */
export function storeConformance({ describe, it }: Framework, { name, create, skip = [] }: StoreUnderTest): void {
  const skipped = new Set(skip.flatMap(({ tests }) => tests))
  describe(`the store ${name}`, () => {
    it('has a name and capabilities, and every skip has a reason and names tests of the suite', async () => {
      checkSkips(skip, STORE_TESTS)
      const store = await create(newStorage())
      assert.ok(store.name.length > 0, 'a store has a name')
      const { durable, shared, feed, limits } = store.capabilities
      assert.ok(typeof durable === 'boolean' && typeof shared === 'boolean', 'durable and shared are true or false')
      assert.ok(['all', 'local'].includes(feed), `feed is all or local, not ${feed}`)
      assert.ok(['global', 'process'].includes(limits), `limits is global or process, not ${limits}`)
    })
    for (const [title, tests] of Object.entries(TOPICS)) {
      describe(title, () => {
        for (const [sentence, body] of Object.entries(tests)) {
          if (skipped.has(sentence)) continue
          it(sentence, async () => {
            // Asked as the test runs: what a store promises is told by the store alone.
            const promise = PROMISES.get(tests)
            if (promise !== undefined && !(await create(newStorage())).capabilities[promise]) return
            const shelf = new Shelf(create)
            try {
              await body(shelf)
            } finally {
              await shelf.end()
            }
          })
        }
      })
    }
  })
}
