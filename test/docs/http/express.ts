import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { getRequestListener } from '@hono/node-server'
import { BackgroundRunner, defineTask } from 'background-runner'
import { createHandler } from 'background-runner/http'
import express from 'express'

const runner = new BackgroundRunner({
  tasks: { greet: defineTask({ run: async (name: string) => `Hello ${name}` }) },
})
const app = express()
app.use('/tasks', getRequestListener(createHandler(runner, { authorize: () => ['read'] })))

const server = app.listen(0, '127.0.0.1')
await once(server, 'listening')
const { port } = server.address() as AddressInfo
console.log((await fetch(`http://127.0.0.1:${port}/tasks/counts`)).status)
server.close()
server.closeAllConnections()
await runner.close()
