/** An app that a bundler makes one file of, and another of its handler. It prints what became of its tasks. */
import { pathToFileURL } from 'node:url'
import { BackgroundRunner, defineTask } from 'background-runner'

const here = typeof __filename === 'undefined' ? import.meta.url : pathToFileURL(__filename).href
const handler = new URL('./handler.js', here)
const retry = { attempts: 1 }
const runner = new BackgroundRunner({
  tasks: {
    inline: defineTask<typeof import('./handler.js')>({ isolation: 'inline', module: handler, retry }),
    thread: defineTask<typeof import('./handler.js')>({ isolation: 'thread', module: handler, retry }),
    process: defineTask<typeof import('./handler.js')>({ isolation: 'process', module: handler, retry }),
  },
})
const ends = (['inline', 'thread', 'process'] as const).map(async (name) => {
  const { output, error } = await (await runner.submit(name, { width: 21 })).wait()
  return error === undefined ? (output as { width: number }).width : error.code
})
Promise.all(ends).then(async (all) => {
  console.log(all.join())
  await runner.close()
})
