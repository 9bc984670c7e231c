/** What a task under all limits costs with few and with many that wait, over a tenth as many keys. */
import { limited } from '../../limited.mjs'

const FEW = 1_000
const MANY = 100_000
const TASKS = 10_000

export const title = `${TASKS} no-op tasks under all limits, of those that wait`
export const unit = 'µs/task'
/** Unless more are asked for: it takes long, and says much at once. */
export const rounds = 1

export const cases = {}
export const targets = []
for (const engine of ['memory', 'sqlite']) {
  const of = (waiting) => `${engine}, ${waiting} wait`
  for (const waiting of [FEW, MANY])
    cases[of(waiting)] = () => limited(engine, { limits: 'all', waiting, keys: waiting / 10, tasks: TASKS })
  targets.push({ say: `cost with ${MANY}, ${engine}`, ratio: [of(MANY), of(FEW)], by: 'cpu', atMost: 1.5 })
}
