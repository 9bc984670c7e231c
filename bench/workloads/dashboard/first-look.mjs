/** What the dashboard opens with, in a file that holds many tasks: the overview with its counts, and the first page. */
import * as library from '../../adapters/background-runner-sqlite.mjs'
import { driverInUse, fill, withFile } from '../../database.mjs'
import { http } from '../../library.mjs'
import { percentile } from '../../statistics.mjs'

const LOOKS = 200
const PATHS = ['overview', 'tasks?view=summary', 'tasks?view=summary&states=queued', 'counts']

export const title = 'the first list and the counts of the dashboard, p50'
export const unit = 'µs'
/** Unless more are asked for: it takes long, and says much at once. */
export const rounds = 1

function inFileOf(rows) {
  return withFile(async (path) => {
    await fill(path, rows)
    const { createHandler } = await import(http)
    const { runner } = await library.createRunner({ path, work: false })
    const handler = createHandler(runner, { authorize: () => ['read'] })
    const times = []
    for (let look = 0; look < LOOKS; look++) {
      const start = performance.now()
      const answers = await Promise.all(PATHS.map((each) => handler(new Request(`http://x/${each}`))))
      const texts = await Promise.all(answers.map((answer) => answer.text()))
      if (look >= LOOKS / 4) times.push((performance.now() - start) * 1_000)
      if (JSON.parse(texts[1]).tasks.length !== 50) throw new Error(texts[1])
    }
    await runner.close()
    return { value: percentile(times, 50), p99: percentile(times, 99), durability: 'process', on: driverInUse() }
  })
}

export const cases = {
  'of 1 000': () => inFileOf(1_000),
  'of 1 000 000': () => inFileOf(1_000_000),
}

export const targets = [{ say: 'in a file of 1 000 000', ratio: ['of 1 000 000', 'of 1 000'], by: 'value', atMost: 2 }]
