/** The mass test of the email task, over Redis: the records against the mailboxes, while processes are killed. */
import { afterAll, expect, it } from 'vitest'
import { mailAndKill, tableOf } from '../email/chaos/mass.js'
import { NO_FAULTS } from '../support/compare-mailboxes.js'
import { testRedis } from '../support/redis.js'

const [MAILS, KILLS] = process.env['CI'] === 'true' ? [1_000, 10] : [200, 4]
const SEED = Number(process.env['SEED'] ?? Math.floor(Math.random() * 1_000_000))

const redis = await testRedis()
afterAll(() => redis.end())

it.skipIf(redis.url === '')(
  'tells the truth about every recipient, and nobody gets a mail twice but through unknown',
  async () => {
    const path = redis.path()
    const report = await mailAndKill({ path, seed: SEED, mails: MAILS, kills: KILLS, processes: 2 })
    console.log(`SEED=${SEED}\n${tableOf(report)}`)
    const { again, once, kills, faults } = report
    expect({ again: again.faults, once: once.faults, faults }, `SEED=${SEED}`).toEqual({
      again: NO_FAULTS,
      once: NO_FAULTS,
      faults: [],
    })
    expect([kills, again.mails + once.mails]).toEqual([KILLS, MAILS])
    expect(once.twice).toBe(0)
  },
  120_000,
)
