/** The part of the engine conformance suite that is about handlers, with every handler in another place. */
import { memory } from 'background-runner'
import { attemptTable } from '../../../src/testing/conformance/attempt-table.js'
import { cancel } from '../../../src/testing/conformance/cancel.js'
import { close } from '../../../src/testing/conformance/close.js'
import { closing } from '../../../src/testing/conformance/closing.js'
import { concurrency } from '../../../src/testing/conformance/concurrency.js'
import { context } from '../../../src/testing/conformance/context.js'
import { events } from '../../../src/testing/conformance/events.js'
import { heldNames } from '../../../src/testing/conformance/holds.js'
import { lifecycle } from '../../../src/testing/conformance/lifecycle.js'
import { limits } from '../../../src/testing/conformance/limits.js'
import { numbers } from '../../../src/testing/conformance/numbers.js'
import { privacy } from '../../../src/testing/conformance/privacy.js'
import { progressSave } from '../../../src/testing/conformance/progress-save.js'
import { retry } from '../../../src/testing/conformance/retry.js'
import { schemas } from '../../../src/testing/conformance/schemas.js'
import { snapshots } from '../../../src/testing/conformance/snapshots.js'
import { steering } from '../../../src/testing/conformance/steering.js'
import { steps } from '../../../src/testing/conformance/steps.js'
import { checkSkips, type Framework } from '../../../src/testing/conformance/suite.js'
import { thrown } from '../../../src/testing/conformance/thrown.js'
import { time } from '../../../src/testing/conformance/time.js'
import { values } from '../../../src/testing/conformance/values.js'
import { type Topic, World } from '../../../src/testing/conformance/world.js'
import { Link } from './link.js'
import { PuppetPlace } from './place.js'
import { closeLeft, recycling } from './recycle.js'
import { REASONS, type Twin } from './twins.js'

const TOPICS: readonly Topic[] = [
  lifecycle,
  attemptTable,
  numbers,
  values,
  snapshots,
  limits,
  schemas,
  concurrency,
  thrown,
  retry,
  progressSave,
  steps,
  context,
  time,
  steering,
  cancel,
  heldNames,
  events,
  close,
  closing,
  privacy,
]

/** These have workers of their own, and see that none is left: they are about their end, or what a worker starts with. */
const FRESH: readonly string[] = [
  'the limits can be set',
  'completed, returned, abandoned and pending together',
  'close is idempotent: the same report, whatever is asked',
  'after close everything but close rejects with RunnerClosedError',
  'no verb tells an untruth while setups are torn down',
  'what an abandoned handler does after close reaches nobody',
  'an abandoned handler leaves no timer that would keep the process alive',
  'close ends waits and timers of all kinds',
  'asyncDispose closes',
]

/** By the case that it stands for. */
const TWINS: ReadonlyMap<string, Twin> = new Map(REASONS.flatMap(({ twins }) => twins).map((twin) => [twin.of, twin]))

/** What the suite needs of a test framework. */
export interface PlaceFramework extends Framework {
  beforeAll(body: () => Promise<void>): unknown
  afterAll(body: () => Promise<void>): unknown
}

/** Runs it in one place. */
export function placeConformance(
  { describe, it, beforeAll, afterAll }: PlaceFramework,
  isolation: 'thread' | 'process',
): void {
  describe(`handlers in a ${isolation}`, () => {
    let link: Link
    beforeAll(async () => {
      link = await Link.open()
    })
    afterAll(async () => {
      await closeLeft()
      await link.close()
    })
    it('differ from those inline for a reason, and where there is a case to differ from', async () => {
      const twins = REASONS.map(({ reason, twins }) => ({ reason, tests: twins.map((twin) => twin.of) }))
      const fresh = { reason: 'Workers of their own', tests: FRESH }
      checkSkips(
        [...twins, fresh],
        TOPICS.flatMap(({ tests }) => Object.keys(tests)),
      )
    })
    for (const { title, tests } of TOPICS) {
      describe(title, () => {
        for (const [sentence, original] of Object.entries(tests)) {
          const { sentence: own = sentence, body = original } = TWINS.get(sentence) ?? {}
          it(own, async () => {
            const isFresh = FRESH.includes(sentence)
            recycling(!isFresh)
            const place = new PuppetPlace(link, isolation)
            await new World({ create: () => memory(), latency: 0, place }).live(body)
            await place.end(isFresh ? 'nothing' : 'idle workers')
          })
        }
      })
    }
  })
}
