/** The library on BullMQ's PostgreSQL. */
import { bullmq as bullmqUrl, library } from '../library.mjs'
import { url } from '../postgres.mjs'

const { BackgroundRunner, defineTask } = await import(library.href)
const { bullmq } = await import(bullmqUrl.href)

export const durability = 'PostgreSQL'

export async function createRunner({ schema, concurrency = 10, handler = async () => {} }) {
  const make = (work) =>
    new BackgroundRunner({
      tasks: { task: defineTask({ run: handler }) },
      engine: bullmq({ connection: url, prefix: schema }),
      concurrency,
      work,
    })
  const runner = make(false)
  await runner.ready()
  let worker
  return {
    submit: (input) => runner.submit('task', input),
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
