import { BackgroundRunner, defineTask } from 'background-runner'
import { z } from 'zod'

const input = z.object({ at: z.coerce.date<string>(), note: z.string() })

const runner = new BackgroundRunner({
  tasks: {
    // The module, its export, the schema: with a schema that changes what it takes all three are told.
    remind: defineTask<typeof import('./reminder.js'), 'run', typeof input>({
      isolation: 'process',
      module: new URL('./reminder.js', import.meta.url),
      input,
    }),
  },
  context: { capture: () => 'request 7' },
})

const handle = await runner.submit('remind', { at: '2030-01-01', note: 'Happy new year' })
console.log(await handle.result())
await runner.close()
