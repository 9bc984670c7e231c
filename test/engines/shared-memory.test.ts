import { engineConformance } from 'background-runner/testing'
import { describe, it } from 'vitest'
import { sharedMemory } from './shared-memory.js'

engineConformance(
  { describe, it },
  {
    name: 'shared memory',
    create: sharedMemory('global'),
    capabilities: { durable: true, shared: true, feed: 'all', limits: 'global' },
  },
)
