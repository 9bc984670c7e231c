/** As whole-life, safe from a power cut: each commit waits for the disk. */
import { wholeLife } from '../../whole-life.mjs'

const TASKS = 5_000

export const title = `${TASKS} no-op tasks in one file, safe from a power cut, concurrency 10 and 100`
export const unit = 'µs/task'

const both = (concurrency) => {
  const options = { tasks: TASKS, concurrency, durability: 'power' }
  return {
    [`background-runner, ${concurrency}`]: () => wholeLife('background-runner-sqlite', options),
    [`plainjob, ${concurrency}`]: () => wholeLife('plainjob', options),
  }
}

export const cases = { ...both(10), ...both(100) }

export const targets = [{ concurrency: 10 }, { concurrency: 100, atLeast: 10 }].map(({ concurrency, atLeast }) => ({
  say: `speed over plainjob, concurrency ${concurrency}`,
  ratio: [`plainjob, ${concurrency}`, `background-runner, ${concurrency}`],
  by: 'wall',
  atLeast,
}))
