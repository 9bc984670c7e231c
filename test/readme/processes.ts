import { BackgroundRunner, defineTask } from 'background-runner'
import { sqlite } from 'background-runner/sqlite'

const role = process.argv[2]
const runner = new BackgroundRunner({
  tasks: { letter: defineTask({ run: async (reader: string) => `Dear ${reader}` }) },
  engine: sqlite({ path: 'tasks.db' }),
  work: role !== 'web', // false: this process only submits
})
await runner.ready() // rejects if the file cannot be opened

if (role === 'web') {
  const letter = await runner.submit('letter', 'Ada')
  console.log(await letter.result({ timeout: '10s' })) // another process wrote it
  await runner.close()
} else {
  process.once('SIGTERM', () => runner.close())
}
