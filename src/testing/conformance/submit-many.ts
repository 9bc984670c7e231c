/** `submitMany`: a handle for each input; all are stored, or none. */
import assert from 'node:assert/strict'
import { defineTask } from '../../index.js'
import { codeOf, ids, nth, pathsOf, recordOf, refused, same } from './tools.js'
import { type Topic, topic } from './world.js'

const NOTHING = { queued: 0, scheduled: 0, running: 0, succeeded: 0, failed: 0, cancelled: 0 }

export const submitMany: Topic = topic('submitMany', {
  'submitMany gives a handle for each input, in their order': async (t) => {
    const work = t.handler()
    const runner = await t.runner({ tasks: { work: defineTask({ run: work.run }) }, concurrency: 1 })
    await runner.pause()
    const handles = await runner.submitMany('work', ['a', 'b', 'c'], { priority: 3, tags: ['lot'] })
    const records = await Promise.all(handles.map(recordOf))
    assert.deepEqual(
      records.map(({ input, priority, tags }) => [input, priority, tags]),
      [
        ['a', 3, ['lot']],
        ['b', 3, ['lot']],
        ['c', 3, ['lot']],
      ],
    )
    assert.equal(new Set(ids(handles)).size, 3)
    await runner.resume()
    for (const n of [1, 2, 3]) (await work.call(n)).resolve()
    assert.deepEqual(work.inputs, ['a', 'b', 'c'])
    assert.deepEqual(await runner.submitMany('work', []), [])
  },

  'submitMany takes options for each input': async (t) => {
    const runner = await t.runner({ tasks: { work: defineTask({ run: t.handler().run }) }, work: false })
    const handles = await runner.submitMany('work', ['a', 'b'], (input, index) => ({
      key: `key-${String(input)}`,
      priority: index,
    }))
    const records = await Promise.all(handles.map(recordOf))
    assert.deepEqual(
      records.map(({ key, priority }) => [key, priority]),
      [
        ['key-a', 0],
        ['key-b', 1],
      ],
    )
  },

  'submitMany stores all or nothing, and tells which inputs are wrong': async (t) => {
    const runner = await t.runner({ tasks: { work: defineTask({ run: t.handler().run }) }, work: false, maxPending: 3 })
    const told = t.listen(runner)
    const error = await refused(
      runner.submitMany('work', ['good', { at: new Date(0) }, 'good', [Number.NaN]]),
      'INVALID_INPUT',
    )
    assert.deepEqual(pathsOf(error), ['1.at', '3.0'])
    await refused(
      runner.submitMany('work', ['good', 'good'], (_input, index) => ({ priority: index / 2 })),
      'INVALID_INPUT',
    )
    await refused(runner.submitMany('work', [1, 2, 3, 4]), 'QUEUE_FULL')
    await refused(runner.submitMany('work', 'not a list' as never), 'INVALID_INPUT')
    assert.deepEqual(await runner.counts(), NOTHING)
    assert.deepEqual(told, [])
    assert.equal((await runner.submitMany('work', [1, 2, 3])).length, 3)
  },

  'submitMany of a list with a hole takes it for no input, or refuses it by its index': async (t) => {
    const runner = await t.runner({ tasks: { work: defineTask({ run: t.handler().run }) }, work: false })
    const inputs: unknown[] = [1]
    inputs[2] = 3
    const outcome = await runner.submitMany('work', inputs).catch((error: unknown) => codeOf(error))
    assert.ok(outcome === 'INVALID_INPUT' || outcome.length === 3, String(outcome))
    same((await runner.counts()).queued, outcome === 'INVALID_INPUT' ? 0 : 3, 'queued tasks')
  },

  'submitMany counts what stands twice in it once against maxPending': async (t) => {
    const batches: { id?: string; key?: string }[][] = [
      [
        { id: 'x', key: 'a' },
        { id: 'x', key: 'b' },
        { id: 'z', key: 'b' },
      ],
      [{ id: 'x' }, { id: 'x' }, { key: 'b' }, { key: 'b' }],
    ]
    for (const [n, batch] of batches.entries())
      for (const maxPending of [1, 2]) {
        const runner = await t.runner({
          tasks: { work: defineTask({ run: t.handler().run }) },
          work: false,
          maxPending,
        })
        const submitting = runner.submitMany('work', batch, (_input, index) => nth(batch, index))
        if (maxPending === 1) await refused(submitting, 'QUEUE_FULL')
        else await submitting
        assert.equal((await runner.counts()).queued, maxPending === 1 ? 0 : 2, `batch ${n}`)
      }
  },

  'submitMany counts only what is new against maxPending': async (t) => {
    const runner = await t.runner({ tasks: { work: defineTask({ run: t.handler().run }) }, work: false, maxPending: 2 })
    const handles = await runner.submitMany('work', [1, 2, 1], (input) => ({ key: `key-${String(input)}` }))
    assert.deepEqual(
      handles.map(({ deduplicated }) => deduplicated),
      [false, false, true],
    )
    assert.equal(handles[2]?.id, handles[0]?.id)
    const again = await runner.submitMany('work', [2, 1], (input) => ({ key: `key-${String(input)}` }))
    assert.deepEqual(ids(again), [handles[1]?.id, handles[0]?.id])
    same((await runner.counts()).queued, 2, 'queued tasks')
  },
})
