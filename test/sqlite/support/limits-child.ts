/** A process that works under limits until it is killed, and writes down what its handlers do. Its settings are its argument. */
import { appendFileSync } from 'node:fs'
import { BackgroundRunner, type Clock, defineTask, type TaskContext } from 'background-runner'
import { sqlite } from 'background-runner/sqlite'
import { type Input, limitsOf, type Name, RESOURCES, startOf } from './limits-journal.js'

export interface LimitsChildSettings {
  readonly path: string
  readonly journal: string
  readonly concurrency: number
}

const { path, journal, concurrency } = JSON.parse(process.argv[2] ?? '') as LimitsChildSettings

/** What the runner read last of its clock: the moment of a call, in its handler. */
let latest = 0
const clock: Clock = {
  now: () => {
    latest = Date.now()
    return latest
  },
  monotonic: () => performance.now(),
  setTimeout: (callback, ms) => setTimeout(callback, ms),
  clearTimeout: (handle) => clearTimeout(handle as NodeJS.Timeout),
}

const task = (name: Name) =>
  defineTask({
    ...limitsOf(name),
    retry: { attempts: 2, backoff: { type: 'fixed', delay: 20 } },
    run: async (input: Input, { id, attempt }: TaskContext) => {
      const { pid } = process
      // Each line is one write to a file that is opened for appending: it is there whole or not at all.
      const start = startOf({ id, attempt, pid, name, input, at: process.hrtime.bigint(), called: latest })
      appendFileSync(journal, `${start}\n`)
      await new Promise((resolve) => setTimeout(resolve, input.ms))
      appendFileSync(journal, `end ${id} ${attempt} ${process.hrtime.bigint()}\n`)
      if (input.fails && attempt === 1) throw new Error('the first attempt fails')
    },
  })

const runner = new BackgroundRunner({
  tasks: { keyed: task('keyed'), rated: task('rated'), both: task('both') },
  engine: sqlite({ path }),
  resources: RESOURCES,
  concurrency,
  clock,
})
runner.on('error', (error) => appendFileSync(journal, `fault ${String(error).replaceAll('\n', ' ')}\n`))
await runner.ready()
process.send?.('ready')
