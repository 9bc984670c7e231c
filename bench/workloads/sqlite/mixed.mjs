/** What is asked of a runner in a day: delays, retries and keys, against tasks without any. */
import { createRunner } from '../../adapters/background-runner-sqlite.mjs'
import { driverInUse, withFile } from '../../database.mjs'
import { mixed } from '../../mixed.mjs'

const TASKS = 10_000

export const title = `${TASKS} tasks, of ten one delayed, one failing once, two with one key`
export const unit = 'µs/task'

function measured(plain) {
  return withFile(async (path) => {
    const spent = await mixed((options) => createRunner({ path, ...options }), { tasks: TASKS, plain })
    return { ...spent, durability: 'process', on: `${driverInUse()}, NORMAL` }
  })
}

export const cases = {
  mixed: () => measured(false),
  'all plain': () => measured(true),
}

export const targets = [{ say: 'cost of a mixed over a plain one', ratio: ['mixed', 'all plain'] }]
