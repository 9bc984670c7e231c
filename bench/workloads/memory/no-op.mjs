/** What a task costs: submit all, then run all, of tasks that do nothing. */
import { fillAndDrain } from '../../fill-and-drain.mjs'

const TASKS = 100_000

export const title = `${TASKS} no-op tasks, concurrency 10`
export const unit = 'µs/task'

export const cases = {
  'background-runner': () => fillAndDrain('background-runner', { tasks: TASKS, awaited: true }),
  'background-runner, burst': () => fillAndDrain('background-runner', { tasks: TASKS }),
  'background-runner, all events heard': () =>
    fillAndDrain('background-runner', { tasks: TASKS, awaited: true, listen: true }),
  'p-queue': () => fillAndDrain('p-queue', { tasks: TASKS }),
  fastq: () => fillAndDrain('fastq', { tasks: TASKS }),
  'p-limit': () => fillAndDrain('p-limit', { tasks: TASKS }),
  // Ten times as much would take ten seconds.
  'better-queue': () => fillAndDrain('better-queue', { tasks: TASKS / 10 }),
  'lean-runner': () => fillAndDrain('lean-runner', { tasks: TASKS, awaited: true }),
}

export const targets = [
  { say: 'speed over p-queue', ratio: ['p-queue', 'background-runner'], atLeast: 1.6 },
  { say: 'speed over p-queue, burst', ratio: ['p-queue', 'background-runner, burst'] },
  { say: 'speed over p-queue, all events heard', ratio: ['p-queue', 'background-runner, all events heard'] },
  { say: 'speed over fastq', ratio: ['fastq', 'background-runner'], atLeast: 1 },
  { say: 'speed over p-limit', ratio: ['p-limit', 'background-runner'] },
  { say: 'speed over better-queue', ratio: ['better-queue', 'background-runner'] },
  { say: 'speed over a lean runner', ratio: ['lean-runner', 'background-runner'], atLeast: 0.75 },
]
