/** SEMANTICS.md, line 16: `pause` holds for the whole engine. (That it survives a restart is left to durable engines.) */
import assert from 'node:assert/strict'
import { defineTask } from '../../index.js'
import { every, recordOf, same } from './tools.js'
import { type Topic, topic } from './world.js'

export const pause: Topic = topic('pause and resume', {
  'nothing starts while the engine is paused, and all goes on after resume': async (t) => {
    const work = t.handler()
    const runner = await t.runner({ tasks: { work: defineTask({ run: work.run }) } })
    await runner.pause()
    await runner.pause()
    const tasks = await runner.submitMany('work', [1, 2, 3])
    const delayed = await runner.submit('work', 4, { delay: 1_000 })
    await t.advance(10_000)
    work.wasCalled(0)
    for (const task of [...tasks, delayed]) assert.equal((await recordOf(task)).state, 'queued')
    await runner.resume()
    await runner.resume()
    await work.call(4)
    assert.deepEqual(work.inputs, [1, 2, 3, 4])
  },

  'what runs goes on while the engine is paused, and what waits behind it does not': async (t) => {
    const work = t.handler()
    const runner = await t.runner({
      tasks: { work: defineTask({ retry: every(1_000), run: work.run }) },
      concurrency: 2,
    })
    await runner.submitMany('work', [1, 2, 3])
    const first = await work.call(1)
    const second = await work.call(2)
    await runner.pause()
    same(first.ctx.signal.aborted, false, 'its signal is aborted')
    first.resolve('done')
    second.reject(new Error('no luck'))
    await t.advance(10_000)
    work.wasCalled(2)
    const counts = await runner.counts()
    assert.deepEqual([counts.succeeded, counts.queued, counts.running], [1, 2, 0])
    await runner.resume()
    await work.call(4)
  },

  'a paused engine takes and answers': async (t) => {
    const runner = await t.runner({ tasks: { work: defineTask({ run: t.handler().run }) } })
    await runner.pause()
    const task = await runner.submit('work')
    assert.equal((await runner.setPriority(task.id, 4)).priority, 4)
    assert.equal((await runner.list()).tasks.length, 1)
    assert.equal((await task.cancel()).state, 'cancelled')
    assert.equal((await task.retry()).state, 'queued')
  },

  'a paused engine closes, and reports what waits': async (t) => {
    const runner = await t.runner({ tasks: { work: defineTask({ run: t.handler().run }) } })
    await runner.pause()
    await runner.submitMany('work', [1, 2])
    assert.deepEqual(await runner.close({ drain: true }), { completed: 0, returned: 0, abandoned: 0, pending: 2 })
  },

  'an engine that is paused with work waiting is not idle': async (t) => {
    const runner = await t.runner({ tasks: { work: defineTask({ run: () => 'done' }) } })
    await runner.pause()
    await runner.submit('work')
    let idle = false
    const waiting = runner.onIdle().then(() => {
      idle = true
    })
    await t.advance(1_000)
    same(idle, false, 'onIdle has resolved')
    await runner.resume()
    await waiting
  },
})
