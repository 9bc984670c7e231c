import { bullmq } from 'background-runner/bullmq'
import { engineConformance } from 'background-runner/testing'
import { Client } from 'pg'
import { afterAll, beforeAll, describe, it, vi } from 'vitest'

const SERVER = process.env['TEST_POSTGRES'] ?? 'postgres://postgres@127.0.0.1:5432/postgres'
const SCHEMA = 'background_runner_test'

async function dropSchema(): Promise<void> {
  const client = new Client(SERVER)
  await client.connect()
  await client.query('SET client_min_messages TO warning')
  await client.query(`DROP SCHEMA IF EXISTS ${SCHEMA} CASCADE`)
  await client.end()
}

// Each step of a test waits for disks: those that live through days take many steps.
vi.setConfig({ testTimeout: 60_000 })

beforeAll(dropSchema)
afterAll(dropSchema)

engineConformance(
  { describe, it },
  {
    name: 'bullmq on PostgreSQL',
    latency: 5,
    create: (storage) => bullmq({ connection: SERVER, prefix: SCHEMA, name: storage, lease: 10_000 }),
    capabilities: { durable: true, shared: true, feed: 'all', limits: 'process', quotas: false, schedules: true },
  },
)
