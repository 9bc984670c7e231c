/**
 * `POST /send_email` as fast as 50 keep-alive connections ask for it, one request each at a time, while the mails go to an
 * SMTP server that takes 50 ms for each. All requests together stay below the example's `maxPending` (10 000).
 */
import autocannon from 'autocannon'
import { durabilityOf, onlyAccepted, REQUEST, withServer } from '../../http-servers.mjs'

const CONNECTIONS = 50
const WARM_UP = 1_000
const REQUESTS = 8_000

export const title = `POST /send_email, ${CONNECTIONS} connections`
export const unit = 'µs/request'
/** Unless more are asked for: it takes long, and says much at once. */
export const rounds = 1

/** Calls `atEnd` with the last answer: autocannon itself ends up to a second later. */
async function load(url, amount, atEnd = () => {}) {
  const { path, ...request } = REQUEST
  const run = autocannon({ ...request, url: url + path, connections: CONNECTIONS, amount, duration: 60 })
  let answers = 0
  let end
  run.on('response', () => {
    if (++answers === amount) end = atEnd()
  })
  const { statusCodeStats } = await run
  onlyAccepted({ 202: statusCodeStats[202]?.count }, amount)
  return end
}

function asFastAsItGoes(name) {
  return withServer(name, async ({ url, ask }, sink) => {
    await load(url, WARM_UP)
    const cpu = await ask('cpu')
    const taken = await sink.ask('taken')
    const start = performance.now()
    return load(url, REQUESTS, async () => {
      const wall = ((performance.now() - start) * 1_000) / REQUESTS
      const mails = (await sink.ask('taken')) - taken
      return { wall, cpu: ((await ask('cpu')) - cpu) / REQUESTS, mails, durability: durabilityOf(name) }
    })
  })
}

export const cases = {
  'background-runner': () => asFastAsItGoes('background-runner'),
  'hand-written': () => asFastAsItGoes('hand-written'),
}

export const targets = [
  {
    say: 'requests/s over a hand-written program',
    ratio: ['hand-written', 'background-runner'],
    by: 'wall',
    atLeast: 0.9,
  },
]
