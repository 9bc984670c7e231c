import { afterAll, beforeAll, describe, it, vi } from 'vitest'
import { reopened } from './recycle.js'
import { placeConformance } from './suite.js'

vi.mock(import('../../../src/executor.js'), async (original) => {
  const executor = await original()
  return { ...executor, executorFor: (isolation) => reopened(isolation, executor.executorFor) }
})
// Many workers that start at once on a busy machine take their time.
vi.setConfig({ testTimeout: 60_000 })

placeConformance({ describe, it, beforeAll, afterAll }, 'thread')
