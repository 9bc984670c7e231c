/** What a task costs from its submit to its output, beside the bare pool: tasks that do nothing, in 2 workers. */
import { allAtOnce, oneByOne } from '../../in-workers.mjs'

export const title = 'no-op tasks in 2 workers'
export const unit = 'µs/task'
/** Unless more are asked for: it takes long, and says much at once. */
export const rounds = 1

const SIDES = { 'background-runner': 'background-runner-isolated', tinypool: 'tinypool' }
const PLACES = { 'in threads': 'thread', 'in processes': 'process' }
const WAYS = {
  'one by one': { measure: oneByOne, tasks: 3_000 },
  'all at once': { measure: allAtOnce, tasks: 20_000 },
}

export const cases = {}
export const targets = []
for (const [place, isolation] of Object.entries(PLACES)) {
  for (const [way, { measure, tasks }] of Object.entries(WAYS)) {
    const named = (side) => `${side}, ${place}, ${way}`
    for (const [side, adapter] of Object.entries(SIDES))
      cases[named(side)] = () => measure(adapter, { isolation, handler: 'noop', tasks })
    const ratio = [named('background-runner'), named('tinypool')]
    targets.push({ say: `time over bare tinypool, ${place}, ${way}`, ratio, by: 'wall', atMost: 1.5 })
  }
}
