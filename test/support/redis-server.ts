/** Redis servers of a test's own, which it may kill and start again. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'

const PROGRAM = 'redis-server'
/** ms until a server that was started has to answer. */
const TO_START = 10_000

export function canStartRedis(): boolean {
  return spawnSync(PROGRAM, ['--version']).status === 0
}

/** A server of a test's own, which writes down each command (AOF). */
export class RedisServer {
  readonly port: number
  readonly #folder = mkdtempSync(join(tmpdir(), 'background-runner-redis-'))
  #process: ChildProcess | undefined
  readonly #onExit = (): void => void this.#process?.kill('SIGKILL')

  private constructor(port: number) {
    this.port = port
    process.once('exit', this.#onExit)
  }

  static async start(): Promise<RedisServer> {
    const server = new RedisServer(await freePort())
    await server.start()
    return server
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`
  }

  /** After a kill: with all that it had. */
  async start(): Promise<void> {
    const settings = { port: this.port, bind: '127.0.0.1', dir: this.#folder, appendonly: 'yes', save: '' }
    const args = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, String(value)])
    this.#process = spawn(PROGRAM, args, { stdio: 'ignore' })
    const client = new Redis(this.url, { lazyConnect: true, retryStrategy: () => 20, maxRetriesPerRequest: null })
    client.on('error', () => {}) // it has not begun yet
    const late = setTimeout(() => client.disconnect(), TO_START)
    try {
      await client.ping() // answered once it has read what it had
    } finally {
      clearTimeout(late)
      client.disconnect()
    }
  }

  async kill(): Promise<void> {
    const server = this.#process
    if (server === undefined) return
    this.#process = undefined
    if (server.exitCode !== null || server.signalCode !== null) return
    const exited = once(server, 'exit')
    server.kill('SIGKILL')
    await exited
  }

  async end(): Promise<void> {
    await this.kill()
    process.off('exit', this.#onExit)
    rmSync(this.#folder, { recursive: true, force: true })
  }
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}
