/**
 * Tasks that wait for a millisecond, 100 of them at a time: all submitted, then all awaited. The timer alone takes about
 * 1.1 ms; what a case takes beyond 11 µs a task is its own. To the lanes a submit is a push, so that there is also the
 * time of what waits already.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { stopwatch } from '../../stopwatch.mjs'

const TASKS = 50_000
const CONCURRENCY = 100

export const title = `${TASKS} tasks of 1 ms, concurrency ${CONCURRENCY}`
export const unit = 'µs/task'

/** @param ready all wait before the time is taken */
async function waits(adapter, { awaited = false, ready = false } = {}) {
  const { createRunner, durability } = await import(`../../adapters/${adapter}.mjs`)
  let ran = 0
  const handler = async () => {
    await sleep(1)
    ran++
  }
  const { runner, submit, onIdle } = createRunner({ handler, concurrency: CONCURRENCY })
  if (ready) await runner.pause()
  let read = stopwatch()
  for (let i = 0; i < TASKS; i++) {
    const submitted = submit({ user: i, template: 'welcome' })
    if (awaited) await submitted
  }
  if (ready) {
    read = stopwatch()
    await runner.resume()
  }
  await onIdle()
  const spent = read(TASKS)
  if (ran !== TASKS) throw new Error(`${adapter}: ${ran} of ${TASKS} ran`)
  return { ...spent, durability }
}

export const cases = {
  'background-runner': () => waits('background-runner', { awaited: true }),
  'background-runner, all waiting': () => waits('background-runner', { awaited: true, ready: true }),
  lanes: () => waits('lanes'),
  'p-queue': () => waits('p-queue'),
  fastq: () => waits('fastq'),
  'p-limit': () => waits('p-limit'),
}

export const targets = [
  { say: 'speed over hand-written lanes', ratio: ['lanes', 'background-runner'], by: 'wall', atLeast: 0.88 },
  {
    say: 'speed over hand-written lanes, all waiting',
    ratio: ['lanes', 'background-runner, all waiting'],
    by: 'wall',
    atLeast: 0.88,
  },
  { say: 'speed over p-queue', ratio: ['p-queue', 'background-runner'], by: 'wall' },
  { say: 'speed over fastq', ratio: ['fastq', 'background-runner'], by: 'wall' },
]
