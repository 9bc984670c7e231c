/**
 * A child process does not outlive its parent: not where the parent was killed, and not where a handler never lets go of
 * the event loop.
 *
 * A child whose loop is free hears of it by its channel. For the other case a thread of the child's own looks every second
 * whether the parent is still the one that started it.
 */
import { Worker } from 'node:worker_threads'
import { CUT_OFF } from './protocol.js'

const EVERY = 1_000

const WATCH = `
const { workerData: parent } = require('node:worker_threads')
setInterval(() => {
  let alive = process.ppid === parent
  if (alive) try { process.kill(parent, 0) } catch (error) { alive = error.code === 'EPERM' }
  if (!alive) process.kill(process.pid, 'SIGKILL')
}, ${EVERY})
`

/** For a child whose loop is free. */
export function leaveWithParent(isBusy: () => boolean): void {
  process.on('disconnect', () => process.exit(CUT_OFF))
  // A terminal and systemd send these to all processes of a program at once: when one that is at work ends, is for its
  // runner to say, which is closing.
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.on(signal, () => {
      if (!isBusy()) process.exit()
    })
}

let watch: Worker | undefined

/**
 * For one whose loop may not be.
 *
 * @param parent as it says of itself: it may be gone already, and its last errand be still there
 */
export function watchParent(parent: number): void {
  if (watch !== undefined) return
  watch = new Worker(WATCH, {
    eval: true,
    workerData: parent,
    execArgv: [],
    env: {},
    resourceLimits: { maxOldGenerationSizeMb: 8, maxYoungGenerationSizeMb: 2, codeRangeSizeMb: 8, stackSizeMb: 1 },
  })
  watch.unref()
  watch.on('error', () => {})
}
