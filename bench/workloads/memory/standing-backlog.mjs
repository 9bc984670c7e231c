/**
 * What a task costs while many others wait: 300 000 tasks submitted and run over a backlog of the same task name that
 * stands all the while, because its priority is lower.
 */
import { createRunner, durability } from '../../adapters/background-runner.mjs'
import { stopwatch } from '../../stopwatch.mjs'

const TASKS = 300_000

export const title = `${TASKS} no-op tasks over a standing backlog`
export const unit = 'µs/task'

async function over(backlog) {
  let ran = 0
  let finish
  const finished = new Promise((resolve) => {
    finish = resolve
  })
  const { runner, submit } = createRunner({
    handler: async ({ standing }) => {
      if (standing) throw new Error('a task of the backlog ran first')
      if (++ran === TASKS) finish()
    },
  })
  await runner.pause()
  for (let i = 0; i < backlog; i++) await submit({ standing: true }, { priority: -1 })
  globalThis.gc()
  const read = stopwatch()
  for (let i = 0; i < TASKS; i++) await submit({ standing: false })
  await runner.resume()
  await finished
  return { ...read(TASKS), durability }
}

export const cases = {
  'over 1 000': () => over(1_000),
  'over 1 000 000': () => over(1_000_000),
}

export const targets = [{ say: 'cost per task over 1 000 000', ratio: ['over 1 000 000', 'over 1 000'], atMost: 1.7 }]
