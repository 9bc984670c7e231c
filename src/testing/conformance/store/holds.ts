/** Holds: what a verdict with a `hold` means for `claim`, `outlook` and `holds`; local/holds.ts has the rules. */
import assert from 'node:assert/strict'
import type { Outcome, Store } from '../../../index.js'
import {
  again,
  begun,
  claimed,
  Doorman,
  drained,
  ENDS,
  error,
  looked,
  NOW,
  type Shelf,
  type ShelfBody,
} from './shelf.js'

const UNTIL = NOW + 5_000

/** A verdict that asks for a hold. */
function sick(until: number = UNTIL): Outcome {
  return { ...again(until, false), hold: until }
}

/** A store with three tasks of `work`, one of which was put back with a hold. */
async function held(shelf: Shelf): Promise<Store> {
  const store = await shelf.store()
  await shelf.putMany(store, 3)
  const settled = await store.settle(await begun(store), sick(), NOW)
  const hold = { name: 'work', until: UNTIL, error: error('no luck') }
  assert.deepEqual(settled, { event: 'retrying', hold }, 'what settle answers')
  return store
}

/** What becomes of a probe, and whether that lifts the hold. */
const VERDICTS: readonly (readonly [Outcome, lifted: boolean, says: string])[] = [
  [ENDS.succeeded, true, 'succeeds'],
  [ENDS.failed, true, 'fails'],
  [again(UNTIL + 9_000), true, 'is to be tried again'],
  [again(UNTIL + 9_000, false), false, 'is put back at no cost'],
  [ENDS.cancelled, false, 'is cancelled'],
  [{ type: 'released' }, false, 'is released'],
]

function probed(lifted: boolean, says: string): string {
  return lifted
    ? `a probe that ${says} lifts the hold, and all others are ready`
    : `a probe that ${says} leaves the hold, and the next one probes`
}

async function verdict(shelf: Shelf, outcome: Outcome, lifted: boolean): Promise<void> {
  const store = await held(shelf)
  const settled = await store.settle(await begun(store, UNTIL), outcome, UNTIL)
  if (lifted) assert.ok(typeof settled === 'object' && settled.hold === undefined, 'settle tells that it is lifted')
  else assert.equal(typeof settled, 'string', 'settle tells of no change of a hold')
  const expected = lifted ? (await store.counts()).queued : 1
  assert.equal((await looked(store, UNTIL)).ready, expected, 'what is ready')
  assert.equal((await drained(store, UNTIL)).length, expected, 'what is claimed')
  assert.equal((await store.holds()).length, lifted ? 0 : 1)
}

export const holds: Readonly<Record<string, ShelfBody>> = {
  'nothing of a name that is held is claimed or ready before its time, and outlook tells that': async (shelf) => {
    const store = await held(shelf)
    await shelf.put(store, { id: 'other', name: 'other', priority: -1 })
    assert.deepEqual(await store.holds(), [{ name: 'work', until: UNTIL, error: error('no luck') }])
    assert.deepEqual(await looked(store, NOW), { ready: 1, nextDue: UNTIL, idle: false, more: false })
    assert.deepEqual(await drained(store, UNTIL - 1, new Doorman('work', 'other')), ['other'])
    assert.deepEqual(await looked(store, UNTIL - 1), { ready: 0, nextDue: UNTIL, idle: false, more: false })
  },

  'then one is claimed as a probe, and nothing is ready while it runs': async (shelf) => {
    const store = await held(shelf)
    await shelf.put(store, { id: 'urgent', priority: 1 })
    assert.deepEqual(await looked(store, UNTIL), { ready: 1, nextDue: undefined, idle: false, more: false })
    assert.deepEqual(await drained(store, UNTIL), ['urgent'])
    assert.deepEqual(await looked(store, UNTIL + 9_000), { ready: 0, nextDue: undefined, idle: false, more: false })
  },

  ...Object.fromEntries(
    VERDICTS.map(([outcome, lifted, says]) => [
      probed(lifted, says),
      (shelf: Shelf) => verdict(shelf, outcome, lifted),
    ]),
  ),

  'a verdict that asks for a hold prolongs the one there is, if it is later, whatever becomes of its task': async (
    shelf,
  ) => {
    const store = await shelf.store()
    await shelf.putMany(store, 4)
    const running = [await begun(store), await begun(store), await begun(store), await begun(store)]
    const outcomes: readonly (readonly [Outcome, expected: unknown])[] = [
      [sick(), { event: 'retrying', hold: { name: 'work', until: UNTIL, error: error('no luck') } }],
      [sick(), 'retrying'],
      [
        { ...ENDS.failed, hold: UNTIL + 1 },
        { event: 'failed', hold: { name: 'work', until: UNTIL + 1, error: error('no luck') } },
      ],
      [
        { type: 'cancelled', error: error('cancelled'), thrown: error('sick'), hold: UNTIL + 2 },
        { event: 'cancelled', hold: { name: 'work', until: UNTIL + 2, error: error('sick') } },
      ],
    ]
    for (const [n, [outcome, expected]] of outcomes.entries())
      assert.deepEqual(await store.settle(running[n] as never, outcome, NOW), expected)
    assert.equal(await claimed(store, UNTIL + 1), undefined)
    assert.equal((await begun(store, UNTIL + 2)).attempt, 2)
  },

  'a name with nothing to do is not looked out for': async (shelf) => {
    const store = await shelf.store()
    await shelf.put(store)
    await store.settle(await begun(store), { ...ENDS.failed, hold: UNTIL }, NOW)
    assert.deepEqual(await looked(store, NOW), { ready: 0, nextDue: undefined, idle: true, more: false })
    await shelf.put(store)
    assert.deepEqual(await looked(store, NOW), { ready: 0, nextDue: UNTIL, idle: false, more: false })
    await shelf.put(store, { delay: 1_000 })
    assert.equal((await looked(store, NOW)).nextDue, NOW + 1_000, 'what is due sooner comes first')
  },
}
