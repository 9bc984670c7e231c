/** A wall clock that is set back while the store says when to look again. */
import assert from 'node:assert/strict'
import { BackgroundRunner, type Clock, defineTask, localEngine, type Store } from 'background-runner'
import { it } from 'vitest'
import { MemoryStore } from '../../src/local/memory-store.js'
import { turns } from '../../src/testing/real-time.js'
import { VirtualClock } from '../../src/testing/virtual-clock.js'
import { asynchronous } from '../engines/asynchronous-store.js'
import { durable } from '../engines/durable-store.js'

it('what it waits for then is not waited for until the clock has caught up', async () => {
  const time = new VirtualClock()
  let setBack = 0
  const clock: Clock = {
    now: () => time.now() - setBack,
    monotonic: () => time.monotonic(),
    setTimeout: (callback, ms) => time.setTimeout(callback, ms),
    clearTimeout: (handle) => time.clearTimeout(handle),
  }
  const memory = new MemoryStore() as unknown as Store
  const store = durable(
    asynchronous(memory),
    {},
    {
      outlook: async (now) => {
        const outlook = await memory.outlook(now)
        if (outlook.nextDue !== undefined) setBack = 3_600_000
        return outlook
      },
    },
  )
  const called: unknown[] = []
  let end = (): void => {}
  // The first one goes on: its end would have the engine look again.
  const ended = new Promise<void>((resolve) => {
    end = resolve
  })
  const run = async (input: unknown): Promise<void> => {
    called.push(input)
    if (input === 'a') await ended
  }
  const tasks = { work: defineTask({ rateLimit: { max: 1, interval: '1s' }, run }) }
  const runner = new BackgroundRunner({ tasks, engine: localEngine(store), clock })
  await runner.submitMany('work', ['a', 'b'])
  await turns(100)
  assert.equal(setBack, 3_600_000)
  await time.advance(1_000)
  await turns(100)
  assert.deepEqual(called, ['a', 'b'])
  end()
  await runner.close()
})
