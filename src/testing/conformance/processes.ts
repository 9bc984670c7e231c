/** Several processes over one storage: each runner is one of them. What one did, another hears of a little later. */
import assert from 'node:assert/strict'
import { type BackgroundRunner, defineTask, type TaskDefinition } from '../../index.js'
import type { Handler } from './handler.js'
import { every } from './tools.js'
import type { Setup, World } from './world.js'

/** One more process over the storage of the test. */
export function joined(t: World, run: TaskDefinition['run'], setup: Partial<Setup> = {}): Promise<BackgroundRunner> {
  return t.runner({
    tasks: { work: defineTask({ retry: every(60_000, 2), run }) },
    cancelGrace: 1_000,
    ...setup,
    storage: 'common',
  })
}

/** A process that only submits, one that works, and the handler of the latter. */
export async function pair(
  t: World,
  setup: Partial<Setup> = {},
): Promise<{ web: BackgroundRunner; worker: BackgroundRunner; work: Handler }> {
  const work = t.handler()
  const web = await joined(t, t.handler().run, { work: false })
  const worker = await joined(t, work.run, setup)
  return { web, worker, work }
}

export const called = (t: World, work: Handler, n = 1): Promise<Handler['calls'][number]> =>
  t.news(
    () => work.calls[n - 1],
    () => `call ${n} of a handler; it was called ${work.calls.length} times`,
  )

/** Waits until `count` handlers run in all, and sees that no more start. */
export async function run(t: World, works: readonly Handler[], count: number): Promise<void> {
  const running = (): number => works.reduce((sum, work) => sum + work.running, 0)
  await t.news(
    () => running() >= count,
    () => `${count} handlers run in all processes together; there are ${running()}`,
  )
  await t.advance(1_000)
  assert.equal(running(), count, 'handlers that run in all processes together')
}

/** Settles within the bound of `news`, or fails. */
export async function settled<Value>(t: World, promise: Promise<Value>, what: string): Promise<Value> {
  let done = false
  const end = (): void => {
    done = true
  }
  promise.then(end, end)
  await t.news(() => done, what)
  return promise
}
