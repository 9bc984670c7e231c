import { BackgroundRunner, defineTask } from 'background-runner'
import { sqlite } from 'background-runner/sqlite'

const runner = new BackgroundRunner({
  engine: sqlite({ path: 'tasks.db' }),
  tasks: {
    report: defineTask({ run: (of: string) => console.log(`the report of ${of}`) }),
    cleanUp: defineTask({ run: () => console.log('cleaned up') }),
  },
})

// At each start: what is scheduled already stays as it is.
await runner.schedule('sales', { task: 'report', input: 'sales', cron: '0 3 * * MON-FRI', timezone: 'Europe/Berlin' })
await runner.schedule('clean-up', { task: 'cleanUp', every: '15m' })

for (const { id, cron, every, timezone, overlap } of await runner.schedules())
  console.log(id, cron ?? every, timezone ?? '-', overlap)
await runner.close()
