/** From `submit` on an idle runner to the first line of the handler: the median of 500. */
import { setTimeout as sleep } from 'node:timers/promises'
import { median } from '../../statistics.mjs'

const SAMPLES = 500
const WARM_UP = 500

export const title = 'pickup from idle, p50'
export const unit = 'µs'

async function pickUp(adapter) {
  const { createRunner, durability } = await import(`../../adapters/${adapter}.mjs`)
  let begun = 0
  const { submit, onIdle } = createRunner({
    handler: async () => {
      begun = performance.now()
    },
  })
  const samples = []
  for (let i = 0; i < WARM_UP + SAMPLES; i++) {
    await sleep(1)
    const start = performance.now()
    await submit({ user: i })
    await onIdle()
    if (i >= WARM_UP) samples.push((begun - start) * 1_000)
  }
  return { value: median(samples), durability }
}

export const cases = {
  'background-runner': () => pickUp('background-runner'),
  'p-queue': () => pickUp('p-queue'),
  fastq: () => pickUp('fastq'),
  'lean-runner': () => pickUp('lean-runner'),
}

export const targets = [{ say: 'pickup', value: 'background-runner', atMost: 50 }]
