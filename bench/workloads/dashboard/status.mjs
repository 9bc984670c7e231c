/** `GET /tasks/:id` as fast as 50 keep-alive connections ask for it, one request each at a time. */
import autocannon from 'autocannon'
import { startChild } from '../../child.mjs'

const CONNECTIONS = 50
const WARM_UP = 5_000
const REQUESTS = 20_000

export const title = `GET /tasks/:id, ${CONNECTIONS} connections`
export const unit = 'µs/request'
/** Unless more are asked for: it takes long, and says much at once. */
export const rounds = 1

/** Calls `atEnd` with the last answer: autocannon itself ends up to a second later. */
async function load(url, amount, atEnd = () => {}) {
  const run = autocannon({ url, connections: CONNECTIONS, amount, duration: 60 })
  let answers = 0
  let end
  run.on('response', () => {
    if (++answers === amount) end = atEnd()
  })
  const { statusCodeStats } = await run
  if (statusCodeStats[200]?.count !== amount) throw new Error(JSON.stringify(statusCodeStats))
  return end
}

async function asFastAsItGoes(file) {
  const { url, ask, stop } = await startChild(file, { NODE_ENV: 'production' })
  try {
    await load(url, WARM_UP)
    const cpu = await ask('cpu')
    const start = performance.now()
    return await load(url, REQUESTS, async () => {
      const wall = ((performance.now() - start) * 1_000) / REQUESTS
      return { wall, cpu: ((await ask('cpu')) - cpu) / REQUESTS, durability: 'none' }
    })
  } finally {
    await stop()
  }
}

export const cases = {
  'background-runner': () => asFastAsItGoes('status-runner.mjs'),
  'bare Hono': () => asFastAsItGoes('status-hono.mjs'),
}

export const targets = [
  {
    say: 'requests/s over a bare Hono app',
    ratio: ['bare Hono', 'background-runner'],
    by: 'wall',
    atLeast: 0.6,
  },
]
