/** Bare bee-queue: its defaults, but that a finished job is not kept in this process. */
import Queue from 'bee-queue'
import { connection } from '../redis.mjs'

export const durability = 'Redis'

export async function createRunner({ prefix, concurrency = 10, handler }) {
  const options = { redis: connection, prefix, storeJobs: false, sendEvents: false, getEvents: false }
  const queue = new Queue('task', { ...options, isWorker: false })
  await queue.ready()
  let worker
  return {
    submit: (input) => queue.createJob(input).save(),
    submitMany: async (inputs) => {
      const failed = await queue.saveAll(inputs.map((input) => queue.createJob(input)))
      if (failed.size > 0) throw new Error(`bee-queue: ${failed.size} jobs were not stored`)
    },
    /** Works off `tasks`. */
    drain: (tasks) =>
      new Promise((resolve) => {
        let done = 0
        worker = new Queue('task', options)
        worker.on('succeeded', () => {
          if (++done === tasks) resolve()
        })
        worker.process(concurrency, ({ data }) => handler(data))
      }),
    close: async () => {
      await worker?.close()
      await queue.close()
    },
  }
}
