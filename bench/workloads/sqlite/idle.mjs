/** What a worker costs that has nothing to do, alone on its file. */
import { setTimeout as sleep } from 'node:timers/promises'
import { createRunner } from '../../adapters/background-runner-sqlite.mjs'
import { driverInUse, withFile } from '../../database.mjs'
import { stopwatch } from '../../stopwatch.mjs'

/** ms until what a task has set going has come to rest; and that are measured. */
const REST = 3_000
const MEASURED = 5_000

export const title = 'CPU of an idle worker'
export const unit = '% of a core'
/** Unless more are asked for: it takes long, and says much at once. */
export const rounds = 1

function beIdle() {
  return withFile(async (path) => {
    const { submit, onIdle, close } = await createRunner({ path })
    await submit({ user: 0 })
    await onIdle()
    await sleep(REST)
    const read = stopwatch()
    await sleep(MEASURED)
    const { cpu, wall } = read()
    await close()
    return { value: (cpu / wall) * 100, durability: 'process', on: `${driverInUse()}, NORMAL` }
  })
}

export const cases = { 'background-runner': beIdle }

export const targets = [{ say: 'CPU', value: 'background-runner', atMost: 1 }]
