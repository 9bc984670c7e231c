import { bullmq } from 'background-runner/bullmq'
import { engineConformance } from 'background-runner/testing'
import { afterAll, it, vi } from 'vitest'
import { isPostgresAsked, testPostgres } from '../support/postgres.js'

const { url, schema, describe: whole, end } = await testPostgres()
afterAll(end)
// Minutes, as each step waits for a disk: while you work, POSTGRES_URL asks for it.
const isAsked = isPostgresAsked()
if (!isAsked) console.warn('left to CI=true: the suite over PostgreSQL takes minutes')
const describe = isAsked ? whole : whole.skip
// Each step of a test waits for a disk, and tests that live through days take many.
vi.setConfig({ testTimeout: 60_000 })

// A commit waits for no disk, which may be slow: what is committed survives all but the end of the server.
const unhurried = new URL(url)
unhurried.searchParams.set('options', '-c synchronous_commit=off')

engineConformance(
  { describe, it },
  {
    name: 'bullmq on PostgreSQL',
    latency: 5,
    create: (storage) => bullmq({ connection: unhurried.href, prefix: schema, name: storage, lease: 10_000 }),
    capabilities: { durable: true, shared: true, feed: 'all', limits: 'process', quotas: false, schedules: true },
    skip: [
      {
        reason:
          'it ends, but its 4 000 tasks are stored and cancelled one after the other, which takes longer than the suite waits',
        tests: ['a chain of any length ends with its first one'],
      },
    ],
  },
)
