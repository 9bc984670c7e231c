/** What the whole life of a task costs that does nothing: submitted, running, succeeded; all in one burst. */
import { wholeLife } from '../../whole-life.mjs'

const TASKS = 20_000
/** Node's own driver is faster, plainjob's is not. */
const BUILT_IN = process.getBuiltinModule?.('node:sqlite') !== undefined

export const title = `${TASKS} no-op tasks in one file, concurrency 10 and 100`
export const unit = 'µs/task'

const both = (concurrency) => ({
  [`background-runner, ${concurrency}`]: () => wholeLife('background-runner-sqlite', { tasks: TASKS, concurrency }),
  [`plainjob, ${concurrency}`]: () => wholeLife('plainjob', { tasks: TASKS, concurrency }),
})

export const cases = { ...both(10), ...both(100) }
/** Unless more are asked for: what counts is 100. */
export const once = Object.keys(both(10))

export const targets = [
  { concurrency: 10, atLeast: BUILT_IN ? 4 : 2.7 },
  { concurrency: 100, atLeast: BUILT_IN ? 6 : 4.2 },
].map(({ concurrency, atLeast }) => ({
  say: `speed over plainjob, concurrency ${concurrency}`,
  ratio: [`plainjob, ${concurrency}`, `background-runner, ${concurrency}`],
  by: 'wall',
  atLeast,
}))
