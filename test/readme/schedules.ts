import { BackgroundRunner, defineTask } from 'background-runner'
import { sqlite } from 'background-runner/sqlite'

const runner = new BackgroundRunner({
  engine: sqlite({ path: 'tasks.db' }),
  tasks: {
    report: defineTask({ run: (of: string) => console.log(`the report of ${of}`) }),
    cleanUp: defineTask({ run: () => console.log('cleaned up') }),
  },
})
await runner.schedule('sales', { task: 'report', input: 'sales', cron: '0 3 * * MON-FRI', timezone: 'Europe/Berlin' })
await runner.schedule('clean-up', { task: 'cleanUp', every: '15m' })

console.log((await runner.schedules()).map(({ id }) => id).join(', '))
await runner.close() // an app goes on
