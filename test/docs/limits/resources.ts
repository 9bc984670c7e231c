import { setTimeout } from 'node:timers/promises'
import { BackgroundRunner, defineTask } from 'background-runner'

const runner = new BackgroundRunner({
  resources: { cpu: 4, gpu: 1 },
  tasks: {
    render: defineTask({
      run: async ({ scene }: { scene: string; frames: number }) => {
        console.log(scene)
        await setTimeout(20)
      },
      requires: ({ frames }) => ({ cpu: frames > 100 ? 4 : 1 }),
    }),
    mail: defineTask({ run: (to: string) => console.log('mail to', to) }), // needs nothing
  },
})

await runner.submit('render', { scene: 'small', frames: 10 })
await runner.submit('render', { scene: 'big', frames: 1_000 })
await runner.submit('render', { scene: 'small, but later', frames: 10 })
await runner.submit('mail', 'ada@example.com')
await runner.submit('render', { scene: 'on the GPU', frames: 1_000 }, { requires: { gpu: 1 } })
await runner.onIdle()
await runner.close()
