import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { BackgroundRunner, defineTask, RetryLaterError } from 'background-runner'
import express from 'express'

const runner = new BackgroundRunner({
  tasks: {
    charge: defineTask({
      run: () => {
        throw new RetryLaterError({ delay: '1h', hold: true, cause: new Error('the bank is down') })
      },
    }),
  },
})

const app = express().get('/health', async (_request, response) => {
  try {
    const { queued, scheduled, running, failed } = await runner.counts()
    const held = (await runner.holds()).map(({ name, until }) => ({ name, until }))
    response.json({ queued, scheduled, running, failed, held })
  } catch (error) {
    response.status(503).json({ error: (error as { code?: string }).code }) // the runner cannot do its work
  }
})

const server = app.listen(0)
await once(server, 'listening')
const url = `http://localhost:${(server.address() as AddressInfo).port}/health`

await runner.submit('charge')
await new Promise((resolve) => runner.once('held', resolve))
const { held, ...counts } = (await (await fetch(url)).json()) as { held: unknown[] }
console.log(counts, held.length)
await runner.close()
console.log((await fetch(url)).status)
server.close()
