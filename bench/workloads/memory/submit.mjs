/** From `submit` to its acknowledgement, one at a time on an idle runner: the median of 1 000. */
import { setTimeout as sleep } from 'node:timers/promises'
import { median } from '../../statistics.mjs'

const SAMPLES = 1_000
const WARM_UP = 500

export const title = 'submit acknowledged, idle, p50'
export const unit = 'µs'

async function acknowledged(adapter) {
  const { createRunner, durability } = await import(`../../adapters/${adapter}.mjs`)
  const { submit, onIdle } = createRunner()
  const samples = []
  for (let i = 0; i < WARM_UP + SAMPLES; i++) {
    await sleep(1)
    const start = performance.now()
    await submit({ user: i, template: 'welcome' })
    if (i >= WARM_UP) samples.push((performance.now() - start) * 1_000)
    await onIdle()
  }
  return { value: median(samples), durability }
}

// The others acknowledge nothing: their promise is that of the end.
export const cases = {
  'background-runner': () => acknowledged('background-runner'),
  'lean-runner': () => acknowledged('lean-runner'),
}

export const targets = []
