/** PostgreSQL servers of a test's own, which it may kill and start again. */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chownSync, existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Client } from 'pg'
import { freePort } from './redis-server.js'

/** Where Debian has its versions, which are on no PATH. */
const VERSIONS = '/usr/lib/postgresql'
const PASSWORD = 'secret'
/** ms until a server that was started has to answer. */
const TO_START = 20_000

export function canStartPostgres(): boolean {
  return spawnSync(program('postgres'), ['--version']).status === 0
}

/** A server of a test's own. What it has acknowledged survives its kill, though not a power cut: it waits for no disk. */
export class PostgresServer {
  readonly port: number
  readonly #folder = mkdtempSync(join(tmpdir(), 'background-runner-postgres-'))
  #process: ChildProcess | undefined
  readonly #onExit = (): void => void this.#process?.kill('SIGQUIT')

  private constructor(port: number) {
    this.port = port
    process.once('exit', this.#onExit)
  }

  static async start(): Promise<PostgresServer> {
    const server = new PostgresServer(await freePort())
    const { uid, gid } = somebody()
    if (uid !== undefined && gid !== undefined) chownSync(server.#folder, uid, gid)
    const password = join(server.#folder, 'password')
    writeFileSync(password, PASSWORD, { mode: 0o644 })
    const args = ['-D', server.#data, '-U', 'postgres', '-A', 'scram-sha-256', `--pwfile=${password}`]
    execFileSync(program('initdb'), [...args, '-E', 'UTF8', '--locale=C', '--no-sync'], {
      ...somebody(),
      cwd: server.#folder,
      stdio: ['ignore', 'ignore', 'inherit'],
    })
    await server.start()
    return server
  }

  get #data(): string {
    return join(this.#folder, 'data')
  }

  get url(): string {
    return `postgres://postgres:${PASSWORD}@127.0.0.1:${this.port}/postgres`
  }

  /** After a kill: with all that it had. */
  async start(): Promise<void> {
    const settings = { listen_addresses: '127.0.0.1', port: this.port, unix_socket_directories: '', fsync: 'off' }
    const args = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])
    const options = { ...somebody(), cwd: this.#folder, stdio: 'ignore' as const }
    this.#process = spawn(program('postgres'), ['-D', this.#data, ...args], options)
    const late = Date.now() + TO_START
    while (!(await answers(this.url))) {
      if (Date.now() > late) throw new Error('a PostgreSQL that was started does not answer')
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }

  /** As `pg_ctl stop -m immediate`: it drops everything, and recovers when it is started again. */
  async kill(): Promise<void> {
    const server = this.#process
    if (server === undefined) return
    this.#process = undefined
    if (server.exitCode !== null || server.signalCode !== null) return
    const exited = once(server, 'exit')
    server.kill('SIGQUIT')
    await exited
  }

  async end(): Promise<void> {
    await this.kill()
    process.off('exit', this.#onExit)
    rmSync(this.#folder, { recursive: true, force: true })
  }
}

function program(name: string): string {
  const versions = existsSync(VERSIONS) ? readdirSync(VERSIONS).sort((a, b) => Number(b) - Number(a)) : []
  const found = versions.map((version) => join(VERSIONS, version, 'bin', name)).find((path) => existsSync(path))
  return found ?? name
}

/** It refuses to be run by root. */
function somebody(): { readonly uid?: number; readonly gid?: number } {
  if (process.getuid?.() !== 0) return {}
  for (const user of ['postgres', 'nobody']) {
    const [uid, gid] = ['-u', '-g'].map((which) => spawnSync('id', [which, user], { encoding: 'utf8' }))
    if (uid?.status === 0 && gid?.status === 0) return { uid: Number(uid.stdout), gid: Number(gid.stdout) }
  }
  return {}
}

async function answers(url: string): Promise<boolean> {
  const client = new Client(url)
  client.on('error', () => {}) // it has not begun yet
  try {
    await client.connect()
    await client.query('SELECT 1')
    return true
  } catch {
    return false
  } finally {
    await client.end()
  }
}
