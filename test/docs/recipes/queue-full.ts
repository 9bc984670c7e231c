import { setTimeout } from 'node:timers/promises'
import { BackgroundRunner, defineTask, type TaskHandle } from 'background-runner'

const runner = new BackgroundRunner({
  maxPending: 2,
  concurrency: 1,
  tasks: {
    line: defineTask({
      run: async (line: string) => {
        await setTimeout(5)
        return line.length
      },
    }),
  },
})

let waits = 0

/** As `submit`, but waits while the queue is full. */
async function submitLine(line: string): Promise<TaskHandle<number>> {
  for (;;) {
    try {
      return await runner.submit('line', line)
    } catch (error) {
      if ((error as { code?: string }).code !== 'QUEUE_FULL') throw error
      waits++
      await setTimeout(10)
    }
  }
}

// A large file, say, of which no more is read than can be worked off.
for (const line of ['a', 'bc', 'def', 'g', 'hi', 'jkl']) await submitLine(line)
await runner.onIdle()
console.log((await runner.counts()).succeeded, waits > 0)
await runner.close()
