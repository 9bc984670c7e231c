/**
 * What a task costs in a file that holds many others: half of them ended, half waiting under the same name with a lower
 * priority.
 */
import * as library from '../../adapters/background-runner-sqlite.mjs'
import { driverInUse, fill, withFile } from '../../database.mjs'
import { stopwatch } from '../../stopwatch.mjs'

const TASKS = 20_000

export const title = `${TASKS} no-op tasks in a file that holds others`
export const unit = 'µs/task'
/** Unless more are asked for: it takes long, and says much at once. */
export const rounds = 1

function inFileOf(rows) {
  return withFile(async (path) => {
    await fill(path, rows)
    let ran = 0
    let finish
    const finished = new Promise((resolve) => {
      finish = resolve
    })
    const handler = async ({ standing }) => {
      if (!standing && ++ran === TASKS) finish()
    }
    const { runner, submit } = await library.createRunner({ path, handler })
    await runner.pause()
    const held = Object.values(await runner.counts()).reduce((sum, n) => sum + n)
    if (held !== rows + 1) throw new Error(`${held} tasks in a file of ${rows}`)
    const read = stopwatch()
    const submitted = []
    for (let i = 0; i < TASKS; i++) submitted.push(submit({ user: i, template: 'welcome' }))
    await Promise.all(submitted)
    await runner.resume()
    await finished
    const spent = read(TASKS)
    await runner.pause()
    await runner.close()
    return { ...spent, durability: 'process', on: `${driverInUse()}, NORMAL` }
  })
}

export const cases = {
  'of 1 000': () => inFileOf(1_000),
  'of 1 000 000': () => inFileOf(1_000_000),
}

export const targets = [
  { say: 'cost per task in a file of 1 000 000', ratio: ['of 1 000 000', 'of 1 000'], by: 'wall', atMost: 1.5 },
]
