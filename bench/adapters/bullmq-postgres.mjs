/** Bare BullMQ over its PostgreSQL backend. */
import bull from 'bullmq'
import { url } from '../postgres.mjs'

export const durability = 'PostgreSQL'

export async function createRunner({ schema, concurrency = 10, handler }) {
  const options = { connection: { connectionString: url, schema, migrate: true } }
  const queue = new bull.Queue('task', options, bull.createPostgresBackend)
  await queue.waitUntilReady()
  let done = 0
  let worker
  return {
    submit: (input) => queue.add('task', input),
    submitMany: (inputs) => queue.addBulk(inputs.map((data) => ({ name: 'task', data }))),
    /** Works off `tasks`. */
    drain: (tasks) =>
      new Promise((resolve) => {
        worker = new bull.Worker(
          'task',
          ({ data }) => handler(data),
          { ...options, concurrency },
          bull.createPostgresBackend,
        )
        worker.on('completed', () => {
          if (++done === tasks) resolve()
        })
      }),
    close: async () => {
      await worker?.close()
      await queue.close()
    },
  }
}
