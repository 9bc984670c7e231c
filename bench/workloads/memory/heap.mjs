/** What a task weighs while it waits and after it has ended: small input, the library's default settings. */
import { createRunner, durability } from '../../adapters/background-runner.mjs'

const TASKS = 200_000

export const title = `heap of ${TASKS} tasks with a small input`
export const unit = 'B/task'

function heapUsed() {
  globalThis.gc()
  globalThis.gc()
  return process.memoryUsage().heapUsed
}

async function weigh(finished) {
  // More than the default is kept, so that each of them is still there when it is weighed.
  const { runner, submit, onIdle } = createRunner({ retention: { count: TASKS } })
  if (!finished) await runner.pause()
  await submit({ user: 0, template: 'welcome' })
  if (finished) await onIdle()
  const before = heapUsed()
  for (let i = 1; i <= TASKS; i++) await submit({ user: i, template: 'welcome' })
  if (finished) await onIdle()
  const bytes = (heapUsed() - before) / TASKS
  if (Object.values(await runner.counts()).reduce((sum, n) => sum + n) < TASKS) throw new Error('some are missing')
  return { value: bytes, durability }
}

export const cases = {
  pending: () => weigh(false),
  finished: () => weigh(true),
}

export const targets = [
  { say: 'heap of a pending task', value: 'pending', atMost: 400 },
  { say: 'heap of a finished task', value: 'finished', atMost: 450 },
]
