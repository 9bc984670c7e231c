/** From `submit` to the first line of the handler in the same process, which is idle: the median of 1 000. */
import { setTimeout as sleep } from 'node:timers/promises'
import { createRunner } from '../../adapters/background-runner-sqlite.mjs'
import { driverInUse, withFile } from '../../database.mjs'
import { median, percentile } from '../../statistics.mjs'

const SAMPLES = 1_000
const WARM_UP = 300

export const title = "pickup of this process's own submit, idle, p50"
export const unit = 'µs'

function pickUp(durability) {
  return withFile(async (path) => {
    let begun = 0
    const handler = async () => {
      begun = performance.now()
    }
    const { submit, onIdle, close } = await createRunner({ path, durability, handler })
    const samples = []
    for (let i = 0; i < WARM_UP + SAMPLES; i++) {
      await sleep(1)
      const start = performance.now()
      await submit({ user: i, template: 'welcome' })
      await onIdle()
      if (i >= WARM_UP) samples.push((begun - start) * 1_000)
    }
    await close()
    return { value: median(samples), p99: percentile(samples, 99), durability, on: driverInUse() }
  })
}

export const cases = { 'background-runner': () => pickUp('process') }

export const targets = [{ say: 'pickup', value: 'background-runner', atMost: 300 }]
