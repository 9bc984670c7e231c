/** Processes of a test that share a file: the one that runs the test asks them, and hears from them, over IPC. */
import { type ChildProcess, fork } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TaskRecord } from 'background-runner'
import type { ActorSettings, Answer, Deed, Request, Told } from './actor.js'
import { bundle } from './bundle.js'

interface Submitted {
  readonly id: string
  readonly deduplicated: boolean
}

/** A runner in another process. */
export class Process {
  readonly #child: ChildProcess
  /** What it has told, in its order. */
  readonly told: Told[] = []
  readonly #answers: Map<number, (answer: Answer) => void> = new Map()
  readonly #listeners: Set<() => void> = new Set()
  #asked = 0

  constructor(program: string, settings: ActorSettings) {
    this.#child = fork(program, [JSON.stringify(settings)], {
      execArgv: [],
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    })
    this.#child.on('message', (message: Told | Answer) => {
      if ('event' in message) this.told.push(message)
      else this.#answers.get(message.n)?.(message)
      for (const listener of this.#listeners) listener()
    })
    this.#child.on('exit', () => {
      for (const listener of this.#listeners) listener()
    })
  }

  get pid(): number {
    return this.#child.pid as number
  }

  get isGone(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null
  }

  get exitCode(): number | null {
    return this.#child.exitCode
  }

  /** A verb of its runner, or what else an actor can do. @throws {Refused} */
  async ask<Value = TaskRecord>(verb: string, ...args: readonly unknown[]): Promise<Value> {
    const n = ++this.#asked
    const answered = new Promise<Answer>((resolve) => this.#answers.set(n, resolve))
    this.#child.send({ n, verb, args } satisfies Request)
    const answer = await answered
    this.#answers.delete(n)
    if ('refusal' in answer) throw Object.assign(new Error(answer.refusal.message), { code: answer.refusal.code })
    return answer.value as Value
  }

  submits(times: number, input: Deed, options: object = {}): Promise<Submitted[]> {
    return this.ask('submits', times, input, options)
  }

  async submit(input: Deed, options: object = {}): Promise<string> {
    const [submitted] = await this.submits(1, input, options)
    return submitted?.id ?? ''
  }

  tellings(event: string, id?: string): Told[] {
    return this.told.filter((told) => told.event === event && (id === undefined || told.id === id))
  }

  /** Resolves when it has told this so many times. */
  async tells(event: string, id?: string, times: number = 1): Promise<Told> {
    await this.#until(() => this.tellings(event, id).length >= times || this.isGone)
    const told = this.tellings(event, id)[times - 1]
    if (told === undefined) throw new Error(`the process has ended, and has not told "${event}" of ${id}`)
    return told
  }

  /** Resolves when it tells anything more. */
  news(): Promise<void> {
    const { length } = this.told
    return this.#until(() => this.told.length > length || this.isGone)
  }

  /** Resolves when it has ended. */
  ended(): Promise<void> {
    return this.#until(() => this.isGone)
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal)
  }

  async kill(): Promise<void> {
    this.signal('SIGKILL')
    await this.ended()
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

/** Everything that one test file starts and makes. */
export class World {
  readonly folder: string = mkdtempSync(join(tmpdir(), 'background-runner-'))
  #program: Promise<string> | undefined
  readonly #processes: Process[] = []
  #files = 0

  /** The path of a new file. */
  path(): string {
    return join(this.folder, `${++this.#files}.db`)
  }

  async process(settings: ActorSettings): Promise<Process> {
    this.#program ??= bundle(new URL('actor.ts', import.meta.url))
    const process = new Process(await this.#program, settings)
    this.#processes.push(process)
    await process.tells('ready')
    return process
  }

  /** Ends all that was started, and removes all that was made. */
  async end(): Promise<void> {
    await Promise.all(this.#processes.splice(0).map((each) => each.kill()))
    rmSync(this.folder, { recursive: true })
  }
}
