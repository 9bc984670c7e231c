import { BackgroundRunner, defineTask } from 'background-runner'

const runner = new BackgroundRunner({
  tasks: {
    fetch: defineTask({
      retry: { attempts: 1 },
      run: (page: string) => {
        if (page === '') throw new Error('no page')
        return page.length
      },
    }),
    report: defineTask({
      run: async (ids: string[]) => {
        const lengths = await Promise.all(ids.map((id) => runner.result(id)))
        console.log(lengths)
      },
    }),
    tidyUp: defineTask({ run: () => console.log('tidied up') }),
  },
})

const pages = await runner.submitMany('fetch', ['home', 'contact'])
const after = pages.map(({ id }) => id)
await runner.submit('report', after, { after })
await runner.onIdle()

const broken = await runner.submit('fetch', '', { id: 'broken' })
const report = await runner.submit('report', [], { after: [broken.id] })
await runner.submit('tidyUp', undefined, { after: [report.id], onParentFailure: 'run' })
const { state, error } = await report.wait()
await runner.onIdle()
console.log(state, error?.message)
await runner.close()
