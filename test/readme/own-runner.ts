import { BackgroundRunner, defineTask } from 'background-runner'

const runner = new BackgroundRunner({
  tasks: {
    newsletter: defineTask({
      run: async (readers: string[]): Promise<number> => {
        await runner.submitMany('letter', readers)
        return readers.length
      },
    }),
    letter: defineTask({ run: async (reader: string) => `Dear ${reader}` }),
  },
})

await runner.submit('newsletter', ['Ada', 'Grace'])
await runner.onIdle()
console.log((await runner.counts()).succeeded)
await runner.close()
