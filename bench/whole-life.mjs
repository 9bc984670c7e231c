import { driverInUse, durabilityOf, SYNCHRONOUS, withFile } from './database.mjs'
import { stopwatch } from './stopwatch.mjs'

/** Submits `tasks` no-ops in one burst to a file, waits until all have run, and checks that they did. µs a task. */
export function wholeLife(adapter, { tasks, durability = 'process', ...options }) {
  return withFile(async (path) => {
    const { createRunner, durability: own } = await import(`./adapters/${adapter}.mjs`)
    let ran = 0
    const handler = async () => {
      ran++
    }
    const { submit, onIdle, succeeded, close } = await createRunner({ path, durability, handler, ...options })
    const read = stopwatch()
    const submitted = []
    for (let i = 0; i < tasks; i++) submitted.push(submit({ user: i, template: 'welcome' }))
    await Promise.all(submitted)
    await onIdle()
    const spent = read(tasks)
    const kept = await succeeded()
    if (ran !== tasks || kept !== tasks) throw new Error(`${adapter}: ${ran} of ${tasks} ran, ${kept} are kept`)
    await close()
    return { ...spent, durability: durabilityOf(own, durability), on: `${driverInUse()}, ${SYNCHRONOUS[durability]}` }
  })
}
