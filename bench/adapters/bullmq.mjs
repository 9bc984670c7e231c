/** Bare BullMQ: what a programmer writes who needs nothing else of it. */
import bull from 'bullmq'
import { connection } from '../redis.mjs'

export const durability = 'Redis'

export async function createRunner({ prefix, concurrency = 10, handler }) {
  const options = { connection: { ...connection, maxRetriesPerRequest: null }, prefix }
  const queue = new bull.Queue('task', options)
  await queue.waitUntilReady()
  let done = 0
  let wanted = Number.POSITIVE_INFINITY
  let finish
  let worker
  return {
    submit: (input) => queue.add('task', input),
    submitMany: (inputs) => queue.addBulk(inputs.map((data) => ({ name: 'task', data }))),
    /** Works off `tasks`. */
    drain: (tasks) =>
      new Promise((resolve) => {
        wanted = tasks
        finish = resolve
        worker = new bull.Worker('task', ({ data }) => handler(data), { ...options, concurrency })
        worker.on('completed', () => {
          if (++done === wanted) finish()
        })
      }),
    close: async () => {
      await worker?.close()
      await queue.close()
    },
  }
}
