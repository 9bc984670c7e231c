import { afterAll, beforeAll, describe, it, vi } from 'vitest'
import { reopened } from './recycle.js'
import { placeConformance } from './suite.js'

vi.mock(import('../../../src/executor.js'), async (original) => {
  const executor = await original()
  return { ...executor, executorFor: (isolation) => reopened(isolation, executor.executorFor) }
})
// Many workers that start at once on a busy machine take their time.
vi.setConfig({ testTimeout: 60_000 })

// A tenth of the time of all tests: while you work, the same suite in threads is enough.
const isAsked = process.env['CI'] === 'true'
if (!isAsked) console.warn('left to CI=true: the suite in child processes; in threads it runs')
placeConformance({ describe: isAsked ? describe : describe.skip, it, beforeAll, afterAll }, 'process')
