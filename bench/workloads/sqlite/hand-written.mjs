/** As whole-life, against a program that does no more than insert, start and end rows of the same table in batches. */
import { wholeLife } from '../../whole-life.mjs'

const TASKS = 20_000
/** About as many as the library inserts in one transaction when they come in one burst. */
const BURST = 250

export const title = `${TASKS} no-op tasks in the same table, by hand, concurrency 10 and 100`
export const unit = 'µs/task'

const all = (concurrency) => ({
  [`background-runner, ${concurrency}`]: () => wholeLife('background-runner-sqlite', { tasks: TASKS, concurrency }),
  [`hand-written, ${concurrency}`]: () => wholeLife('hand-written-sqlite', { tasks: TASKS, concurrency }),
  [`hand-written, ${concurrency}, inserts by ${BURST}`]: () =>
    wholeLife('hand-written-sqlite', { tasks: TASKS, concurrency, inserts: BURST }),
})

export const cases = { ...all(10), ...all(100) }
/** Unless more are asked for: what counts is 100. */
export const once = Object.keys(all(10))

export const targets = [
  { concurrency: 10, atLeast: 0.7 },
  { concurrency: 100, atLeast: 0.65 },
].flatMap(({ concurrency, atLeast }) => {
  const ours = `background-runner, ${concurrency}`
  const say = `speed over a hand-written program, batch ${concurrency}`
  return [
    { say, ratio: [`hand-written, ${concurrency}`, ours], by: 'wall', atLeast },
    {
      say: `${say}, inserts by ${BURST}`,
      ratio: [`hand-written, ${concurrency}, inserts by ${BURST}`, ours],
      by: 'wall',
    },
  ]
})
