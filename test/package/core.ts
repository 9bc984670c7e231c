/** A user's program: compiled against the packed package as ESM and as CommonJS, then run, also under Jest. */
import { equal, rejects } from 'node:assert/strict'
import { BackgroundRunner, defineTask, memory, type TaskHandle, UnknownTaskError } from 'background-runner'

export async function run(): Promise<void> {
  const double = defineTask({ run: async (value: number): Promise<number> => value * 2 })
  const runner = new BackgroundRunner({ tasks: { double }, engine: memory() })
  const heard: string[] = []
  runner.on('succeeded', (record) => {
    heard.push(record.id)
  })

  const handle: TaskHandle<number> = await runner.submit('double', 21)
  const answer: number = await handle.result()
  equal(answer, 42)
  equal((await runner.status(handle.id))?.state, 'succeeded')
  equal(heard.join(), handle.id)

  // @ts-expect-error No task has this name.
  await rejects(runner.submit('triple', 21), UnknownTaskError)
  // @ts-expect-error Its input is a number.
  await runner.submit('double', { value: 21 })

  await runner.close()
}
