import { BackgroundRunner, defineTask } from 'background-runner'

const runner = new BackgroundRunner({
  tasks: {
    greet: defineTask({ run: async (name: string) => `Hello ${name}` }),
  },
})

const handle = await runner.submit('greet', 'Ada') // answers at once
console.log(await handle.result())
console.log((await runner.status(handle.id))?.state)
await runner.close()
