/**
 * A process that is going to be killed: submits and works on one file, and writes down what it knows before and after
 * each thing it does, so that it can be held to it. `node --import tsx child.ts <settings as JSON>`
 */
import { appendFileSync } from 'node:fs'
import { BackgroundRunner, defineTask } from 'background-runner'
import { sqlite } from 'background-runner/sqlite'

export interface ChildSettings {
  readonly path: string
  /** Where it writes down what it does, a line each. */
  readonly journal: string
  readonly seed: number
  readonly concurrency: number
  readonly lease: number
  /** Goes on submitting. */
  readonly submits: boolean
  readonly works: boolean
  /** Ends when nothing is left to do. */
  readonly drains: boolean
}

const settings = JSON.parse(process.argv[2] ?? '') as ChildSettings
const { path, journal, concurrency, lease, submits, works, drains } = settings

let state = settings.seed
/** Mulberry32. */
function random(): number {
  state = (state + 0x6d2b79f5) | 0
  let t = Math.imul(state ^ (state >>> 15), 1 | state)
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
  return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
}

/** One write each, so that a line is there whole or not at all, whenever the process dies. */
const note = (...words: (string | number)[]): void => appendFileSync(journal, `${words.join(' ')}\n`)
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

const work = defineTask({
  retry: { attempts: 5, backoff: { type: 'fixed', delay: 20 } },
  run: async (input: { kind: string; ms: number }, ctx): Promise<string> => {
    note('begin', ctx.id, ctx.attempt, process.pid)
    if (input.kind === 'poison') process.kill(process.pid, 'SIGKILL')
    if (input.kind === 'saves') await ctx.save({ step: ctx.attempt })
    await sleep(input.ms)
    if (input.kind === 'fails' && ctx.attempt === 1) {
      note('end', ctx.id, ctx.attempt, process.pid)
      throw new Error('the first attempt fails')
    }
    note('end', ctx.id, ctx.attempt, process.pid)
    return `done ${ctx.id}`
  },
})

const runner = new BackgroundRunner({
  tasks: { work },
  engine: sqlite({ path, lease }),
  concurrency,
  work: works,
  retention: { count: 100_000 },
})
runner.on('error', (error) => note('fault', String(error).replaceAll('\n', ' ')))
runner.on('stalled', (record) => note('stalled', record.id, record.attempt))
await runner.ready()
note('ready', process.pid, Math.round(performance.now()))
process.send?.('ready')

let closing = false
process.on('message', (message) => {
  if (message === 'stop') closing = true
})

const KINDS = ['plain', 'plain', 'fails', 'saves']
while (submits && !closing) {
  const many = Math.floor(random() * 12)
  const inputs = Array.from({ length: many }, () => ({
    kind: KINDS[Math.floor(random() * KINDS.length)] ?? 'plain',
    ms: Math.floor(random() * 15),
  }))
  if (random() < 0.3) for (const { id } of await runner.submitMany('work', inputs)) note('acknowledged', id)
  else
    await Promise.all(
      inputs.map(async (input) => {
        const { id } = await runner.submit('work', input, random() < 0.2 ? { delay: 30 } : {})
        note('acknowledged', id)
      }),
    )
  await sleep(random() * 10)
}
if (drains) {
  await runner.onIdle()
  note('drained', process.pid, Math.round(performance.now()))
  await runner.close()
  process.disconnect?.()
}
