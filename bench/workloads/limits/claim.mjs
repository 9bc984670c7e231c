/** What a task under limits costs beside one without, of 30 000 that wait over 3 000 keys. */
import { limited } from '../../limited.mjs'

const WAITING = 30_000
const KEYS = 3_000
const TASKS = { memory: 90_000, sqlite: 10_000 }

export const title = `no-op tasks, of ${WAITING} that wait over ${KEYS} keys`
export const unit = 'µs/task'
/** Unless more are asked for: it takes long, and says much at once. */
export const rounds = 1

export const cases = {}
export const targets = []
for (const engine of ['memory', 'sqlite']) {
  for (const limits of ['none', 'keyed', 'all'])
    cases[`${engine}, ${limits}`] = () =>
      limited(engine, { limits, waiting: WAITING, keys: KEYS, tasks: TASKS[engine] })
  for (const limits of ['keyed', 'all'])
    targets.push({
      say: `cost over no limits, ${engine}, ${limits}`,
      ratio: [`${engine}, ${limits}`, `${engine}, none`],
      by: 'wall',
      atMost: 3,
    })
}
