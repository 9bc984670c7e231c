import { BackgroundRunner, defineTask } from 'background-runner'

const shared = {
  isolation: 'thread',
  module: new URL('./troubles.js', import.meta.url),
  retry: { attempts: 1 }, // more, and each of these is tried again
} as const
type Troubles = typeof import('./troubles.js')

const runner = new BackgroundRunner({
  tasks: {
    spin: defineTask<Troubles, 'spin'>({ ...shared, export: 'spin', timeout: '100ms' }),
    hog: defineTask<Troubles, 'hog'>({ ...shared, export: 'hog', memory: '32MB' }),
    exit: defineTask<Troubles, 'exit'>({ ...shared, export: 'exit' }),
  },
  cancelGrace: '100ms',
})

for (const name of ['spin', 'hog', 'exit'] as const) {
  const { state, error } = await (await runner.submit(name)).wait()
  console.log(name, state, error?.code)
}
await runner.close()
