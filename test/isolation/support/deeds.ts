/** A runner whose one definition runs the deeds of modules/deeds.js, and what it tells. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  BackgroundRunner,
  defineTask,
  type RunnerOptions,
  type StandardSchema,
  type TaskHandle,
  type TaskRecord,
} from 'background-runner'

export type Place = 'thread' | 'process'

/** A program of a test is a bundle elsewhere, and is told where they are. */
export const MODULES: URL = new URL(process.env['TEST_MODULES'] ?? new URL('../modules/', import.meta.url))

export interface Settings {
  readonly place: Place
  /** @default any-deed.js */
  readonly module?: string
  readonly memory?: string
  readonly concurrency?: number
  readonly worker?: { readonly maxTasks?: number; readonly idleTimeout?: number }
  readonly attempts?: number
  /** Of the input. */
  readonly schema?: StandardSchema
  readonly options?: Partial<RunnerOptions<never>>
}

export function definition(settings: Settings): ReturnType<typeof defineTask> {
  const { place, module = 'any-deed.js', attempts = 1, memory, concurrency = 2, worker, schema } = settings
  return defineTask({
    isolation: place,
    module: new URL(module, MODULES),
    ...(memory !== undefined && { memory }),
    ...(worker !== undefined && { worker }),
    ...(schema !== undefined && { input: schema }),
    concurrency,
    retry: { attempts, backoff: { type: 'fixed', delay: 0 } },
  } as never) as never
}

/** A runner, what it told of its own accord, and what it is asked to do. */
export class Deeds {
  readonly runner: BackgroundRunner<never>
  readonly stalled: string[] = []
  readonly faults: Error[] = []

  constructor(settings: Settings) {
    const tasks = { run: definition(settings) } as never
    this.runner = new BackgroundRunner({ tasks, cancelGrace: 100, ...settings.options } as never)
    this.runner.on('stalled', ({ id }) => void this.stalled.push(id))
    this.runner.on('error', (error) => void this.faults.push(error as Error))
  }

  submit(deed: string, input?: unknown, options?: object): Promise<TaskHandle> {
    return this.runner.submit('run' as never, { deed, ...(input !== undefined && { input }) } as never, options)
  }

  async done(deed: string, input?: unknown, options?: object): Promise<TaskRecord> {
    return (await this.submit(deed, input, options)).wait()
  }

  /** The output. */
  async gives(deed: string, input?: unknown): Promise<unknown> {
    return (await this.submit(deed, input)).result()
  }

  /** Begins a deed that tells where it runs, and gives that. */
  async begun(deed: string, input?: unknown, options?: object): Promise<{ handle: TaskHandle; place: unknown }> {
    const handle = await this.submit(deed, input, options)
    return { handle, place: await this.progressOf(handle.id) }
  }

  progressOf(id: string): Promise<unknown> {
    return new Promise((resolve) => {
      const look = (record: TaskRecord): void => {
        if (record.id !== id || record.progress === undefined) return
        this.runner.off('progress', look)
        resolve(record.progress)
      }
      this.runner.on('progress', look)
      this.runner.status(id).then((record) => record && look(record))
    })
  }
}

/** What its attempts came to: the outcome of each, and the code of its error. */
export function history({ attempts }: TaskRecord): unknown[] {
  return attempts.map(({ outcome, error }) => (error === undefined ? outcome : `${outcome} ${error.code}`))
}

/** Files of a test, by whose being there something is told. */
export class Folder {
  readonly #path: string = mkdtempSync(join(tmpdir(), 'background-runner-'))
  #files = 0

  path(ending: string = ''): string {
    return join(this.#path, `${++this.#files}${ending}`)
  }

  put(path: string): void {
    writeFileSync(path, '')
  }

  remove(): void {
    rmSync(this.#path, { recursive: true })
  }
}

export function assertQuiet({ stalled, faults }: Deeds): void {
  assert.deepEqual({ stalled, faults }, { stalled: [], faults: [] })
}
