/**
 * The conformance suite of engines: SEMANTICS.md as tests, which know no engine.
 *
 * It needs a test framework with `describe` and `it`, and nothing else. An engine that has to leave something out says
 * what and why in `skip`; a skip without a reason, or of a test that does not exist, fails. What an engine promises
 * beyond the common semantics (`Capabilities`) has tests of its own, and so has what it does not promise.
 *
 * Left to the tests of each engine, since they need several processes: the columns "its lease was lost" and "its process
 * dies" of the attempt table, the crash rule (line 10), and that a process exits by itself (lines 19 and 20).
 *
 * @example
 * engineConformance({ describe, it }, {
 *   name: 'mine',
 *   create: (storage) => mine({ path: join(folder, storage) }),
 *   capabilities: { durable: true, shared: false, feed: 'local', limits: 'process', quotas: false, schedules: false },
 * })
 */
import assert from 'node:assert/strict'
import type { Capabilities, Engine } from '../../index.js'
import { after } from './after.js'
import { attemptTable } from './attempt-table.js'
import { cancel } from './cancel.js'
import { close } from './close.js'
import { closing } from './closing.js'
import { concurrency } from './concurrency.js'
import { context } from './context.js'
import { durable } from './durable.js'
import { eventLoop } from './event-loop.js'
import { events } from './events.js'
import { explanations } from './explanations.js'
import { feedAndLimits } from './feed-limits.js'
import { heldForAll, heldNames, heldOverRestarts } from './holds.js'
import { identity } from './identity.js'
import { idle } from './idle.js'
import { lifecycle } from './lifecycle.js'
import { limits } from './limits.js'
import { list } from './list.js'
import { numbers } from './numbers.js'
import { opening } from './opening.js'
import { order } from './order.js'
import { pause } from './pause.js'
import { privacy } from './privacy.js'
import { progressSave } from './progress-save.js'
import { promises } from './promises.js'
import { quotas } from './quotas.js'
import { retention } from './retention.js'
import { retry } from './retry.js'
import { schedules } from './schedules.js'
import { schemas } from './schemas.js'
import { shared } from './shared.js'
import { snapshots } from './snapshots.js'
import { steering } from './steering.js'
import { steps } from './steps.js'
import { submit } from './submit.js'
import { submitMany } from './submit-many.js'
import { checkSkips, type Framework, type Skip } from './suite.js'
import { thrown } from './thrown.js'
import { time } from './time.js'
import { values } from './values.js'
import { wait } from './wait.js'
import { watch } from './watch.js'
import { holds, newStorage, type Topic, World } from './world.js'

export interface EngineUnderTest {
  readonly name: string
  /**
   * A new engine over `storage`, of letters, digits and dashes: a name that was never given before is an empty storage,
   * the same name again is the same storage. An engine whose tasks nobody else sees has no use for it. Some engines are
   * only asked for their capabilities, and never started.
   */
  readonly create: (storage: string) => Engine | Promise<Engine>
  /**
   * What the engine promises; checked against what it declares. A test that needs another promise is not listed; what is
   * not named here is asked of the engine as the test runs.
   */
  readonly capabilities?: Partial<Capabilities>
  /** What the engine leaves out; each with its reason, and the full names of the tests. */
  readonly skip?: readonly Skip[]
  /** Real ms until an engine with I/O of its own is quiet, so that it can be seen that nothing happens. @default 0 */
  readonly latency?: number
}

const TOPICS: readonly Topic[] = [
  lifecycle,
  attemptTable,
  numbers,
  submit,
  submitMany,
  values,
  snapshots,
  limits,
  schemas,
  identity,
  order,
  concurrency,
  eventLoop,
  thrown,
  retry,
  progressSave,
  steps,
  context,
  time,
  steering,
  opening,
  cancel,
  wait,
  idle,
  list,
  pause,
  heldNames,
  events,
  watch,
  retention,
  close,
  closing,
  privacy,
  ...promises,
  durable,
  heldOverRestarts,
  shared,
  heldForAll,
  ...feedAndLimits,
  ...quotas,
  ...explanations,
  after,
  ...schedules,
]

/** The name of every test of the suite. */
export const ENGINE_TESTS: readonly string[] = TOPICS.flatMap((topic) => Object.keys(topic.tests))

/** Runs the suite over one engine. */
export function engineConformance({ describe, it }: Framework, engine: EngineUnderTest): void {
  const { name, create, capabilities = {}, skip = [], latency = 0 } = engine
  const skipped = new Set(skip.flatMap(({ tests }) => tests))
  describe(`the engine ${name}`, () => {
    it('is what its author says, and every skip has a reason and names tests of the suite', async () => {
      checkSkips(skip, ENGINE_TESTS)
      const made = await create(newStorage())
      assert.ok(made.name.length > 0, 'an engine has a name')
      const said = { ...made.capabilities, ...capabilities }
      assert.deepEqual(said, made.capabilities, 'its capabilities are those that the engine declares')
    })
    for (const { title, needs = {}, tests } of TOPICS) {
      if (!holds(needs, { ...needs, ...capabilities })) continue
      describe(title, () => {
        for (const [sentence, body] of Object.entries(tests)) {
          if (skipped.has(sentence)) continue
          it(sentence, async () => {
            const world = new World({ create, latency })
            if (holds(needs, await world.capabilities())) await world.live(body)
          })
        }
      })
    }
  })
}
