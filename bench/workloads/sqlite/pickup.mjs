/** From `submit` in another process to the first line of the handler in this one, which is idle: the median of 30. */
import { setTimeout as sleep } from 'node:timers/promises'
import { createRunner } from '../../adapters/background-runner-sqlite.mjs'
import { startChild } from '../../child.mjs'
import { driverInUse, withFile } from '../../database.mjs'
import { median, percentile } from '../../statistics.mjs'

const SAMPLES = 30

export const title = "pickup of another process's submit, idle, p50"
export const unit = 'ms'

function pickUp() {
  return withFile(async (path) => {
    const samples = []
    const { close } = await createRunner({
      path,
      // Both read the same monotonic clock of the machine.
      handler: async ({ asked }) => {
        samples.push(Number(process.hrtime.bigint() - BigInt(asked)) / 1e6)
      },
    })
    const { ask, stop } = await startChild('submitter.mjs', { DATABASE_PATH: path, SAMPLES })
    try {
      await ask('submit')
      while (samples.length < SAMPLES) await sleep(10)
    } finally {
      await stop()
    }
    await close()
    return {
      value: median(samples),
      p99: percentile(samples, 99),
      durability: 'process',
      on: `${driverInUse()}, NORMAL`,
    }
  })
}

export const cases = { 'background-runner': pickUp }

export const targets = [{ say: 'pickup', value: 'background-runner', atMost: 15 }]
