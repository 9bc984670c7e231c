/** The Redis of the example: the one that answers, else one that is started for it. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'

export interface FoundRedis {
  readonly url: string
  /** @param name of the runners, whose tasks are removed */
  close(name: string): Promise<void>
}

export async function findRedis(): Promise<FoundRedis> {
  const url = process.env['REDIS_URL'] ?? 'redis://127.0.0.1:6379'
  if (await answers(url)) return { url, close: (name) => clear(url, name) }
  if (process.env['REDIS_URL'] !== undefined) throw new Error(`nothing answers at REDIS_URL ${url}`)
  return startRedis()
}

/** With an append-only file: without one Redis forgets what it was told if it is killed. */
async function startRedis(): Promise<FoundRedis> {
  const folder = mkdtempSync(join(tmpdir(), 'background-runner-redis-'))
  const port = await freePort()
  const server = spawn('redis-server', [
    '--port',
    `${port}`,
    '--bind',
    '127.0.0.1',
    '--dir',
    folder,
    '--appendonly',
    'yes',
  ])
  server.on('error', () => {
    console.error('There is no Redis here, and no redis-server to start. With Docker: docker run -p 6379:6379 redis')
    process.exit(1)
  })
  const url = `redis://127.0.0.1:${port}`
  while (!(await answers(url))) await sleep(50)
  const close = async (): Promise<void> => {
    server.kill('SIGTERM')
    await once(server, 'exit')
    rmSync(folder, { recursive: true })
  }
  return { url, close }
}

async function clear(url: string, name: string): Promise<void> {
  const redis = new Redis(url)
  for await (const keys of redis.scanStream({ match: `bull:${name}*`, count: 1_000 }))
    if (keys.length > 0) await redis.unlink(...(keys as string[]))
  await redis.quit()
}

function answers(url: string): Promise<boolean> {
  const { hostname, port } = new URL(url)
  return new Promise((resolve) => {
    const socket = connect(Number(port) || 6379, hostname)
    socket.once('connect', () => resolve(true))
    socket.once('error', () => resolve(false))
    socket.once('close', () => socket.destroy())
    socket.once('connect', () => socket.end())
  })
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  server.close()
  await once(server, 'close')
  return port
}
