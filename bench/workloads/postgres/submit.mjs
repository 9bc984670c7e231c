/** From `submit` to its acknowledgement by PostgreSQL, one at a time, nobody works: the median of 300. */
import { setTimeout as sleep } from 'node:timers/promises'
import { withPostgres } from '../../postgres.mjs'
import { median } from '../../statistics.mjs'

const SAMPLES = 300
const WARM_UP = 100

export const title = 'submit acknowledged by PostgreSQL, p50'
export const unit = 'µs'

function sampled(adapter) {
  return withPostgres(async (schema) => {
    const { createRunner, durability } = await import(`../../adapters/${adapter}.mjs`)
    const { submit, close } = await createRunner({ schema })
    const samples = []
    for (let i = 0; i < WARM_UP + SAMPLES; i++) {
      await sleep(1)
      const start = performance.now()
      await submit({ user: i, template: 'welcome' })
      if (i >= WARM_UP) samples.push((performance.now() - start) * 1_000)
    }
    await close()
    return { value: median(samples), durability }
  })
}

export const cases = {
  'background-runner': () => sampled('background-runner-postgres'),
  'queue.add of bare BullMQ': () => sampled('bullmq-postgres'),
}

export const targets = [
  {
    say: 'time of a submit over queue.add',
    ratio: ['background-runner', 'queue.add of bare BullMQ'],
    by: 'value',
  },
]
