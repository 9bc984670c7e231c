/** SEMANTICS.md, line 1 (when `submit` resolves, what it rejects with) and line 6 (what is stored at submit). */
import assert from 'node:assert/strict'
import { defineTask } from '../../index.js'
import { every, ids, lacks, pathsOf, recordOf, refused, same } from './tools.js'
import { type Topic, topic } from './world.js'

const NOTHING = { queued: 0, scheduled: 0, running: 0, succeeded: 0, failed: 0, cancelled: 0 }

export const submit: Topic = topic('submit', {
  'submit resolves when the engine has the task': async (t) => {
    const runner = await t.runner({ tasks: { work: defineTask({ run: t.handler().run }) } })
    const handle = await runner.submit('work', { to: 'ada' })
    same(handle.deduplicated, false, 'it is deduplicated')
    const record = await recordOf(handle)
    assert.equal(record.id, handle.id)
    assert.equal(record.name, 'work')
    assert.deepEqual(record.input, { to: 'ada' })
    assert.match(handle.id, /^[A-Za-z0-9_-]{1,128}$/)
    lacks(handle, 'then')
  },

  'ids are unique': async (t) => {
    const runner = await t.runner({ tasks: { work: defineTask({ run: t.handler().run }) }, work: false })
    const handles = await runner.submitMany('work', Array.from({ length: 500 }))
    assert.equal(new Set(ids(handles)).size, 500)
  },

  'the handler is not called before submit has returned to its caller': async (t) => {
    const work = t.handler()
    const runner = await t.runner({ tasks: { work: defineTask({ run: work.run }) } })
    const submitting = runner.submit('work', 1)
    work.wasCalled(0)
    await submitting
    await work.call()
  },

  'a task without input has none, and its handler gets undefined': async (t) => {
    const work = t.handler()
    const runner = await t.runner({ tasks: { work: defineTask({ run: work.run }) } })
    const handle = await runner.submit('work')
    lacks(await recordOf(handle), 'input')
    assert.equal((await work.call()).input, undefined)
  },

  'null, false, 0 and the empty string are inputs': async (t) => {
    const work = t.handler()
    const runner = await t.runner({ tasks: { work: defineTask({ run: work.run }) }, concurrency: 1 })
    for (const [n, input] of [null, false, 0, ''].entries()) {
      const handle = await runner.submit('work', input)
      assert.strictEqual((await recordOf(handle)).input, input)
      const call = await work.call(n + 1)
      assert.strictEqual(call.input, input)
      call.resolve(input)
      assert.strictEqual((await handle.wait()).output, input)
    }
  },

  'an unknown name is refused with UnknownTaskError, and nothing is stored': async (t) => {
    const runner = await t.runner({ tasks: { work: defineTask({ run: t.handler().run }) } })
    const told = t.listen(runner)
    for (const name of ['other', '', 'toString', '__proto__', 'constructor']) {
      const error = await refused(runner.submit(name, 1), 'UNKNOWN_TASK')
      assert.match(error.message, /work/, 'the message tells what is known')
      await refused(runner.submitMany(name, [1]), 'UNKNOWN_TASK')
    }
    assert.deepEqual(await runner.counts(), NOTHING)
    assert.deepEqual(told, [])
  },

  'InvalidInputError tells all issues with their paths, and nothing is stored': async (t) => {
    const runner = await t.runner({ tasks: { work: defineTask({ run: t.handler().run }) } })
    const told = t.listen(runner)
    const error = await refused(
      runner.submit('work', { a: Number.NaN, b: [1, { c: 1n }], d: { e: () => 1 } }),
      'INVALID_INPUT',
    )
    assert.deepEqual(pathsOf(error), ['a', 'b.1.c', 'd.e'])
    assert.match(error.message, /work/)
    assert.deepEqual(await runner.counts(), NOTHING)
    assert.deepEqual(told, [])
  },

  'every wrong submit option is refused by its name, and nothing is stored': async (t) => {
    const runner = await t.runner({ tasks: { work: defineTask({ run: t.handler().run }) } })
    const bad = {
      id: 'no spaces allowed',
      key: '',
      priority: 1.5,
      delay: '5 parsecs',
      timeout: -1,
      tags: ['good', ''],
      metadata: { when: new Date(0) },
      retry: { attempts: 0, backoff: { type: 'linear', delay: 1 } },
      colour: 'red',
    }
    const error = await refused(runner.submit('work', 1, bad as never), 'INVALID_INPUT')
    assert.deepEqual(pathsOf(error), [
      'colour',
      'delay',
      'id',
      'key',
      'metadata.when',
      'priority',
      'retry.attempts',
      'retry.backoff.type',
      'tags',
      'timeout',
    ])
    for (const options of [null, 'fast', 7])
      await refused(runner.submit('work', 1, options as never), 'INVALID_INPUT', options)
    assert.deepEqual(await runner.counts(), NOTHING)
  },

  'a retry policy at submit is data only': async (t) => {
    const runner = await t.runner({ tasks: { work: defineTask({ run: t.handler().run }) } })
    const error = await refused(runner.submit('work', 1, { retry: { when: () => true } as never }), 'INVALID_INPUT')
    assert.deepEqual(pathsOf(error), ['retry.when'])
  },

  'delay and runAt exclude each other': async (t) => {
    const runner = await t.runner({ tasks: { work: defineTask({ run: t.handler().run }) } })
    await refused(runner.submit('work', 1, { delay: 1, runAt: 1 }), 'INVALID_INPUT')
    await refused(runner.submit('work', 1, { runAt: new Date(Number.NaN) }), 'INVALID_INPUT')
  },

  'priorities end at one million': async (t) => {
    const runner = await t.runner({ tasks: { work: defineTask({ run: t.handler().run }) }, work: false })
    for (const priority of [1_000_000, -1_000_000])
      assert.equal((await recordOf(await runner.submit('work', 1, { priority }))).priority, priority)
    for (const priority of [1_000_001, -1_000_001, 0.5, Number.NaN, Number.POSITIVE_INFINITY, '1' as never])
      await refused(runner.submit('work', 1, { priority }), 'INVALID_INPUT', priority)
  },

  'maxPending counts what is queued and scheduled, not what runs': async (t) => {
    const work = t.handler()
    const runner = await t.runner({
      tasks: { work: defineTask({ run: work.run }) },
      concurrency: 1,
      maxPending: 2,
    })
    await runner.submit('work', 'running')
    await work.call()
    await runner.submit('work', 'queued')
    const scheduled = await runner.submit('work', 'scheduled', { delay: 60_000 })
    const error = await refused(runner.submit('work', 'too many'), 'QUEUE_FULL')
    assert.match(error.message, /2/)
    await refused(runner.submit('work', 'too many', { delay: 1 }), 'QUEUE_FULL')
    const counts = await runner.counts()
    assert.deepEqual(counts, { ...NOTHING, running: 1, queued: 1, scheduled: 1 })
    await scheduled.cancel()
    await runner.submit('work', 'there is room again')
  },

  'a task that exists is answered with even where the queue is full': async (t) => {
    const runner = await t.runner({
      tasks: { work: defineTask({ run: t.handler().run }) },
      work: false,
      maxPending: 1,
    })
    const first = await runner.submit('work', 1, { key: 'a' })
    const second = await runner.submit('work', 1, { key: 'a' })
    assert.deepEqual([second.id, second.deduplicated], [first.id, true])
    await refused(runner.submit('work', 1, { key: 'b' }), 'QUEUE_FULL')
  },

  'a retry that waits is not refused for want of room': async (t) => {
    const work = t.handler()
    const runner = await t.runner({
      tasks: { work: defineTask({ retry: every(1_000), run: work.run }) },
      concurrency: 1,
      maxPending: 1,
    })
    const first = await runner.submit('work', 1)
    const call = await work.call(1)
    await runner.submit('work', 2)
    call.reject(new Error('no luck'))
    await t.reaches(runner, first, 'scheduled')
  },

  'submit and submitMany after close was called reject with RunnerClosedError': async (t) => {
    const work = t.handler()
    const runner = await t.runner({ tasks: { work: defineTask({ run: work.run }) } })
    await runner.submit('work', 1)
    const call = await work.call()
    const closing = runner.close({ drain: false })
    await refused(runner.submit('work', 2), 'RUNNER_CLOSED')
    await refused(runner.submitMany('work', [2]), 'RUNNER_CLOSED')
    call.resolve()
    assert.deepEqual(await closing, { completed: 1, returned: 0, abandoned: 0, pending: 0 })
    await refused(runner.submit('work', 2), 'RUNNER_CLOSED')
  },

  'a priority of minus zero is zero': async (t) => {
    const work = defineTask({ priority: -0, run: t.handler().run })
    const runner = await t.runner({ tasks: { work }, work: false })
    for (const options of [{}, { priority: -0 }, { priority: 3 }]) {
      const task = await runner.submit('work', 1, options)
      if (options.priority === 3) await runner.setPriority(task.id, -0)
      assert.ok(Object.is((await recordOf(task)).priority, 0), 'its priority is 0, and not minus zero')
    }
  },

  'what is given at submit is in the record: priority, metadata, tags, key': async (t) => {
    const work = t.handler()
    const runner = await t.runner({ tasks: { work: defineTask({ priority: 4, run: work.run }) } })
    await runner.pause()
    const plain = await recordOf(await runner.submit('work', 1))
    assert.equal(plain.priority, 4, "the definition's")
    lacks(plain, 'metadata', 'tags', 'key')
    const handle = await runner.submit('work', 1, {
      id: 'my-id_1',
      key: 'my key',
      priority: -2,
      metadata: { tenant: 7 },
      tags: ['a', 'b'],
    })
    const record = await recordOf(handle)
    assert.deepEqual(
      [record.id, record.key, record.priority, record.metadata, record.tags],
      ['my-id_1', 'my key', -2, { tenant: 7 }, ['a', 'b']],
    )
    await runner.resume()
    await work.call(2)
    assert.deepEqual(work.calls.find(({ ctx }) => ctx.id === 'my-id_1')?.ctx.metadata, { tenant: 7 })
  },

  'a timeout and a retry policy given at submit hold for that task': async (t) => {
    const work = t.handler()
    const runner = await t.runner({
      tasks: { work: defineTask({ timeout: 60_000, retry: every(9_000, 9), run: work.run }) },
    })
    const task = await runner.submit('work', 1, { timeout: '2s', retry: { attempts: 2 } })
    const call = await work.call(1)
    await t.advance(2_000)
    same(call.ctx.signal.aborted, true, 'its signal is aborted')
    call.reject(call.ctx.signal.reason)
    const { maxAttempts, runAt } = await t.reaches(runner, task, 'scheduled')
    assert.deepEqual([maxAttempts, runAt - t.clock.now()], [2, 9_000], 'field by field')
  },

  'a process that only submits runs nothing': async (t) => {
    const work = t.handler()
    let setups = 0
    const runner = await t.runner({
      tasks: {
        work: defineTask({
          run: work.run,
          setup: () => {
            setups++
          },
        }),
      },
      work: false,
    })
    const task = await runner.submit('work', 1)
    await t.advance(10_000)
    assert.deepEqual([work.calls.length, setups], [0, 0])
    assert.equal((await recordOf(task)).state, 'queued')
    assert.equal((await task.cancel()).state, 'cancelled')
    assert.deepEqual(await runner.close(), { completed: 0, returned: 0, abandoned: 0, pending: 0 })
  },
})
