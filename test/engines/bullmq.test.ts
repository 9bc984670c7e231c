import { bullmq } from 'background-runner/bullmq'
import { engineConformance } from 'background-runner/testing'
import { afterAll, it } from 'vitest'
import { testRedis } from '../support/redis.js'

const redis = await testRedis()
afterAll(() => redis.end())

engineConformance(
  { describe: redis.describe, it },
  {
    name: 'bullmq on Redis',
    latency: 5,
    create: (storage) => bullmq({ connection: redis.url, prefix: redis.prefix(storage) }),
    capabilities: { durable: true, shared: true, feed: 'all', limits: 'process', quotas: false, schedules: true },
  },
)
