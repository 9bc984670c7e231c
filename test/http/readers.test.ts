/** Two hundred who read along over real sockets, of whom fifty never read, while much goes on. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { getRequestListener } from '@hono/node-server'
import { BackgroundRunner, defineTask } from 'background-runner'
import { createHandler } from 'background-runner/http'
import { expect, it, onTestFinished } from 'vitest'

const READERS = 150
const DEAF = 50
const SECONDS = 6
const A_SECOND = 2_000

it('costs a bounded memory, and the tasks nothing', { timeout: 30_000 }, async () => {
  const runner = new BackgroundRunner({
    tasks: { note: defineTask({ run: async (text: string) => text }) },
    retention: { count: 1_000 },
  })
  const server = createServer(getRequestListener(createHandler(runner, { authorize: () => ['read'] })))
  const ends = new Set<Socket>()
  server.on('connection', (socket) => ends.add(socket))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const sockets: Socket[] = []
  onTestFinished(async () => {
    for (const socket of sockets) socket.destroy()
    server.closeAllConnections()
    server.close()
    await runner.close({ deadline: 0, drain: false })
  })
  const heard: number[] = []
  for (let at = 0; at < READERS + DEAF; at++) {
    const socket = connect(port, '127.0.0.1')
    sockets.push(socket)
    await once(socket, 'connect')
    socket.write('GET /events HTTP/1.1\r\nHost: x\r\n\r\n')
    heard.push(0)
    if (at < READERS) {
      socket.on('data', (chunk) => {
        heard[at] = (heard[at] as number) + chunk.length
      })
    } else socket.pause()
  }
  let done = 0
  runner.on('succeeded', () => done++)
  let most = 0
  for (let second = 0; second < SECONDS; second++) {
    for (let part = 0; part < 20; part++) {
      await runner.submitMany(
        'note',
        Array.from({ length: A_SECOND / 20 }, () => 'x'.repeat(1_000)),
      )
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
    for (const socket of ends) most = Math.max(most, socket.writableLength)
  }
  await runner.onIdle()
  expect(done).toBe(SECONDS * A_SECOND)
  // What the socket has not taken yet: one chunk at most, and no queue behind it.
  expect(most).toBeLessThan(300_000)
  expect(heard.slice(0, READERS).every((bytes) => bytes > 200)).toBe(true)
  // Each is told that there is more than can be told, not all of it.
  expect(Math.max(...heard)).toBeLessThan(500_000)
  const { readers } = (await (await fetch(`http://127.0.0.1:${port}/overview`)).json()) as { readers: number }
  expect(readers).toBe(READERS + DEAF)
})
