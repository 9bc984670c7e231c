import { BackgroundRunner, defineTask, NonRetryableError } from 'background-runner'
import { z } from 'zod'

const thumbnail = defineTask({
  input: z.object({ picture: z.string(), width: z.number().int().max(4096) }), // any Standard Schema, or none
  timeout: '30s',
  concurrency: 2, // of this task; the runner has a limit of its own
  retry: { attempts: 5, backoff: { type: 'exponential', delay: '1s' } },
  run: async ({ picture, width }, { signal, progress, save, saved, attempt, log }) => {
    if (picture.endsWith('.txt')) throw new NonRetryableError('not a picture', { code: 'NOT_A_PICTURE' })
    log('resizing', { width, attempt })
    for (let percent = Number(saved ?? 0); percent < 100; percent += 50) {
      signal.throwIfAborted() // cancel, timeout and shutdown arrive here
      progress({ percent })
      await save(percent) // survives into the next attempt
    }
    return { path: picture.replace('.png', `-${width}.png`) }
  },
})

const runner = new BackgroundRunner({ tasks: { thumbnail } })
runner.on('succeeded', ({ name, output }) => console.log(name, output))
runner.on('failed', ({ name, error }) => console.log(name, error?.code))

const { path } = await (await runner.submit('thumbnail', { picture: 'ada.png', width: 200 })).result()
console.log(path)
await (await runner.submit('thumbnail', { picture: 'notes.txt', width: 200 })).wait()
await runner.close()
