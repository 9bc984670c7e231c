/**
 * What an engine does not promise: each capability that is not declared behaves as documented. (What it does promise is
 * in durable.ts and shared.ts.)
 */
import assert from 'node:assert/strict'
import { defineTask } from '../../index.js'
import { codeOf, recordOf, refused, same } from './tools.js'
import { type Topic, topic } from './world.js'

const always = topic('an engine value', {
  'an engine value belongs to one runner, and another one is refused with InvalidStateError': async (t) => {
    const engine = await t.engine()
    const work = t.handler()
    const setup = { tasks: { work: defineTask({ run: work.run }) }, faults: 'expected' as const }
    const runner = await t.opening(setup, engine)
    await runner.ready()
    const second = t.opening(setup, engine).then((other) => other.ready())
    await refused(second, 'INVALID_STATE')
    await runner.submit('work')
    await work.call()
  },
})

const volatile = topic(
  'an engine that is not durable',
  {
    'drain is the default of close, where tasks do not outlive the process': async (t) => {
      const work = t.handler()
      const runner = await t.runner({ tasks: { work: defineTask({ run: work.run }) }, concurrency: 1 })
      await runner.submitMany('work', [1, 2])
      const call = await work.call(1)
      const closing = runner.close()
      call.resolve()
      ;(await work.call(2)).resolve()
      assert.deepEqual(await closing, { completed: 2, returned: 0, abandoned: 0, pending: 0 })
    },

    'an engine over a storage that another one has left begins empty': async (t) => {
      const setup = { tasks: { work: defineTask({ run: t.handler().run }) }, work: false, storage: 'left' }
      const first = await t.runner(setup)
      const task = await first.submit('work', 1, { key: 'k' })
      await t.closed(first)
      const second = await t.runner(setup)
      assert.equal(await second.status(task.id), undefined)
      assert.equal((await second.submit('work', 2, { key: 'k' })).deduplicated, false, 'the key is free')
      same((await second.counts()).queued, 1, 'queued tasks')
    },
  },
  { durable: false },
)

const lone = topic(
  'an engine that is not shared',
  {
    'a second engine over a storage in use is refused with UnsupportedByEngineError, or keeps to itself': async (t) => {
      const setup = { tasks: { work: defineTask({ run: t.handler().run }) }, work: false, storage: 'in use' }
      const first = await t.runner(setup)
      const task = await first.submit('work', 1)
      const second = await t.opening({ ...setup, faults: 'expected' })
      const refusal = await second.ready().then(() => undefined, codeOf)
      if (refusal === undefined) {
        assert.equal(await second.status(task.id), undefined, 'it does not see the tasks of the other')
        await second.submit('work', 2)
        assert.equal((await first.counts()).queued, 1, 'the other does not see its tasks')
      } else assert.equal(refusal, 'UNSUPPORTED_BY_ENGINE')
      assert.equal((await recordOf(task)).state, 'queued', 'the first one goes on')
    },
  },
  { shared: false },
)

const quiet = topic(
  'an engine that nobody else can bring work',
  {
    'an idle runner spins no timer': async (t) => {
      const runner = await t.runner({ tasks: { work: defineTask({ run: () => 'done' }) } })
      await t.settle()
      assert.equal(t.clock.timers, 0, 'timers before there was any work')
      await (await runner.submit('work')).wait()
      await t.advance(2_000)
      assert.equal(t.clock.timers, 0, 'timers after all work was done')
    },
  },
  { durable: false, shared: false },
)

export const promises: readonly Topic[] = [always, volatile, lone, quiet]
