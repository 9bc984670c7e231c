/** As core.ts, over Redis: where one answers, and under CI=true it has to. And where bullmq and ioredis are not installed. */
import { equal, rejects } from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { BackgroundRunner, defineTask } from 'background-runner'
import { bullmq } from 'background-runner/bullmq'

const connection = process.env['REDIS_URL'] ?? 'redis://127.0.0.1:6379'

const open = () =>
  new BackgroundRunner({
    tasks: { greet: defineTask({ run: async (name: string) => `Hello ${name}` }) },
    engine: bullmq({ connection, name: `package-${process.pid}` }),
    retention: { succeeded: 0 },
  })

export async function run(): Promise<void> {
  const { hostname, port } = new URL(connection)
  const socket = connect(Number(port) || 6379, hostname)
  const answers = await once(socket, 'connect').then(
    () => true,
    () => false,
  )
  socket.destroy()
  if (!answers && process.env['CI'] !== 'true') return console.warn(`no Redis at ${connection}: not tried`)
  const runner = open()
  await runner.ready()
  const handle = await runner.submit('greet', 'Ada')
  equal(await handle.result(), 'Hello Ada')
  equal(await runner.remove(handle.id), true)
  await runner.close()
}

export async function runWithoutPeers(): Promise<void> {
  const runner = open()
  runner.on('error', () => {})
  await rejects(runner.ready(), { code: 'MISSING_DEPENDENCY', message: /npm install bullmq/ })
  await runner.close()
}
