/**
 * How long an answer takes at 500 requests a second, whether or not the earlier ones were answered, while the mails go to
 * an SMTP server that takes 50 ms for each. All requests together stay below the example's `maxPending` (10 000).
 *
 * autocannon keeps a rate by a burst at the start of each second, and only where answers leave it a free connection; here
 * a request leaves every 2 ms.
 */
import { Agent, request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { durabilityOf, onlyAccepted, REQUEST, withServer } from '../../http-servers.mjs'
import { Noise } from '../../noise.mjs'
import { percentile } from '../../statistics.mjs'

const RATE = 500
const WARM_UP = RATE
const REQUESTS = 4 * RATE

export const title = `POST /send_email, ${RATE} requests/s, p99`
export const unit = 'µs'

/** The time that each answer took, in µs, from when the request left. */
async function load(url, count) {
  const { hostname, port } = new URL(url)
  const { body, ...rest } = REQUEST
  const agent = new Agent({ keepAlive: true })
  const options = { ...rest, hostname, port, agent }
  const statuses = {}
  const times = []

  const post = () =>
    new Promise((resolve, reject) => {
      const left = performance.now()
      const sent = request(options, (response) => {
        response.resume().once('end', () => {
          times.push((performance.now() - left) * 1_000)
          statuses[response.statusCode] = (statuses[response.statusCode] ?? 0) + 1
          resolve()
        })
      })
      sent.once('error', reject)
      sent.end(body)
    })

  const answers = []
  const start = performance.now()
  while (answers.length < count) {
    const due = Math.min(count, Math.ceil(((performance.now() - start) / 1_000) * RATE))
    while (answers.length < due) answers.push(post())
    await sleep(1)
  }
  const took = (performance.now() - start) / 1_000
  await Promise.all(answers)
  agent.destroy()
  onlyAccepted(statuses, count)
  if (took > (1.02 * count) / RATE) throw new Noise(`${count} requests took ${took} s to send: the rate was not kept`)
  return times
}

function atAFixedRate(name) {
  return withServer(name, async ({ url, ask }, sink) => {
    await load(url, WARM_UP)
    const [cpu, taken, start] = [await ask('cpu'), await sink.ask('taken'), performance.now()]
    const times = await load(url, REQUESTS)
    const seconds = (performance.now() - start) / 1_000
    const serverCpu = ((await ask('cpu')) - cpu) / REQUESTS
    const mailsPerSecond = ((await sink.ask('taken')) - taken) / seconds
    if (name !== 'empty route' && mailsPerSecond < 100) throw new Noise(`${mailsPerSecond} mails/s: they hardly flow`)
    return {
      value: percentile(times, 99),
      p50: percentile(times, 50),
      most: Math.max(...times),
      serverCpu,
      mailsPerSecond,
      durability: durabilityOf(name),
    }
  })
}

export const cases = {
  'background-runner': () => atAFixedRate('background-runner'),
  'hand-written': () => atAFixedRate('hand-written'),
  'empty route': () => atAFixedRate('empty route'),
}

export const targets = [
  { say: 'p99 over an empty route', ratio: ['background-runner', 'empty route'], by: 'value', atMost: 2 },
  { say: 'p99 of the hand-written program over an empty route', ratio: ['hand-written', 'empty route'], by: 'value' },
]
