/**
 * A process that only submits. Asked 'submit', it submits SAMPLES tasks with pauses that let a worker fall idle, and answers
 * when all are acknowledged.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { createRunner } from '../adapters/background-runner-sqlite.mjs'

const SAMPLES = Number(process.env.SAMPLES)
/** ms */
const LEAST_PAUSE = 50
const MOST_PAUSE = 350

const { submit } = await createRunner({ path: process.env.DATABASE_PATH, work: false })

process.on('message', async (question) => {
  if (question !== 'submit') return
  for (let i = 0; i < SAMPLES; i++) {
    await sleep(LEAST_PAUSE + ((i * 37) % (MOST_PAUSE - LEAST_PAUSE)))
    await submit({ asked: String(process.hrtime.bigint()) })
  }
  process.send(SAMPLES)
})
console.log('listening on messages')
