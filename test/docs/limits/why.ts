import { BackgroundRunner, defineTask } from 'background-runner'

const runner = new BackgroundRunner({
  resources: { gpu: 1 },
  tasks: {
    render: defineTask({
      run: (scene: string, { signal }) =>
        new Promise<string>((resolve) => signal.addEventListener('abort', () => resolve(scene))),
      requires: { gpu: 1 },
    }),
  },
})

const started = new Promise((resolve) => runner.once('started', resolve))
const forest = await runner.submit('render', 'forest', { id: 'forest' })
await runner.submit('render', 'sea', { id: 'sea' })
await runner.submit('render', 'sky', { id: 'sky', after: ['sea'] })
await started
console.log((await runner.explain('sea')).reasons)
console.log((await runner.explain('sky')).reasons)
await forest.cancel()
await runner.close({ deadline: 0 })
