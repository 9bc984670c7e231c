/** As whole-life, safe from a power cut: each commit waits for the disk. */
import { wholeLife } from '../../whole-life.mjs'

const TASKS = 5_000
const SAFE = { tasks: TASKS, concurrency: 10, durability: 'power' }

export const title = `${TASKS} no-op tasks in one file, safe from a power cut`
export const unit = 'µs/task'

export const cases = {
  'background-runner': () => wholeLife('background-runner-sqlite', SAFE),
  plainjob: () => wholeLife('plainjob', SAFE),
}

export const targets = [
  { say: 'speed over plainjob', ratio: ['plainjob', 'background-runner'], by: 'wall', atLeast: 10 },
]
