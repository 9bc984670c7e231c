/** Working off a backlog of no-op tasks that stands in Redis: µs a task. */
import { withRedis } from '../../redis.mjs'
import { stopwatch } from '../../stopwatch.mjs'

const TASKS = 10_000
const CHUNK = 1_000

export const title = `${TASKS} no-op tasks worked off, that stood in Redis`
export const unit = 'µs a task'
/** Unless more are asked for: it takes long, and says much at once. */
export const rounds = 1

function draining(adapter, concurrency) {
  return withRedis(async (prefix) => {
    const { createRunner, durability } = await import(`../../adapters/${adapter}.mjs`)
    let ran = 0
    const { submitMany, drain, close } = await createRunner({
      prefix,
      concurrency,
      work: false,
      handler: async () => void ran++,
    })
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

const CONCURRENCIES = [10, 50]

export const cases = Object.fromEntries(
  CONCURRENCIES.flatMap((concurrency) => [
    [`background-runner at concurrency ${concurrency}`, () => draining('background-runner-bullmq', concurrency)],
    [`bare BullMQ at concurrency ${concurrency}`, () => draining('bullmq', concurrency)],
    [`bee-queue at concurrency ${concurrency}`, () => draining('bee-queue', concurrency)],
  ]),
)

export const targets = CONCURRENCIES.flatMap((concurrency) => [
  {
    say: `throughput of bare BullMQ over ours, time, concurrency ${concurrency}`,
    ratio: [`bare BullMQ at concurrency ${concurrency}`, `background-runner at concurrency ${concurrency}`],
    by: 'wall',
    atLeast: 0.85,
  },
  {
    say: `throughput of bee-queue over ours, time, concurrency ${concurrency}`,
    ratio: [`bee-queue at concurrency ${concurrency}`, `background-runner at concurrency ${concurrency}`],
    by: 'wall',
  },
])
