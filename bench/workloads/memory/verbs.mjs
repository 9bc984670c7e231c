/** What it costs to steer one task among many that wait. */
import { createRunner, durability } from '../../adapters/background-runner.mjs'
import { stopwatch } from '../../stopwatch.mjs'

const ROUNDS = 100
const VERBS_A_ROUND = 200

export const title = 'one verb on one task among many pending'
export const unit = 'µs/verb'
/** Unless more are asked for: it takes long, and says much at once. */
export const rounds = 1

async function among(pending, verb) {
  const { runner, submit } = createRunner()
  await runner.pause()
  const ids = []
  for (let i = 0; i < pending; i++) ids.push((await submit({ user: i })).id)
  const spent = { cpu: 0, wall: 0 }
  for (let round = 0; round < ROUNDS; round++) {
    // Spread over all that wait; what was cancelled is replaced, so that there are always as many.
    const places = Array.from({ length: VERBS_A_ROUND }, (_, i) =>
      Math.floor(((i + round / ROUNDS) / VERBS_A_ROUND) * pending),
    )
    const read = stopwatch()
    if (verb === 'cancel') for (const place of places) await runner.cancel(ids[place])
    else for (const place of places) await runner.setPriority(ids[place], (place + round) % 10)
    const { cpu, wall } = read(VERBS_A_ROUND)
    spent.cpu += cpu / ROUNDS
    spent.wall += wall / ROUNDS
    if (verb === 'cancel') for (const place of places) ids[place] = (await submit({ user: place })).id
  }
  return { ...spent, durability }
}

export const cases = {
  'cancel among 1 000': () => among(1_000, 'cancel'),
  'cancel among 1 000 000': () => among(1_000_000, 'cancel'),
  'setPriority among 1 000': () => among(1_000, 'setPriority'),
  'setPriority among 100 000': () => among(100_000, 'setPriority'),
}

export const targets = [
  { say: 'cancel among 1 000 000', ratio: ['cancel among 1 000 000', 'cancel among 1 000'], atMost: 2 },
  { say: 'setPriority among 100 000', ratio: ['setPriority among 100 000', 'setPriority among 1 000'], atMost: 2 },
]
