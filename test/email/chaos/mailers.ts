/** Processes that mail what is in one file, or one Redis, through a server in this one, which can have each of them killed. */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { BackgroundRunner, type TaskRecord } from 'background-runner'
import { bundle } from '../../sqlite/support/bundle.js'
import { engineAt } from '../../support/engine-at.js'
import { fastClock } from '../../support/fast-clock.js'
import type { SmtpServer } from '../../support/smtp-server.js'
import { FACTOR, mailTasks, type Settings, type Tasks } from './tasks.js'

export class Mailers {
  /** Submits and looks, and mails nothing. */
  readonly runner: BackgroundRunner<Tasks>
  /** What processes reported, and those that ended by themselves. */
  readonly faults: string[] = []
  kills = 0
  readonly #program: string
  readonly #settings: Settings
  readonly #children: Map<number, ChildProcess> = new Map()
  #stopping = false

  private constructor(program: string, settings: Settings) {
    this.#program = program
    this.#settings = settings
    const { path, url, since } = settings
    this.runner = new BackgroundRunner({
      tasks: mailTasks(url, 'nobody.example'),
      engine: engineAt(path),
      work: false,
      clock: fastClock(FACTOR, since),
    })
    this.runner.on('error', (error) => this.faults.push(String(error)))
  }

  static async over(path: string, server: SmtpServer): Promise<Mailers> {
    const program = await bundle(new URL('mailer.ts', import.meta.url))
    const mailers = new Mailers(program, { path, url: server.url, since: Date.now() })
    await mailers.runner.ready()
    return mailers
  }

  /** One more; whoever is killed is followed by another. */
  start(): void {
    const argument = JSON.stringify(this.#settings)
    const child = fork(this.#program, [argument], { execArgv: [], stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
    const { pid = 0 } = child
    this.#children.set(pid, child)
    child.on('message', (fault) => this.faults.push(String(fault)))
    child.on('exit', (code, signal) => {
      this.#children.delete(pid)
      if (signal !== 'SIGKILL' && !this.#stopping) this.faults.push(`a process has ended by itself, with ${code}`)
      if (!this.#stopping) this.start()
    })
  }

  /** @param client what it called itself; undefined: any. False where there is none such, or it is dead already. */
  kill(client?: string): boolean {
    const pids = [...this.#children.keys()]
    const pid = client === undefined ? pids[0] : pids.find((each) => client === `mailer-${each}.example`)
    const killed = pid !== undefined && this.#children.get(pid)?.signalCode === null
    if (!killed || !this.#children.get(pid)?.kill('SIGKILL')) return false
    this.#children.delete(pid) // it is as good as gone: nobody kills it twice
    this.kills += 1
    return true
  }

  /** Tells all to end, and waits until they have. */
  async stop(): Promise<void> {
    this.#stopping = true
    await Promise.all(
      [...this.#children.values()].map(async (child) => {
        if (child.exitCode !== null || child.signalCode !== null) return
        child.send('stop', () => {})
        await once(child, 'exit')
      }),
    )
  }

  /** Every task that there is, oldest first. */
  async records(): Promise<TaskRecord[]> {
    const records: TaskRecord[] = []
    for (let cursor: string | undefined; ; ) {
      const page = await this.runner.list({ limit: 1_000, ...(cursor !== undefined && { cursor }) })
      records.push(...page.tasks)
      if (page.next === undefined) return records.reverse()
      cursor = page.next
    }
  }

  /** Whatever has happened: no process is left. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping = true
    for (const child of this.#children.values()) child.kill('SIGKILL')
    await this.runner.close()
  }
}
