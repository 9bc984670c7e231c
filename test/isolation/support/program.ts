/** Programs of a test in processes of their own: made of TypeScript, heard over IPC, and what they leave behind. */
import { type ChildProcess, fork } from 'node:child_process'
import { copyFileSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { bundle } from '../../sqlite/support/bundle.js'

const MODULES = new URL('../modules/', import.meta.url).href
const WORKER = fileURLToPath(new URL('../../../src/isolation/worker.js', import.meta.url))

export interface Telling {
  readonly type: string
  readonly [field: string]: unknown
}

export class Program {
  readonly told: Telling[] = []
  output = ''
  readonly #child: ChildProcess
  readonly #listeners: Set<() => void> = new Set()
  #closed = false

  private constructor(path: string, settings: object, execArgv: string[]) {
    this.#child = fork(path, [JSON.stringify(settings)], {
      execArgv,
      env: { ...process.env, TEST_MODULES: MODULES },
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      // A group of its own: a signal to it reaches its children and not us.
      detached: true,
    })
    for (const stream of [this.#child.stdout, this.#child.stderr])
      stream?.on('data', (chunk) => {
        this.output += chunk
      })
    this.#child.on('message', (message) => {
      this.told.push(message as Telling)
      this.#tell()
    })
    this.#child.on('exit', () => this.#tell())
    this.#child.on('close', () => {
      this.#closed = true
      this.#tell()
    })
  }

  /** @param source of the program, TypeScript */
  static async start(source: URL, settings: object, execArgv: string[] = []): Promise<Program> {
    const path = await (bundles.get(source.href) ?? make(source))
    return new Program(path, settings, execArgv)
  }

  get pid(): number {
    return this.#child.pid as number
  }

  get isGone(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null
  }

  /** Whether what it writes is read. */
  read(on: boolean): void {
    for (const stream of [this.#child.stdout, this.#child.stderr]) on ? stream?.resume() : stream?.pause()
  }

  signal(signal: NodeJS.Signals, target: 'program' | 'group' = 'program'): void {
    process.kill(target === 'group' ? -this.pid : this.pid, signal)
  }

  /** Resolves when it has told so many of this type. */
  async tells(type: string, times: number = 1): Promise<Telling[]> {
    const heard = (): Telling[] => this.told.filter((each) => each.type === type)
    await this.#until(() => heard().length >= times || this.isGone)
    if (heard().length < times)
      throw new Error(`it has ended and told "${type}" only ${heard().length} times: ${this.output}`)
    return heard()
  }

  /** Resolves when it has ended by itself and all it wrote has been read. */
  async ended(): Promise<{ code: number | null; signal: string | null }> {
    await this.#until(() => this.#closed)
    return { code: this.#child.exitCode, signal: this.#child.signalCode }
  }

  async kill(): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.#until(() => this.isGone)
  }

  #tell(): void {
    for (const listener of this.#listeners) listener()
  }

  #until(holds: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      const look = (): void => {
        if (!holds()) return
        this.#listeners.delete(look)
        resolve()
      }
      this.#listeners.add(look)
      look()
    })
  }
}

const bundles = new Map<string, Promise<string>>()

/** A bundle that looks like the library's own file, beside which the file of its workers lies. */
function make(source: URL): Promise<string> {
  const made = bundle(source).then((path) => {
    const folder = join(dirname(path), basename(path, '.mjs'), 'isolation')
    mkdirSync(folder, { recursive: true })
    put(folder, 'worker.js', (to) => copyFileSync(WORKER, to))
    put(folder, 'package.json', (to) => writeFileSync(to, '{ "type": "module" }'))
    return put(folder, 'index.mjs', (to) => copyFileSync(path, to))
  })
  bundles.set(source.href, made)
  return made
}

/** Several files of tests make the same one at the same time: it is there whole or not at all. */
function put(folder: string, name: string, write: (path: string) => void): string {
  const unfinished = join(folder, `${name}.${process.pid}`)
  const path = join(folder, name)
  write(unfinished)
  renameSync(unfinished, path)
  return path
}

/** Whether there is such a process, and it is more than what is left of one until its parent asks. */
export function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return !/^[ZX]/.test(stat.slice(stat.lastIndexOf(')') + 2))
  } catch {
    return process.platform !== 'linux'
  }
}

/** Resolves when it holds; the limit is the test's own. */
export async function eventually(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await new Promise((resolve) => setTimeout(resolve, 20))
}
