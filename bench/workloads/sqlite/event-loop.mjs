/** How late the event loop is while a backlog is worked off that stood in the file. */
import { createRunner } from '../../adapters/background-runner-sqlite.mjs'
import { driverInUse, withFile } from '../../database.mjs'
import { delayWhileDraining } from '../../event-loop-delay.mjs'

const TASKS = 50_000

export const title = `event-loop delay while ${TASKS} no-op tasks are worked off`
export const unit = 'ms'
/** Unless more are asked for: it takes long, and says much at once. */
export const rounds = 1

function whileDraining(concurrency) {
  return withFile(async (path) => {
    const delay = await delayWhileDraining(await createRunner({ path, concurrency }), TASKS)
    return { ...delay, durability: 'process', on: `${driverInUse()}, NORMAL` }
  })
}

export const cases = {
  'p99 at concurrency 10': () => whileDraining(10),
  'p99 at concurrency 100': () => whileDraining(100),
}

export const targets = Object.keys(cases).map((name) => ({ say: name, value: name, atMost: 20 }))
