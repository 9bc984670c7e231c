/**
 * plainjob on better-sqlite3, the driver that it is written for: 13 where Node has one of its own, 12 before. A worker does
 * one job at a time, so there are as many as tasks may run at once.
 */
import { better, defineQueue, defineWorker, JobStatus } from 'plainjob'
import { SYNCHRONOUS } from '../database.mjs'

const modern = process.getBuiltinModule?.('node:sqlite') !== undefined
const { default: Database } = await import(modern ? 'better-sqlite3-13' : 'better-sqlite3')

const logger = { error: console.error, warn() {}, info() {}, debug() {} }

export const durability = ['process', 'power']

export async function createRunner({ path, durability, concurrency, handler }) {
  const connection = better(new Database(path))
  const queue = defineQueue({ connection, logger })
  connection.pragma(`synchronous = ${SYNCHRONOUS[durability]}`) // it has set its own
  let added = 0
  let done = 0
  let finish
  const onCompleted = () => {
    if (++done === added) finish()
  }
  const workers = Array.from({ length: concurrency }, () =>
    defineWorker('task', ({ data }) => handler(JSON.parse(data)), { queue, logger, onCompleted }),
  )
  return {
    submit: (input) => {
      added++
      return queue.add('task', input)
    },
    // Started when all is there: a worker that finds nothing sleeps for a second.
    onIdle: () =>
      new Promise((resolve) => {
        finish = resolve
        for (const worker of workers) void worker.start()
      }),
    succeeded: async () => queue.countJobs({ status: JobStatus.Done }),
    close: async () => {
      await Promise.all(workers.map((worker) => worker.stop()))
      queue.close()
    },
  }
}
