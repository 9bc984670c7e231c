/**
 * One worker process: ENGINE on PLACE, with tasks of two names, one that does nothing and one that waits for as long as it is
 * told. Asked 'begun', it says how many of the former it has begun; asked 'memory', how many bytes it takes; asked 'wakes', how
 * often it has slept.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { library } from '../library.mjs'
import { engineOf } from './engines.mjs'

const { BackgroundRunner, defineTask } = await import(library.href)
const { ENGINE, PLACE } = process.env

let begun = 0
const runner = new BackgroundRunner({
  tasks: {
    noop: defineTask({ run: async () => void begun++ }),
    waiting: defineTask({ run: ({ ms }) => sleep(ms) }),
  },
  engine: await engineOf(ENGINE, PLACE),
  concurrency: 10,
})
runner.on('error', ({ error }) => console.error(error))
await runner.ready()

process.on('message', (question) => {
  if (question === 'begun') process.send(begun)
  if (question === 'memory') process.send(process.memoryUsage().rss)
  if (question === 'wakes') process.send(process.resourceUsage().voluntaryContextSwitches)
})
console.log(`listening on ${ENGINE}`)
