/** What limits keep of a key goes with the last of its tasks. */
import { queryObjects } from 'node:v8'
import { BackgroundRunner, defineTask } from 'background-runner'
import { expect, it } from 'vitest'
import { Gate, Lane } from '../../src/local/memory-lanes.js'

const KEYS = 500
const alive = (): number => queryObjects(Gate, { format: 'count' }) + queryObjects(Lane, { format: 'count' })
/** Those of a runner that has just done something may still be in use. */
const FEW = 10

it('of keys of which nothing waits, runs or counts nothing is kept, also not by tasks that have ended', async () => {
  const before = alive() // of other tests
  const runner = new BackgroundRunner({
    tasks: {
      work: defineTask({ concurrency: { max: 1, by: String }, run: (_key: number) => {} }),
    },
  })
  const keys = Array.from({ length: KEYS }, (_, i) => i)
  await runner.submitMany('work', keys)
  await runner.pause()
  const waiting = await runner.submitMany('work', keys)
  for (const { id } of waiting) await runner.cancel(id).catch(() => {}) // or it has begun
  await runner.resume()
  await runner.onIdle()
  expect((await runner.list({ limit: 1_000 })).tasks.length).toBe(2 * KEYS)
  expect(alive() - before).toBeLessThan(FEW)
  await runner.close()
})
