import { BackgroundRunner, defineTask } from 'background-runner'
import { bullmq } from 'background-runner/bullmq'

const runner = new BackgroundRunner({
  tasks: { letter: defineTask({ run: async (reader: string) => `Dear ${reader}` }) },
  engine: bullmq({ connection: process.env['REDIS_URL'] ?? 'redis://127.0.0.1:6379', name: 'letters' }),
  work: process.env['ROLE'] !== 'web', // false: this process only submits
})
await runner.ready() // rejects if Redis does not answer

const { id } = await runner.submit('letter', 'Ada')
console.log((await runner.wait(id)).output)
await runner.close()
