/** Tasks that do nothing but compute, in two workers and inline: what two processors are worth. */
import { allAtOnce } from '../../in-workers.mjs'

const TASKS = 60

export const title = `${TASKS} tasks that compute for 50 ms, 2 workers`
export const unit = 'µs/task'
/** Unless more are asked for: it takes long, and says much at once. */
export const rounds = 1

/** The CPU of child processes is not counted in ours, so there is only the wall. */
async function compute(isolation) {
  const options = { isolation, handler: 'burn', tasks: TASKS, warmUp: 4 }
  const { wall, durability } = await allAtOnce('background-runner-isolated', options)
  return { wall, durability }
}

export const cases = {
  'in threads': () => compute('thread'),
  'in processes': () => compute('process'),
  inline: () => compute('inline'),
}

export const targets = [
  { say: 'speed in threads over inline', ratio: ['inline', 'in threads'], by: 'wall', atLeast: 1.7 },
  { say: 'speed in processes over inline', ratio: ['inline', 'in processes'], by: 'wall', atLeast: 1.7 },
]
