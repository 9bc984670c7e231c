/** A runner at work, and the report of its close. */
import assert from 'node:assert/strict'
import { type BackgroundRunner, type CloseReport, defineTask } from '../../index.js'
import type { Handler } from './handler.js'
import { every } from './tools.js'
import type { Setup, World } from './world.js'

/** A runner with one task, whose handler the test settles. */
export async function working(
  t: World,
  setup: Partial<Setup> = {},
): Promise<{ runner: BackgroundRunner; work: Handler }> {
  const work = t.handler()
  const runner = await t.runner({ tasks: { work: defineTask({ retry: every(1_000), run: work.run }) }, ...setup })
  return { runner, work }
}

/** The report as `[completed, returned, abandoned, pending]`; it has these four fields and no other. */
export async function numbers(closing: Promise<CloseReport>): Promise<number[]> {
  const { completed, returned, abandoned, pending, ...rest } = await closing
  assert.deepEqual(rest, {})
  return [completed, returned, abandoned, pending]
}
