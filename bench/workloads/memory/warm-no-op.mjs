/** As no-op, in a process that has run 100 000 tasks before: a server an hour after its start. */
import { fillAndDrain } from '../../fill-and-drain.mjs'

const TASKS = 100_000

export const title = `${TASKS} no-op tasks, concurrency 10, warm`
export const unit = 'µs/task'
/** Unless more are asked for: it takes long, and says much at once. */
export const rounds = 1

async function warm(adapter, options) {
  await fillAndDrain(adapter, options)
  globalThis.gc()
  return fillAndDrain(adapter, options)
}

export const cases = {
  'background-runner': () => warm('background-runner', { tasks: TASKS, awaited: true }),
  'p-queue': () => warm('p-queue', { tasks: TASKS }),
  fastq: () => warm('fastq', { tasks: TASKS }),
  'lean-runner': () => warm('lean-runner', { tasks: TASKS, awaited: true }),
}

export const targets = [
  { say: 'speed over p-queue', ratio: ['p-queue', 'background-runner'], atLeast: 1.6 },
  { say: 'speed over fastq', ratio: ['fastq', 'background-runner'], atLeast: 1 },
  { say: 'speed over a lean runner', ratio: ['lean-runner', 'background-runner'], atLeast: 0.75 },
]
