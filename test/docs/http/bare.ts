import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { getRequestListener } from '@hono/node-server'
import { BackgroundRunner, defineTask } from 'background-runner'
import { createHandler } from 'background-runner/http'

const runner = new BackgroundRunner({
  tasks: { greet: defineTask({ run: async (name: string) => `Hello ${name}` }) },
})
const server = createServer(
  getRequestListener(createHandler(runner, { authorize: () => ['read'], basePath: '/tasks' })),
).listen(0, '127.0.0.1')

await once(server, 'listening')
const { port } = server.address() as AddressInfo
console.log((await fetch(`http://127.0.0.1:${port}/tasks/counts`)).status)
server.close()
server.closeAllConnections()
await runner.close()
