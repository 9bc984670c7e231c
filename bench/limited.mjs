import { driverInUse, SYNCHRONOUS, withFile } from './database.mjs'
import { library, sqlite as sqliteUrl } from './library.mjs'
import { stopwatch } from './stopwatch.mjs'

const LIMITS = {
  none: {},
  keyed: { concurrency: { max: 2, by: ({ tenant }) => tenant } },
  // None of them ever keeps a task: what is measured is that they are looked at.
  all: {
    concurrency: { max: 2, by: ({ tenant }) => tenant },
    rateLimit: { max: 10_000_000, interval: '1s' },
    requires: { cpu: 1 },
  },
}

/**
 * What a task costs from its claim to its end while about `waiting` others wait, over so many keys: `tasks` of them are
 * run after as many for warming up, and where fewer wait, in as many rounds as it takes. µs a task.
 *
 * @param engine `memory` or `sqlite` @param limits one of LIMITS
 */
export function limited(engine, options) {
  return engine === 'memory' ? measured(undefined, options) : withFile((path) => measured(path, options))
}

async function measured(path, { limits, waiting, keys, tasks }) {
  const { BackgroundRunner, defineTask } = await import(library.href)
  const engine = path === undefined ? {} : { engine: (await import(sqliteUrl.href)).sqlite({ path }) }
  let left = 0
  let finish = () => {}
  const run = async () => {
    if (--left === 0) finish()
  }
  const runner = new BackgroundRunner({
    tasks: { task: defineTask({ ...LIMITS[limits], run }) },
    concurrency: 10,
    ...(limits === 'all' && { resources: { cpu: 100 } }),
    ...engine,
  })
  let submitted = 0
  const fill = async (count) => {
    for (let i = 0; i < count; i += 1_000) {
      const inputs = Array.from({ length: Math.min(1_000, count - i) }, () => ({ tenant: `t${submitted++ % keys}` }))
      await runner.submitMany('task', inputs)
    }
    globalThis.gc?.()
  }
  /** Runs `count` of those that wait. */
  const drain = async (count) => {
    const finished = new Promise((resolve) => {
      finish = resolve
    })
    left = count
    const read = stopwatch()
    await runner.resume()
    await finished
    const spent = read(1)
    await runner.pause()
    return spent
  }
  const round = Math.min(waiting, tasks)
  const sum = { wall: 0, cpu: 0 }
  await runner.pause()
  await fill(waiting)
  for (let done = 0; done < 2 * tasks; done += round) {
    const { wall, cpu } = await drain(round)
    if (done >= tasks) {
      sum.wall += wall / tasks
      sum.cpu += cpu / tasks
    }
    await fill(round)
  }
  await runner.close({ deadline: 0 })
  if (path === undefined) return { ...sum, durability: 'none' }
  return { ...sum, durability: 'process', on: `${driverInUse()}, ${SYNCHRONOUS.process}` }
}
