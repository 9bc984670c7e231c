/**
 * The conformance suite of engines: SEMANTICS.md as tests, which know no engine.
 *
 * It needs a test framework with `describe` and `it`, and nothing else. An engine that has to leave something out says
 * what and why in `skip`; a skip without a reason, or of a test that does not exist, fails.
 *
 * Left to the tests of each engine, since they need several processes: the columns "its lease was lost" and "its process
 * dies" of the attempt table, the crash rule (line 10), and that a process exits by itself (lines 19 and 20).
 *
 * @example
 * engineConformance({ describe, it }, { name: 'memory', create: () => memory() })
 */
import assert from 'node:assert/strict'
import type { Capabilities, Engine } from '../../index.js'
import { attemptTable } from './attempt-table.js'
import { cancel } from './cancel.js'
import { close } from './close.js'
import { concurrency } from './concurrency.js'
import { context } from './context.js'
import { eventLoop } from './event-loop.js'
import { events } from './events.js'
import { identity } from './identity.js'
import { lifecycle } from './lifecycle.js'
import { list } from './list.js'
import { numbers } from './numbers.js'
import { order } from './order.js'
import { pause } from './pause.js'
import { privacy } from './privacy.js'
import { progressSave } from './progress-save.js'
import { retention } from './retention.js'
import { retry } from './retry.js'
import { schemas } from './schemas.js'
import { steering } from './steering.js'
import { submit } from './submit.js'
import { thrown } from './thrown.js'
import { time } from './time.js'
import { values } from './values.js'
import { wait } from './wait.js'
import { type Topic, World } from './world.js'

/** The two functions that the suite needs of a test framework; vitest, jest, mocha and node:test have them. */
export interface Framework {
  describe(name: string, body: () => void): unknown
  it(name: string, body: () => Promise<void>): unknown
}

export interface EngineUnderTest {
  readonly name: string
  /** A new engine over an empty storage, for each runner. */
  readonly create: () => Engine | Promise<Engine>
  /** What the engine promises; checked against what it declares. */
  readonly capabilities?: Partial<Capabilities>
  /** What the engine leaves out; each with its reason, and the full names of the tests. */
  readonly skip?: readonly { readonly reason: string; readonly tests: readonly string[] }[]
  /** Real ms until an engine with I/O of its own is quiet, so that it can be seen that nothing happens. @default 0 */
  readonly latency?: number
}

const TOPICS: readonly Topic[] = [
  lifecycle,
  attemptTable,
  numbers,
  submit,
  values,
  schemas,
  identity,
  order,
  concurrency,
  eventLoop,
  thrown,
  retry,
  progressSave,
  context,
  time,
  steering,
  cancel,
  wait,
  list,
  pause,
  events,
  retention,
  close,
  privacy,
]

/** The name of every test of the suite. */
export const ENGINE_TESTS: readonly string[] = TOPICS.flatMap((topic) => Object.keys(topic.tests))

/** Runs the suite over one engine. */
export function engineConformance({ describe, it }: Framework, engine: EngineUnderTest): void {
  const { name, create, capabilities = {}, skip = [], latency = 0 } = engine
  const skipped = new Set(skip.flatMap(({ tests }) => tests))
  describe(`the engine ${name}`, () => {
    it('is what its author says, and every skip has a reason and names tests of the suite', async () => {
      for (const { reason, tests } of skip) {
        assert.ok(reason.trim().length > 0, `a skip of ${tests.join(', ')} has no reason`)
        assert.ok(tests.length > 0, `the skip "${reason}" names no test`)
        for (const test of tests) assert.ok(ENGINE_TESTS.includes(test), `the suite has no test "${test}"`)
      }
      const made = await create()
      assert.ok(made.name.length > 0)
      assert.deepEqual({ ...made.capabilities, ...capabilities }, made.capabilities)
    })
    for (const { title, tests } of TOPICS) {
      describe(title, () => {
        for (const [sentence, body] of Object.entries(tests)) {
          if (skipped.has(sentence)) continue
          it(sentence, async () => {
            const world = new World({ create, latency })
            let failure: { readonly error: unknown } | undefined
            try {
              await body(world)
            } catch (error) {
              failure = { error }
            }
            try {
              await world.end()
            } catch (error) {
              failure ??= { error }
            }
            if (failure !== undefined) throw failure.error
          })
        }
      })
    }
  })
}
