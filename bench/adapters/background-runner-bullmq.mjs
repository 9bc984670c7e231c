/** The library on BullMQ's Redis. */
import { bullmq as bullmqUrl, library } from '../library.mjs'
import { url } from '../redis.mjs'

const { BackgroundRunner, defineTask } = await import(library.href)
const { bullmq } = await import(bullmqUrl.href)

export const durability = 'Redis'

export async function createRunner({ prefix, concurrency = 10, handler = async () => {}, work = true }) {
  const make = (work) =>
    new BackgroundRunner({
      tasks: { task: defineTask({ run: handler }) },
      engine: bullmq({ connection: url, prefix }),
      concurrency,
      work,
    })
  const runner = make(work)
  await runner.ready()
  let worker
  return {
    submit: (input, options) => runner.submit('task', input, options),
    submitMany: (inputs, options) => runner.submitMany('task', inputs, options),
    drain: async () => {
      worker = make(true)
      await worker.ready()
      await worker.onIdle()
    },
    close: async () => {
      await worker?.close()
      await runner.close()
    },
  }
}
