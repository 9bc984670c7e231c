/** Who waits while the engine is in trouble. */
import assert from 'node:assert/strict'
import { BackgroundRunner, defineTask, EngineError, memory } from 'background-runner'
import { it } from 'vitest'
import { turns } from '../src/testing/real-time.js'
import { VirtualClock } from '../src/testing/virtual-clock.js'

it('an end that could not be looked at is looked at again: a fault that passes loses nobody his wake-up', async () => {
  const engine = memory()
  let inTrouble = false
  const ask = engine.get.bind(engine)
  engine.get = (id) => (inTrouble ? Promise.reject(new EngineError('out of order')) : ask(id))
  let end = (): void => {}
  const held = new Promise<void>((resolve) => {
    end = resolve
  })
  const clock = new VirtualClock()
  const tasks = { work: defineTask({ run: () => held.then(() => 'done') }) }
  const runner = new BackgroundRunner({ tasks, engine, clock })
  const told: unknown[] = []
  runner.on('error', (error) => told.push(String(error)))
  const handles = await runner.submitMany('work', [undefined, undefined])
  const waiting = Promise.all(handles.map((handle) => handle.result()))
  let settled = false
  void waiting.then(() => {
    settled = true
  })
  await turns()
  inTrouble = true
  end()
  await turns()
  await clock.advance(1_000)
  assert.deepEqual([settled, told], [false, ['EngineError: out of order', 'EngineError: out of order']], 'once a look')
  inTrouble = false
  await clock.advance(1_000)
  assert.deepEqual(await waiting, ['done', 'done'])
  await runner.close()
})
