import { bullmq } from 'background-runner/bullmq'
import { engineConformance } from 'background-runner/testing'
import { afterAll, it, vi } from 'vitest'
import { testPostgres } from '../support/postgres.js'

const { url, schema, describe, end } = await testPostgres()
afterAll(end)
// Each step of a test waits for a disk, and tests that live through days take many.
vi.setConfig({ testTimeout: 60_000 })

engineConformance(
  { describe, it },
  {
    name: 'bullmq on PostgreSQL',
    latency: 5,
    create: (storage) => bullmq({ connection: url, prefix: schema, name: storage, lease: 10_000 }),
    capabilities: { durable: true, shared: true, feed: 'all', limits: 'process', quotas: false, schedules: true },
  },
)
