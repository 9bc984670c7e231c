/** Another process, which does what it is told (see fault-child.ts). */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import type { Place } from './place.js'

/** `tmpfs`: a file system of its own. `limited`: its files may grow no further, as where there is a quota. */
export type Disk = 'tmpfs' | 'limited'

export class Companion {
  readonly #child: ChildProcess

  private constructor(child: ChildProcess) {
    this.#child = child
  }

  static async start(at: Place, program: string, disk?: Disk): Promise<Companion> {
    const command = [process.execPath, program, at.path, ...(disk === undefined ? [] : [disk])]
    const [first, ...others] = disk === 'tmpfs' ? [...withSmallDisk(at.folder), ...command] : command
    const child = spawn(first as string, others, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
    const companion = new Companion(child)
    at.after(() => companion.stop())
    await once(child, 'message')
    return companion
  }

  async ask(...what: string[]): Promise<unknown> {
    this.#child.send(what)
    const [answer] = await once(this.#child, 'message')
    const { value, error } = answer as { value?: unknown; error?: { code: string; message: string } }
    if (error !== undefined) throw Object.assign(new Error(error.message), { code: error.code })
    return value
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    this.#child.kill('SIGKILL')
    await once(this.#child, 'exit')
  }
}

/** What runs a command with a disk of 2 MB at `folder`, which nobody else sees. */
export function withSmallDisk(folder: string): string[] {
  return ['unshare', '-Urm', 'sh', '-c', 'mount -t tmpfs -o size=2m none "$0" && exec "$@"', folder]
}

/** Whether this machine can run it. */
export function can(command: readonly string[]): boolean {
  return spawnSync(command[0] as string, command.slice(1)).status === 0
}
