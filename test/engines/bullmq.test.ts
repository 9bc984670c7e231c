import { bullmq } from 'background-runner/bullmq'
import { engineConformance } from 'background-runner/testing'
import { describe, it } from 'vitest'

engineConformance(
  { describe, it },
  {
    name: 'bullmq on Redis',
    latency: 5,
    create: (storage) => bullmq({ connection: 'redis://127.0.0.1:6379', prefix: storage }),
    capabilities: { durable: true, shared: true, feed: 'all', limits: 'process', quotas: false, schedules: true },
  },
)
