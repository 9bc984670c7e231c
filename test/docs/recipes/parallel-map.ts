import { BackgroundRunner, defineTask } from 'background-runner'

const runner = new BackgroundRunner({
  concurrency: 4, // so many at once
  tasks: {
    measure: defineTask({ run: async (word: string) => word.length }),
  },
})

async function measureAll(words: readonly string[]): Promise<number[]> {
  const handles = await runner.submitMany('measure', words)
  return Promise.all(handles.map((handle) => handle.result({ timeout: '1m' })))
}

console.log(await measureAll(['one', 'three', 'seventeen']))
await runner.close()
