import { setTimeout } from 'node:timers/promises'
import { BackgroundRunner, defineTask } from 'background-runner'

const runner = new BackgroundRunner({
  tasks: {
    load: defineTask({
      run: async ({ tenant, file }: { tenant: string; file: string }) => {
        console.log(tenant, file)
        await setTimeout(20)
      },
      concurrency: { max: 1, by: ({ tenant }) => tenant }, // one at a time of each tenant
    }),
  },
})

const files = ['1.csv', '2.csv', '3.csv'].map((file) => ({ tenant: 'acme', file }))
await runner.submitMany('load', files)
await runner.submit('load', { tenant: 'globex', file: 'a.csv' })
await runner.onIdle()
await runner.close()
