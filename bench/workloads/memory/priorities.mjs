/** As no-op, each task with a random priority from 0 to 9 (the same sequence for all). */
import { fillAndDrain } from '../../fill-and-drain.mjs'

const TASKS = 100_000

export const title = `${TASKS} no-op tasks of random priority 0–9, concurrency 10`
export const unit = 'µs/task'

let seed = 42
const priority = () => {
  seed = (Math.imul(seed, 1_103_515_245) + 12_345) & 0x7fffffff
  return (seed >> 16) % 10
}

export const cases = {
  'background-runner': () => fillAndDrain('background-runner', { tasks: TASKS, awaited: true, priority }),
  'p-queue': () => fillAndDrain('p-queue', { tasks: TASKS, priority }),
}

export const targets = [{ say: 'speed over p-queue', ratio: ['p-queue', 'background-runner'], atLeast: 4 }]
