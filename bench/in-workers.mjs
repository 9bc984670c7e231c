import { stopwatch } from './stopwatch.mjs'

/** So many tasks run before the time is taken: the workers have started then, and their code is compiled. */
const WARM_UP = 200

const inputs = (count) => Array.from({ length: count }, (_, i) => ({ user: i, template: 'welcome' }))

async function measured(adapter, { tasks, warmUp = WARM_UP, ...options }, work) {
  const { createRunner, durability } = await import(`./adapters/${adapter}.mjs`)
  const runner = createRunner({ workers: 2, ...options })
  await runner.runMany(inputs(warmUp))
  const given = inputs(tasks)
  const read = stopwatch()
  await work(runner, given)
  const spent = read(tasks)
  await runner.close()
  return { ...spent, durability }
}

/** One at a time, each after the last one's end. µs a task. */
export function oneByOne(adapter, options) {
  return measured(adapter, options, async ({ run }, given) => {
    for (const input of given) await run(input)
  })
}

/** All at once. µs a task. */
export function allAtOnce(adapter, options) {
  return measured(adapter, options, ({ runMany }, given) => runMany(given))
}
