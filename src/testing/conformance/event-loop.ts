/** Of SEMANTICS.md, line 10: a long backlog of trivial work leaves the event loop free. Counted in turns, not in ms. */
import assert from 'node:assert/strict'
import { type BackgroundRunner, defineTask } from '../../index.js'
import { type Topic, topic, type World } from './world.js'

/** Counts how often others get their turn, and how many handlers begin in one. */
class Probe {
  turns = 0
  began = 0
  /** The most handlers that began in one turn. */
  most = 0
  #inTurn = 0
  #on = true

  constructor() {
    const tick = (): void => {
      this.turns++
      this.#inTurn = 0
      if (this.#on) setImmediate(tick)
    }
    setImmediate(tick)
  }

  readonly run = (): void => {
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
  const before = probe.turns
  await go()
  await idle
  probe.stop()
  assert.equal(probe.began, t.many)
  assert.ok(probe.most < t.many / 2, `${probe.most} of ${t.many} in one turn`)
  assert.ok(probe.turns - before > 2, `${probe.turns - before} turns`)
}

const inputs = (count: number): number[] => Array.from({ length: count }, (_, i) => i)

export const eventLoop: Topic = topic('the event loop', {
  ...Object.fromEntries(
    [10, Number.POSITIVE_INFINITY].flatMap((concurrency) =>
      ['synchronous', 'asynchronous'].map((kind) => [
        `a long backlog of ${kind} trivial work leaves turns to others, with a concurrency of ${concurrency}`,
        async (t: World) => {
          const probe = new Probe()
          const run = kind === 'synchronous' ? probe.run : async () => probe.run()
          const runner = await t.runner({ tasks: { work: defineTask({ run }) }, concurrency })
          await runner.pause()
          await runner.submitMany('work', inputs(t.many))
          await isShared(t, probe, () => runner.resume(), runner)
        },
      ]),
    ),
  ),

  'a long backlog that becomes due at one moment leaves turns to others': async (t) => {
    const probe = new Probe()
    const runner = await t.runner({ tasks: { work: defineTask({ run: probe.run }) } })
    await runner.submitMany('work', inputs(t.many), { delay: 1_000 })
    await isShared(t, probe, () => t.advance(1_000), runner)
  },

  'a long backlog that becomes due at one moment runs in strict order of priority': async (t) => {
    const ran: number[] = []
    const work = defineTask({ run: (input: number) => void ran.push(input) })
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
    assert.equal(ran.length, expected.length)
    assert.equal(
      ran.findIndex((input, i) => input !== expected[i]),
      -1,
      'the first one out of order',
    )
  },

  'what is submitted while a long backlog becomes due has its place in the order': async (t) => {
    const ran: unknown[] = []
    const work = defineTask({ run: (input: unknown) => void ran.push(input) })
    const runner = await t.runner({ tasks: { work }, concurrency: 1 })
    await runner.submitMany('work', inputs(t.many), { delay: 1_000, priority: 5 })
    await runner.submit('work', 'first', { delay: 1_000, priority: 6 })
    t.clock.setTimeout(() => void runner.submit('work', 'last', { priority: 4 }), 1_000)
    await t.advance(1_000)
    await runner.onIdle()
    assert.equal(ran.length, t.many + 2)
    assert.deepEqual([ran[0], ran.at(-1)], ['first', 'last'])
  },
})
