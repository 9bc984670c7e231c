/**
 * A process that is going to be killed: submits and works on one store, and writes down what it knows before and after
 * each thing it does, so that the engine can be held to it. Its settings are its argument, as JSON.
 */
import { BackgroundRunner, defineTask } from 'background-runner'
import { engineAt } from '../../support/engine-at.js'
import { Random } from '../support/random.js'
import { noteIn } from './journal.js'
import { type Strike, Strikes } from './moments.js'

export interface ChildSettings {
  /** See `engineAt`. */
  readonly path: string
  readonly journal: string
  readonly seed: number
  readonly concurrency: number
  /** ms */
  readonly lease: number
  /** Goes on submitting; otherwise it ends when nothing is left to do. */
  readonly submits: boolean
  readonly strike: Strike | undefined
}

const settings = JSON.parse(process.argv[2] ?? '') as ChildSettings
const { path, journal, concurrency, lease, submits, strike } = settings
const note = noteIn(journal)
const random = new Random(settings.seed)
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

const strikes =
  strike &&
  new Strikes(strike, () => {
    note('struck', strike.moment, process.pid)
    process.kill(process.pid, 'SIGKILL')
  })
strikes?.install()

const work = defineTask({
  retry: { attempts: 5, backoff: { type: 'fixed', delay: 20 } },
  run: async (input: { kind: string; ms: number }, ctx): Promise<string> => {
    const { id, attempt } = ctx
    note('begin', id, attempt, process.pid, Number(ctx.saved ?? 0), Date.now())
    if (input.kind === 'saves') {
      await ctx.save(attempt)
      note('saved', id, attempt, process.pid)
    }
    strikes?.moment('run')
    await sleep(input.ms)
    note('end', id, attempt, process.pid)
    if (input.kind === 'fails' && attempt === 1) throw new Error('the first attempt fails')
    return `done ${id}`
  },
})

const born = performance.now()
const age = (): number => performance.now() - born
const runner = new BackgroundRunner({
  tasks: { work },
  engine: engineAt(path, lease),
  concurrency,
  // What is cancelled goes soon, so that pruning is a moment too; all else stays to be counted.
  retention: { cancelled: 10 },
})
runner.on('error', (error) => note('fault', String(error).replaceAll('\n', ' ')))
runner.once('started', () => note('claimed', process.pid, age()))
runner.on('succeeded', ({ id, attempt }) => note('succeeded', id, attempt, process.pid))
runner.on('stalled', ({ id, attempt }) => note('stalled', id, attempt, process.pid))
await runner.ready()
note('ready', process.pid, age())
process.send?.('ready')

if (submits) for (;;) await submitSome()
const { tasks: later } = await runner.list({ states: ['scheduled'], limit: 1_000 })
for (const { id, runAt } of later) if (runAt > Date.now() + 60_000) await withdraw(id)
await runner.onIdle()
await runner.close()
process.disconnect?.()

async function submitSome(): Promise<void> {
  const kinds = ['plain', 'plain', 'fails', 'saves']
  const inputs = Array.from({ length: random.below(12) }, () => ({ kind: random.of(kinds), ms: random.below(15) }))
  if (random.next() < 0.3) for (const { id } of await runner.submitMany('work', inputs)) note('acknowledged', id)
  else await Promise.all(inputs.map(submitOne))
  const { id } = await runner.submit('work', { kind: 'plain', ms: 0 }, { delay: '1h' })
  note('acknowledged', id)
  await withdraw(id)
  await sleep(random.below(10))
}

async function withdraw(id: string): Promise<void> {
  note('cancelling', id)
  await runner.cancel(id)
  note('cancelled', id)
}

async function submitOne(input: { kind: string; ms: number }): Promise<void> {
  const { id } = await runner.submit('work', input, random.next() < 0.2 ? { delay: 30 } : {})
  note('acknowledged', id)
}
