/** A Redis server of our own: nobody else's commands are counted. Without the program it is the one at REDIS_URL. */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'

export async function startRedis() {
  if (spawnSync('redis-server', ['--version']).status !== 0) {
    const url = process.env.REDIS_URL ?? 'redis://127.0.0.1:6379'
    return { url, ...readerOf(url), stop: async () => {} }
  }
  const folder = await mkdtemp(join(tmpdir(), 'background-runner-scale-'))
  const port = await freePort()
  const settings = { port, bind: '127.0.0.1', dir: folder, appendonly: 'yes', save: '' }
  const args = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, String(value)])
  const server = spawn('redis-server', args, { stdio: 'ignore' })
  const onExit = () => server.kill('SIGKILL')
  process.once('exit', onExit)
  const url = `redis://127.0.0.1:${port}`
  const reader = readerOf(url)
  await reader.look()
  return {
    url,
    ...reader,
    stop: async () => {
      reader.close()
      const ended = once(server, 'exit')
      server.kill('SIGKILL')
      await ended
      process.off('exit', onExit)
      await rm(folder, { recursive: true })
    },
  }
}

function readerOf(url) {
  const client = new Redis(url, { retryStrategy: () => 50, maxRetriesPerRequest: null })
  client.on('error', () => {}) // it has not begun yet
  return {
    /** µs of CPU that it has used, commands that it was given (not those within scripts), connections. */
    look: async () => {
      const info = await client.info('everything')
      const number = (name) => Number(new RegExp(`^${name}:([\\d.]+)`, 'm').exec(info)?.[1] ?? 0)
      const calls = [...info.matchAll(/^cmdstat_([\w|]+):calls=(\d+)/gm)]
      return {
        cpu: (number('used_cpu_user') + number('used_cpu_sys')) * 1e6,
        connections: number('connected_clients'),
        calls: Object.fromEntries(calls.map(([, name, count]) => [name, Number(count)])),
      }
    },
    close: () => client.disconnect(),
  }
}

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address()
  server.close()
  await once(server, 'close')
  return port
}
