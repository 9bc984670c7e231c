/** From `submit` to its acknowledgement, one at a time, nobody works: the median of 500. */
import { setTimeout as sleep } from 'node:timers/promises'
import { withRedis } from '../../redis.mjs'
import { median } from '../../statistics.mjs'

const SAMPLES = 500
const WARM_UP = 300

export const title = 'submit acknowledged by Redis, p50'
export const unit = 'µs'
/** Unless more are asked for: it takes long, and says much at once. */
export const rounds = 1

function sampled(adapter) {
  return withRedis(async (prefix) => {
    const { createRunner, durability } = await import(`../../adapters/${adapter}.mjs`)
    const { submit, close } = await createRunner({ prefix, work: false })
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
  'background-runner': () => sampled('background-runner-bullmq'),
  'queue.add of bare BullMQ': () => sampled('bullmq'),
  'job.save of bee-queue': () => sampled('bee-queue'),
}

export const targets = [
  {
    say: 'time of a submit over queue.add',
    ratio: ['background-runner', 'queue.add of bare BullMQ'],
    by: 'value',
    atMost: 1.3,
  },
  {
    say: 'time of a submit over job.save of bee-queue',
    ratio: ['background-runner', 'job.save of bee-queue'],
    by: 'value',
  },
]
