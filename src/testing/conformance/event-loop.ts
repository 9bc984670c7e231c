/**
 * Of SEMANTICS.md, line 10: a long backlog of trivial work leaves the event loop free; a drain holds it 10 ms at most.
 *
 * Asserted by counts, so that no machine is too fast or too busy for it: each handler takes a known time at least, so a
 * turn in which many of them began is known to have been long.
 */
import assert from 'node:assert/strict'
import { type BackgroundRunner, defineTask } from '../../index.js'
import { nextTurn, occupy } from '../real-time.js'
import { same } from './tools.js'
import { type Topic, topic, type World } from './world.js'

/** ms that each handler takes at least. */
const WEIGHT = 0.02
/** ms for which a drain may hold the event loop. */
const LONGEST_TURN = 10
/** Tasks: ten turns' worth, or four where each of them takes a while to store. */
const backlog = (t: World): number => Math.min(5_000, t.many)

/** Counts how many handlers begin in one turn of the event loop. */
class Probe {
  began = 0
  /** The most of all turns. */
  most = 0
  readonly #alive: () => void
  #inTurn = 0
  #on = true

  constructor(t: World) {
    this.#alive = () => t.alive()
    void this.#count()
  }

  async #count(): Promise<void> {
    while (this.#on) {
      await nextTurn()
      if (this.#inTurn > 0) this.#alive()
      this.#inTurn = 0
    }
  }

  readonly run = (): void => {
    occupy(WEIGHT)
    this.began++
    this.most = Math.max(this.most, ++this.#inTurn)
  }

  stop(): void {
    this.#on = false
  }
}

/** Lets a long backlog go, and looks how much of it others had to wait for. */
async function isShared(t: World, probe: Probe, go: () => Promise<unknown>, runner: BackgroundRunner): Promise<void> {
  const idle = runner.onIdle()
  await go()
  await idle
  probe.stop()
  assert.equal(probe.began, backlog(t), 'handlers that were called')
  const held = probe.most * WEIGHT
  assert.ok(
    held <= LONGEST_TURN,
    `${probe.most} handlers of ${WEIGHT} ms and more were called in one turn: the event loop was held for ${held} ms at least, and a drain may hold it for ${LONGEST_TURN}`,
  )
}

const inputs = (count: number): number[] => Array.from({ length: count }, (_, i) => i)

export const eventLoop: Topic = topic('the event loop', {
  ...Object.fromEntries(
    [10, Number.POSITIVE_INFINITY].flatMap((concurrency) =>
      ['synchronous', 'asynchronous'].map((kind) => [
        `a long backlog of ${kind} trivial work leaves turns to others, with a concurrency of ${concurrency}`,
        async (t: World) => {
          const probe = new Probe(t)
          const run = kind === 'synchronous' ? probe.run : async () => probe.run()
          const runner = await t.runner({ tasks: { work: defineTask({ run }) }, concurrency })
          await runner.pause()
          await runner.submitMany('work', inputs(backlog(t)))
          await isShared(t, probe, () => runner.resume(), runner)
        },
      ]),
    ),
  ),

  'a long backlog that becomes due at one moment leaves turns to others': async (t) => {
    const probe = new Probe(t)
    const runner = await t.runner({ tasks: { work: defineTask({ run: probe.run }) } })
    await runner.submitMany('work', inputs(backlog(t)), { delay: 1_000 })
    await isShared(t, probe, () => t.advance(1_000), runner)
  },

  'the end of one that a long backlog comes after leaves turns to others': async (t) => {
    const probe = new Probe(t)
    const runner = await t.runner({ tasks: { work: defineTask({ run: () => {} }) } })
    runner.on('cancelled', probe.run)
    const { id } = await runner.submit('work', 0, { delay: 60_000 })
    await runner.submitMany('work', inputs(backlog(t) - 1), { after: [id] })
    await isShared(t, probe, () => runner.cancel(id), runner)
  },

  'the end of the first one of a long chain leaves turns to others': async (t) => {
    const probe = new Probe(t)
    const runner = await t.runner({ tasks: { work: defineTask({ run: () => {} }) } })
    runner.on('cancelled', probe.run)
    await runner.submit('work', 0, { id: 'c0', delay: 60_000 })
    await runner.submitMany('work', inputs(backlog(t) - 1), (_input, i) => ({ id: `c${i + 1}`, after: [`c${i}`] }))
    await isShared(t, probe, () => runner.cancel('c0'), runner)
  },

  'a long backlog that becomes due at one moment runs in strict order of priority': async (t) => {
    const ran: number[] = []
    const work = defineTask({
      run: (input: number) => {
        t.alive()
        ran.push(input)
      },
    })
    const runner = await t.runner({ tasks: { work, other: work }, concurrency: 1 })
    const runAt = t.clock.now() + 1_000
    const half = inputs(t.many / 2)
    await runner.submitMany('work', half, (input) => ({ runAt, priority: Number(input) % 7 }))
    await runner.submitMany('other', half, (input) => ({ runAt, priority: Number(input) % 7 }))
    await t.advance(1_000)
    await runner.onIdle()
    const expected = inputs(7).flatMap((n) => {
      const level = half.filter((input) => input % 7 === 6 - n)
      return [...level, ...level]
    })
    same(ran.length, expected.length, 'tasks that ran')
    assert.equal(
      ran.findIndex((input, i) => input !== expected[i]),
      -1,
      'the first one out of order',
    )
  },

  'what is submitted while a long backlog becomes due has its place in the order': async (t) => {
    const ran: unknown[] = []
    const work = defineTask({
      run: (input: unknown) => {
        t.alive()
        ran.push(input)
      },
    })
    const runner = await t.runner({ tasks: { work }, concurrency: 1 })
    await runner.submitMany('work', inputs(t.many), { delay: 1_000, priority: 5 })
    await runner.submit('work', 'first', { delay: 1_000, priority: 6 })
    t.clock.setTimeout(() => void runner.submit('work', 'last', { priority: 4 }), 1_000)
    await t.advance(1_000)
    await runner.onIdle()
    same(ran.length, t.many + 2, 'tasks that ran')
    assert.deepEqual([ran[0], ran.at(-1)], ['first', 'last'])
  },
})
