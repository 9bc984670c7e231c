/** `submitMany(1 000)` against `addBulk`, in PostgreSQL: µs a task, the median of 5 batches. */
import { withPostgres } from '../../postgres.mjs'
import { median } from '../../statistics.mjs'

const BATCHES = 5
const SIZE = 1_000

export const title = `submitMany of ${SIZE}, in PostgreSQL`
export const unit = 'µs a task'

function batches(adapter, options) {
  return withPostgres(async (schema) => {
    const { createRunner, durability } = await import(`../../adapters/${adapter}.mjs`)
    const { submitMany, close } = await createRunner({ schema })
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
  'background-runner': () => batches('background-runner-postgres'),
  'background-runner, two tags each': () => batches('background-runner-postgres', { tags: ['newsletter', 'march'] }),
  'addBulk of bare BullMQ': () => batches('bullmq-postgres'),
}

export const targets = [
  { say: 'addBulk over submitMany', ratio: ['addBulk of bare BullMQ', 'background-runner'], by: 'value' },
  {
    say: 'addBulk over submitMany, with two tags',
    ratio: ['addBulk of bare BullMQ', 'background-runner, two tags each'],
    by: 'value',
  },
]
