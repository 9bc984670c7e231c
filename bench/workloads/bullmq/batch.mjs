/** `submitMany(1 000)` against `addBulk`: µs a task, the median of 20 batches. */
import { withRedis } from '../../redis.mjs'
import { median } from '../../statistics.mjs'

const BATCHES = 20
const SIZE = 1_000

export const title = `submitMany of ${SIZE}`
export const unit = 'µs a task'
/** Unless more are asked for: it takes long, and says much at once. */
export const rounds = 1

function batches(adapter, options) {
  return withRedis(async (prefix) => {
    const { createRunner, durability } = await import(`../../adapters/${adapter}.mjs`)
    const { submitMany, close } = await createRunner({ prefix, work: false })
    const samples = []
    for (let i = 0; i < BATCHES; i++) {
      const inputs = Array.from({ length: SIZE }, (_, n) => ({ user: n, template: 'welcome' }))
      const start = performance.now()
      await submitMany(inputs, options)
      samples.push(((performance.now() - start) * 1_000) / SIZE)
    }
    await close()
    return { value: median(samples), durability }
  })
}

export const cases = {
  'background-runner': () => batches('background-runner-bullmq'),
  'background-runner, two tags each': () => batches('background-runner-bullmq', { tags: ['newsletter', 'march'] }),
  'addBulk of bare BullMQ': () => batches('bullmq'),
}

export const targets = [
  {
    say: 'addBulk over submitMany, without tags',
    ratio: ['addBulk of bare BullMQ', 'background-runner'],
    by: 'value',
    atLeast: 0.8,
  },
  {
    say: 'addBulk over submitMany, with two tags',
    ratio: ['addBulk of bare BullMQ', 'background-runner, two tags each'],
    by: 'value',
    atLeast: 0.6,
  },
]
