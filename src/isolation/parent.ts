/**
 * A child process does not outlive its parent: not where the parent was killed, and not where a handler never lets go of
 * the event loop.
 *
 * A child whose loop is free hears of it by its channel. For the other case a thread of the child's own looks every second
 * whether the parent is still the one that started it.
 */
import { Worker } from 'node:worker_threads'

const EVERY = 1_000

const WATCH = `
const { workerData: parent } = require('node:worker_threads')
setInterval(() => {
  let alive = process.ppid === parent
  if (alive) try { process.kill(parent, 0) } catch (error) { alive = error.code === 'EPERM' }
  if (!alive) process.kill(process.pid, 'SIGKILL')
}, ${EVERY})
`

export function outlive(): void {
  process.on('disconnect', () => process.exit())
  const watch = new Worker(WATCH, {
    eval: true,
    workerData: process.ppid,
    execArgv: [],
    env: {},
    resourceLimits: { maxOldGenerationSizeMb: 8, maxYoungGenerationSizeMb: 2, codeRangeSizeMb: 8, stackSizeMb: 1 },
  })
  watch.unref()
  watch.on('error', () => {})
}
