import { BackgroundRunner, defineTask } from 'background-runner'

const runner = new BackgroundRunner({
  resources: { cpu: 4 },
  tasks: {
    report: defineTask({
      run: async ({ tenant, pages }: { tenant: string; pages: number }) => `${pages} pages for ${tenant}`,
      concurrency: { max: 2, by: ({ tenant }) => tenant }, // no more than two of each tenant run at once
      rateLimit: { max: 100, interval: '1m' }, // no more than 100 start in any minute
      requires: ({ pages }) => ({ cpu: pages > 100 ? 4 : 1 }), // a big one has the machine for itself
    }),
  },
})

console.log(await (await runner.submit('report', { tenant: 'acme', pages: 500 })).result())
await runner.close()
