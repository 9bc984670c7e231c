/**
 * Sidequest on its SQLite backend, in the way that is fastest: in this process and on its event loop (`fork: false`,
 * `runner: 'inline'`). It asks for Node 22.6 and runs on 20 as well. A job is a class that it imports by its file.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { Sidequest } from 'sidequest'
import { Handled } from '../sidequest-job.mjs'

/** better-sqlite3 with WAL, as it is built: synchronous = NORMAL. It has no setting for that. */
export const durability = 'process'

export async function createRunner({ path, concurrency, handler }) {
  const options = {
    backend: { driver: '@sidequest/sqlite-backend', config: path },
    queues: [{ name: 'default', concurrency }],
    maxConcurrentJobs: concurrency,
    fork: false,
    runner: 'inline',
    jobPollingInterval: 10,
    dashboard: { enabled: false },
    logger: { level: 'error' },
  }
  await Sidequest.configure(options)
  let [added, ran] = [0, 0]
  Handled.handler = async (input) => {
    await handler(input)
    ran++
  }
  const completed = async () => (await Sidequest.job.count()).completed
  return {
    submit: (input) => {
      added++
      return Sidequest.build(Handled).enqueue(input)
    },
    onIdle: async () => {
      await Sidequest.start(options)
      // Its own counting is a query that would take its time from the others: not before all have run.
      while (ran < added || (await completed()) < added) await sleep(5)
    },
    succeeded: completed,
    close: () => Sidequest.stop(),
  }
}
