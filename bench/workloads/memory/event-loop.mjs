/** How late the event loop is while a backlog is worked off. */
import { createRunner, durability } from '../../adapters/background-runner.mjs'
import { delayWhileDraining } from '../../event-loop-delay.mjs'

const TASKS = 300_000

export const title = `event-loop delay while ${TASKS} no-op tasks are worked off`
export const unit = 'ms'
/** Unless more are asked for: it takes long, and says much at once. */
export const rounds = 1

const whileDraining = async (concurrency) => ({
  ...(await delayWhileDraining(createRunner({ concurrency, retention: { count: TASKS } }), TASKS)),
  durability,
})

export const cases = {
  'p99 at concurrency 10': () => whileDraining(10),
  'p99 at concurrency 100': () => whileDraining(100),
}

export const targets = Object.keys(cases).map((name) => ({ say: name, value: name, atMost: 20 }))
