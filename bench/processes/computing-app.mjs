/**
 * An Express app with tasks that compute, as many as it takes to keep all their places busy; where ISOLATION is empty,
 * none. Asked 'delay', it watches its event loop for SECONDS and tells the delay, in ms.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import express from 'express'
import { library } from '../library.mjs'

const { BackgroundRunner, defineTask } = await import(library.href)
const { ISOLATION, SECONDS } = process.env
/** Waiting and running, at any time. */
const TASKS = 10

const module = new URL('../handlers.mjs', import.meta.url)
const burn = defineTask({ isolation: ISOLATION || 'inline', module, export: 'burn' })
const runner = new BackgroundRunner({ tasks: { burn }, concurrency: TASKS })
let done = 0
runner.on('failed', ({ error }) => {
  throw new Error(error.message)
})
runner.on('succeeded', () => {
  done++
  runner.submit('burn')
})

process.on('message', async (question) => {
  if (question !== 'delay') return
  const [delay, before] = [monitorEventLoopDelay({ resolution: 1 }), done]
  delay.enable()
  await sleep(SECONDS * 1_000)
  delay.disable()
  process.send({ p99: delay.percentile(99) / 1e6, most: delay.max / 1e6, done: done - before })
})

const app = express()
app.get('/', (_request, response) => {
  response.send('Hello')
})
if (ISOLATION) {
  await runner.submitMany('burn', Array(TASKS).fill())
  while (done < TASKS) await sleep(10) // the workers have started, and the code is compiled
}
const server = app.listen(0, '127.0.0.1', () => console.log(`listening on http://127.0.0.1:${server.address().port}`))
