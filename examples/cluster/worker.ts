/** A worker: it sends what any process has submitted. */
import { createRunner } from './tasks.js'

const runner = createRunner(true)
runner.on('failed', ({ id, error }) => console.error(`${id} failed: ${error?.message}`))
await runner.ready()

process.once('SIGTERM', async () => {
  await runner.close()
  process.exit(0)
})
