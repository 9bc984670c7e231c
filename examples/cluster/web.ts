/** A web process: it submits and asks, and works on nothing. Tells its parent where it listens. */
import type { AddressInfo } from 'node:net'
import express from 'express'
import { createRunner } from './tasks.js'

const runner = createRunner(false)
await runner.ready()

const app = express()
app.post('/mails/:to', async (request, response) => {
  const to = request.params.to
  const { id } = await runner.submit('email', { to, subject: 'Hello', text: `Dear ${to}` })
  response.status(202).json({ id })
})
app.get('/idle', async (_request, response) => {
  await runner.onIdle()
  response.json(await runner.counts())
})
const server = app.listen(0, '127.0.0.1', () =>
  process.send?.(`http://127.0.0.1:${(server.address() as AddressInfo).port}`),
)

process.once('SIGTERM', async () => {
  server.close()
  server.closeAllConnections()
  await runner.close()
  process.exit(0)
})
