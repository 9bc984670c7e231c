/** How late the event loop is while a backlog is worked off that stood in the file. */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import * as library from '../../adapters/background-runner-sqlite.mjs'
import { driverInUse, withFile } from '../../database.mjs'

const TASKS = 50_000

export const title = `event-loop delay while ${TASKS} no-op tasks are worked off`
export const unit = 'ms'
/** Unless more are asked for: it takes long, and says much at once. */
export const rounds = 1

/** @param percent of all delays; 100 is the longest */
function whileDraining(concurrency) {
  return withFile(async (path) => {
    const { runner, submit, onIdle } = await library.createRunner({ path, concurrency })
    await runner.pause()
    const submitted = []
    for (let i = 0; i < TASKS; i++) submitted.push(submit({ user: i, template: 'welcome' }))
    await Promise.all(submitted)
    const delay = monitorEventLoopDelay({ resolution: 1 })
    delay.enable()
    await runner.resume()
    await onIdle()
    delay.disable()
    const { succeeded } = await runner.counts()
    if (succeeded !== TASKS) throw new Error(`${succeeded} of ${TASKS} succeeded`)
    await runner.close()
    return {
      value: delay.percentile(99) / 1e6,
      most: delay.max / 1e6,
      durability: 'process',
      on: `${driverInUse()}, NORMAL`,
    }
  })
}

export const cases = {
  'p99 at concurrency 10': () => whileDraining(10),
  'p99 at concurrency 100': () => whileDraining(100),
}

export const targets = Object.keys(cases).map((name) => ({ say: name, value: name, atMost: 20 }))
