/** Working off a backlog of no-op tasks that stands in PostgreSQL: µs a task. */
import { withPostgres } from '../../postgres.mjs'
import { stopwatch } from '../../stopwatch.mjs'

const TASKS = 1_000
const CHUNK = 500

export const title = `${TASKS} no-op tasks worked off, that stood in PostgreSQL, concurrency 10`
export const unit = 'µs a task'

function draining(adapter) {
  return withPostgres(async (schema) => {
    const { createRunner, durability } = await import(`../../adapters/${adapter}.mjs`)
    let ran = 0
    const { submitMany, drain, close } = await createRunner({ schema, handler: async () => void ran++ })
    for (let i = 0; i < TASKS; i += CHUNK)
      await submitMany(Array.from({ length: CHUNK }, (_, n) => ({ user: i + n, template: 'welcome' })))
    const read = stopwatch()
    await drain(TASKS)
    const spent = read(TASKS)
    if (ran !== TASKS) throw new Error(`${adapter}: ${ran} of ${TASKS} ran`)
    await close()
    return { ...spent, durability }
  })
}

export const cases = {
  'background-runner': () => draining('background-runner-postgres'),
  'bare BullMQ': () => draining('bullmq-postgres'),
}

export const targets = [
  { say: 'throughput of bare BullMQ over ours, time', ratio: ['bare BullMQ', 'background-runner'], by: 'wall' },
]
