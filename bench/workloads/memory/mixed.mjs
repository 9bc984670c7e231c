/** What is asked of a runner in a day: delays, retries and keys, against tasks without any. */
import { createRunner, durability } from '../../adapters/background-runner.mjs'
import { mixed } from '../../mixed.mjs'

const TASKS = 50_000

export const title = `${TASKS} tasks, of ten one delayed, one failing once, two with one key`
export const unit = 'µs/task'

const measured = async (plain) => ({ ...(await mixed(createRunner, { tasks: TASKS, plain })), durability })

export const cases = {
  mixed: () => measured(false),
  'all plain': () => measured(true),
}

export const targets = [{ say: 'cost of a mixed over a plain one', ratio: ['mixed', 'all plain'] }]
