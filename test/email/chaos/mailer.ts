/** A process that mails what waits in a file, or in Redis, until it is told to stop, or killed. Its settings are its argument. */
import { BackgroundRunner } from 'background-runner'
import { engineAt } from '../../support/engine-at.js'
import { fastClock } from '../../support/fast-clock.js'
import { FACTOR, mailTasks, type Settings } from './tasks.js'

const { path, url, since } = JSON.parse(process.argv[2] ?? '') as Settings
const runner = new BackgroundRunner({
  tasks: mailTasks(url, `mailer-${process.pid}.example`),
  engine: engineAt(path, 1_000),
  clock: fastClock(FACTOR, since),
})
runner.on('error', (error) => process.send?.(String(error)))
await runner.ready()
process.once('message', async () => {
  await runner.close()
  process.disconnect()
})
