/**
 * A mass of tasks, some of which take their worker down in every way there is; in a process of its own, which counts its
 * workers and its memory. Its settings are its argument, as JSON; it tells what was wrong, each in a sentence.
 */
import { subscribe } from 'node:diagnostics_channel'
import type { EventEmitter } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { BackgroundRunner, defineTask, type TaskRecord } from 'background-runner'
import { sqlite } from 'background-runner/sqlite'
import { seeded } from '../../../src/testing/random.js'
import { MODULES, type Place } from './deeds.js'

export interface StormSettings {
  readonly place: Place
  readonly seed: number
  readonly tasks: number
  /** On sqlite, not on memory. */
  readonly durable?: boolean
}

export interface StormReport {
  readonly wrong: readonly string[]
  /** How many of each deed there were. */
  readonly deeds: Readonly<Record<string, number>>
  /** Workers in all, and the most at one time. */
  readonly workers: number
  readonly most: number
  /** Tasks that were put back since an earlier one had ended their worker. */
  readonly putBack: number
  /** MB that were gained. */
  readonly rss: number
  readonly heap: number
}

interface Input {
  readonly deed: string
  readonly n: number
  readonly path?: string
}

const CONCURRENCY = 4
const CULPRITS = 0.05
const MB = 1_048_576

const INNOCENT = ['add', 'rest', 'compute', 'tell', 'big']
/** What is expected of each: the code of its error, or none if it succeeds. */
const EVERYWHERE: Readonly<Record<string, string | undefined>> = {
  throwOutside: 'WORKER_EXITED',
  rejectOutside: 'WORKER_EXITED',
  exit: 'WORKER_EXITED',
  exitLater: 'WORKER_EXITED',
  saveAndDie: 'WORKER_EXITED',
  hog: 'WORKER_OUT_OF_MEMORY',
  spin: 'TASK_TIMEOUT',
  ignore: 'TASK_TIMEOUT',
  sleepDead: 'TASK_TIMEOUT',
  leaveTimer: undefined,
  leaveThrower: undefined,
  replyAndDie: undefined,
}
const OF_A_PROCESS: typeof EVERYWHERE = {
  abort: 'WORKER_EXITED',
  segfault: 'WORKER_EXITED',
  disconnect: 'WORKER_EXITED',
}
/** They would never end by themselves. */
const HANGING = ['spin', 'ignore', 'sleepDead']

const { place, seed, tasks, durable = false } = JSON.parse(process.argv[2] ?? '') as StormSettings
const expected = { ...EVERYWHERE, ...(place === 'process' && OF_A_PROCESS) }
const folder = mkdtempSync(join(tmpdir(), 'background-runner-'))
const wrong: string[] = []

process.on('unhandledRejection', (error) => wrong.push(`unhandled rejection: ${error}`))
process.on('warning', ({ name, message }) => {
  if (name !== 'ExperimentalWarning') wrong.push(`warning: ${name}: ${message}`)
})

// Every thread and every child that this process starts, however that comes about.
let workers = 0
let alive = 0
let most = 0
function count(worker: EventEmitter): void {
  workers++
  most = Math.max(most, ++alive)
  worker.once('exit', () => alive--)
}
subscribe('worker_threads', (message) => count((message as { worker: EventEmitter }).worker))
subscribe('child_process', (message) => count((message as { process: EventEmitter }).process))

/** Inputs in an order of chance, each culprit as often as any other. */
function inputs(random: () => number, size: number): Input[] {
  const pick = <Each>(from: readonly Each[]): Each => from[Math.floor(random() * from.length)] as Each
  const culprits = Object.keys(expected)
  const offset = Math.floor(random() * culprits.length)
  const evil = Math.max(Math.round(size * CULPRITS), 1)
  const all = Array.from({ length: size }, (_, n) => ({
    deed: n < evil ? (culprits[(offset + n) % culprits.length] as string) : pick(INNOCENT),
    n,
  }))
  for (let i = all.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1))
    ;[all[i], all[j]] = [all[j] as Input, all[i] as Input]
  }
  return all
}

const isPutBack = ({ error }: TaskRecord['attempts'][number]): boolean =>
  error?.name === 'RetryLaterError' && error.code === 'WORKER_EXITED'

/** By what another one had left behind, for the second time in a row. */
const isHitAgain = ({ attempts }: TaskRecord, i: number): boolean =>
  i > 0 && isPutBack(attempts[i - 1] as never) && attempts[i]?.error?.code === 'WORKER_EXITED'

async function storm(random: () => number, size: number): Promise<{ putBack: number; deeds: Record<string, number> }> {
  const open = (): BackgroundRunner<never> =>
    new BackgroundRunner({
      tasks: {
        run: defineTask({
          isolation: place,
          module: new URL('storm.js', MODULES),
          memory: '32MB',
          concurrency: CONCURRENCY,
          worker: { maxTasks: 30 },
        } as never),
      },
      ...(durable && { engine: sqlite({ path: join(folder, 'storm.db') }) }),
      concurrency: 100,
      cancelGrace: 30,
      retention: { count: 10_000 },
      defaults: { retry: { backoff: { type: 'fixed', delay: 1 } } },
    } as never) as never
  const runner = open()
  let putBack = 0
  let thrown = 0
  runner.on('stalled', ({ id }) => wrong.push(`task ${id} was stalled`))
  runner.on('error', (error) => {
    if (/^what task "[^"]+" left behind ended its worker/.test((error as Error).message)) thrown++
    else wrong.push(`a fault: ${error}`)
  })

  const deeds: Record<string, number> = {}
  const judged = inputs(random, size).map(async (input) => {
    const { deed, n } = input
    deeds[deed] = (deeds[deed] ?? 0) + 1
    const isCulprit = deed in expected
    const attempts = isCulprit ? 1 + Math.floor(random() * 2) : 2
    const handle = await runner.submit(
      'run' as never,
      { deed, n: deed.startsWith('leave') ? n % 5 : n } as never,
      { retry: { attempts }, ...(HANGING.includes(deed) && { timeout: 50 }) } as never,
    )
    const record = await handle.wait()
    const told = JSON.stringify({ ...record, output: undefined })
    const code = expected[deed]
    putBack += record.attempts.filter(isPutBack).length
    const outcomes = record.attempts
      .filter((each, i) => !isPutBack(each) && !(code !== 'WORKER_EXITED' && isHitAgain(record, i)))
      .map(({ outcome, error }) => [outcome, error?.code])
    const wanted =
      code === undefined
        ? [['succeeded', undefined]]
        : [...Array.from({ length: attempts - 1 }, () => ['retry', code]), ['failed', code]]
    if (JSON.stringify(outcomes) !== JSON.stringify(wanted)) wrong.push(`${deed} came to this: ${told}`)
    if (!isCulprit) {
      const output = record.output as { n?: number; sum?: number } | undefined
      if (output?.n !== n || output.sum !== n + n) wrong.push(`${deed} gave ${JSON.stringify(record.output)}: ${told}`)
    }
  })
  await Promise.all(judged)
  const leavers = (deeds['leaveThrower'] ?? 0) + (deeds['replyAndDie'] ?? 0)
  if (putBack > leavers) wrong.push(`${putBack} were put back, and only ${leavers} left something behind`)
  if (thrown > leavers)
    wrong.push(`${thrown} workers were ended by what was left behind, and only ${leavers} left something`)

  await meet(runner)
  const report = await runner.close()
  const nothing = { completed: 0, returned: 0, abandoned: 0, pending: 0 }
  if (JSON.stringify(report) !== JSON.stringify(nothing)) wrong.push(`close: ${JSON.stringify(report)}`)
  if (alive > 0) wrong.push(`${alive} workers were left after close`)
  return { putBack, deeds }
}

/** As many as may run at once do: the pool has not shrunk. */
async function meet(runner: BackgroundRunner<never>): Promise<void> {
  const path = join(folder, `meet-${workers}`)
  const here = new Set<string>()
  const all = new Promise<void>((resolve) => {
    runner.on('progress', ({ id, progress }) => {
      if (progress === 'here') here.add(id)
      if (here.size === CONCURRENCY) resolve()
    })
  })
  const handles = await runner.submitMany(
    'run' as never,
    Array.from({ length: 2 * CONCURRENCY }, (_, n) => ({ deed: 'meet', n, path })) as never,
  )
  await all
  writeFileSync(path, '')
  for (const handle of handles) await handle.result()
}

/** MB */
function memory(): { rss: number; heap: number } {
  for (let i = 0; i < 3; i++) globalThis.gc?.()
  const { rss, heapUsed } = process.memoryUsage()
  return { rss: rss / MB, heap: heapUsed / MB }
}

const resources = (): string => process.getActiveResourcesInfo().sort().join()

/** Handles that are closed are let go of, and with them what they hold, some turns of the event loop later. */
async function calm(holds: () => boolean): Promise<void> {
  for (let i = 0; i < 100 && !holds(); i++) await new Promise((resolve) => setTimeout(resolve, 10))
}

for (const stream of [process.stdout, process.stderr]) stream.write('')
await new Promise((resolve) => setTimeout(resolve, 100))
const handles = resources()
const random = seeded(seed)
await storm(random, Math.max(20, tasks / 10)) // what is loaded and grown once is loaded and grown now
await calm(() => resources() === handles)
const listeners = process.stdout.getMaxListeners()
const before = memory()
const { putBack, deeds } = await storm(random, tasks)
await calm(() => resources() === handles)
if (resources() !== handles) wrong.push(`handles were left: ${resources()}; before: ${handles}`)
if (process.stdout.getMaxListeners() !== listeners)
  wrong.push(`the limit of listeners on stdout has become ${process.stdout.getMaxListeners()}`)
if (most > CONCURRENCY) wrong.push(`${most} workers were alive at once`)
let after = memory()
await calm(() => {
  after = memory()
  return after.heap - before.heap < 1
})
const rss = Math.round(after.rss - before.rss)
const heap = Math.round((after.heap - before.heap) * 10) / 10
rmSync(folder, { recursive: true })
process.send?.({ type: 'report', wrong, deeds, workers, most, putBack, rss, heap })
