/** A store in trouble: what befalls every ticket is one fault, and work goes on by itself once it is over. */
import assert from 'node:assert/strict'
import { BackgroundRunner, defineTask, EngineError, localEngine, type Store } from 'background-runner'
import { it } from 'vitest'
import { MemoryStore } from '../../src/local/memory-store.js'
import { turns } from '../../src/testing/real-time.js'
import { VirtualClock } from '../../src/testing/virtual-clock.js'
import { asynchronous } from '../engines/asynchronous-store.js'
import { durable } from '../engines/durable-store.js'

it('a fault that befalls every ticket is told once a look, other ones beside it; then the work goes on', async () => {
  let trouble: readonly string[] = ['the disk is full']
  const memory = new MemoryStore() as unknown as Store
  let claims = 0
  const store = durable(
    asynchronous(memory),
    {},
    {
      claim: (admission, now) => {
        const fault = trouble[claims++ % trouble.length]
        if (fault !== undefined) throw new EngineError(fault)
        return memory.claim(admission, now)
      },
    },
  )
  const clock = new VirtualClock()
  const tasks = { work: defineTask({ run: () => 'done' }) }
  const runner = new BackgroundRunner({ tasks, engine: localEngine(store), clock, concurrency: 10 })
  const told: string[] = []
  runner.on('error', (error) => told.push((error as Error).message))
  const handles = await runner.submitMany('work', Array.from({ length: 20 }))
  await turns(100)
  assert.ok(claims >= 10, 'every ticket has met it')
  assert.deepEqual(told.splice(0), ['the disk is full'])
  trouble = ['the disk is full', 'a row cannot be read']
  await clock.advance(1_000)
  await turns(100)
  assert.deepEqual(told.splice(0).sort(), ['a row cannot be read', 'the disk is full'])
  trouble = []
  await clock.advance(1_000)
  for (const handle of handles) assert.equal(await handle.result(), 'done')
  assert.deepEqual(told, [])
  await runner.close()
})
