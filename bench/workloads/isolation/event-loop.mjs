/**
 * How late the event loop of an Express app is while tasks compute, 50 ms each, in as many workers as there are processors.
 * It answers 100 requests a second meanwhile, also where there are no tasks.
 */
import { Agent, get } from 'node:http'
import { startChild } from '../../child.mjs'
import { Noise } from '../../noise.mjs'
import { percentile } from '../../statistics.mjs'

const SECONDS = 2
/** ms between two requests. */
const EVERY = 10

export const title = 'event-loop delay of an app while tasks of 50 ms compute, p99'
export const unit = 'ms'
/** Unless more are asked for: it takes long, and says much at once. */
export const rounds = 1

async function delayWith(isolation) {
  const { url, ask, stop } = await startChild('computing-app.mjs', {
    ISOLATION: isolation,
    SECONDS,
    NODE_ENV: 'production',
  })
  const agent = new Agent({ keepAlive: true })
  const times = []
  const request = () => {
    const left = performance.now()
    const answered = (response) => response.resume().once('end', () => times.push(performance.now() - left))
    get(url, { agent }, answered).once('error', () => {}) // the last ones, when the app is ended
  }
  const requests = setInterval(request, EVERY)
  try {
    const { p99, most, done } = await ask('delay')
    const least = isolation === '' ? 0 : SECONDS * 2
    if (done < least) throw new Noise(`${done} tasks in ${SECONDS} s: there was no load`)
    const kept = isolation !== '' && { durability: 'none' }
    return { value: p99, most, done, requests: times.length, answer: percentile(times, 99), ...kept }
  } finally {
    clearInterval(requests)
    agent.destroy()
    await stop()
  }
}

export const cases = {
  'no tasks': () => delayWith(''),
  'in threads': () => delayWith('thread'),
  'in processes': () => delayWith('process'),
  inline: () => delayWith('inline'),
}

export const targets = [
  { say: 'delay with threads over no tasks', ratio: ['in threads', 'no tasks'], by: 'value', atMost: 3 },
  { say: 'delay with processes over no tasks', ratio: ['in processes', 'no tasks'], by: 'value' },
  { say: 'delay inline over no tasks', ratio: ['inline', 'no tasks'], by: 'value' },
]
