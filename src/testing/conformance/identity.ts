/** SEMANTICS.md, line 5: `key` and `id`, what they deduplicate, and what they may be made of. */
import assert from 'node:assert/strict'
import { defineTask } from '../../index.js'
import { every, nth, pathsOf, recordOf, refused, same } from './tools.js'
import { type Topic, topic } from './world.js'

export const identity: Topic = topic('key and id', {
  'a key that is submitted again gives the task that has it, whatever the input': async (t) => {
    const work = t.handler()
    const runner = await t.runner({ tasks: { work: defineTask({ run: work.run }) } })
    const told = t.listen(runner)
    await runner.pause()
    const first = await runner.submit('work', 1, { key: 'order 7' })
    const again = await runner.submit('work', 2, { key: 'order 7', priority: 9 })
    assert.deepEqual([again.id, again.deduplicated, first.deduplicated], [first.id, true, false])
    const record = await recordOf(again)
    assert.deepEqual([record.input, record.priority], [1, 0], 'the first one counts')
    same((await runner.counts()).queued, 1, 'queued tasks')
    assert.deepEqual(
      told.map(({ event }) => event),
      ['submitted'],
    )
    await runner.resume()
    await work.call()
    assert.deepEqual(work.inputs, [1])
  },

  'a key is taken in every state, finished ones too': async (t) => {
    const work = t.handler()
    const runner = await t.runner({
      tasks: { work: defineTask({ retry: every(1_000, 2), run: work.run }) },
    })
    const submit = async (): Promise<[string, boolean]> => {
      const { id, deduplicated } = await runner.submit('work', 1, { key: 'k' })
      return [id, deduplicated]
    }
    const task = await runner.submit('work', 1, { key: 'k' })
    const same: [string, boolean] = [task.id, true]
    const first = await work.call(1)
    assert.deepEqual(await submit(), same, 'running')
    first.reject(new Error('no luck'))
    await t.reaches(runner, task, 'scheduled')
    assert.deepEqual(await submit(), same, 'scheduled')
    await t.advance(1_000)
    ;(await work.call(2)).reject(new Error('no luck'))
    await t.reaches(runner, task, 'failed')
    assert.deepEqual(await submit(), same, 'failed')
    assert.equal((await recordOf(task)).state, 'failed', 'a submit revives nothing')
    await task.retry()
    ;(await work.call(3)).resolve('done')
    await t.reaches(runner, task, 'succeeded')
    assert.deepEqual(await submit(), same, 'succeeded')
    const other = await runner.submit('work', 1, { key: 'c', delay: 1_000 })
    await other.cancel()
    assert.deepEqual(
      [(await runner.submit('work', 1, { key: 'c' })).id, (await runner.submit('work', 1, { key: 'c' })).deduplicated],
      [other.id, true],
      'cancelled',
    )
  },

  'a key is unique per task name': async (t) => {
    const runner = await t.runner({
      tasks: { mail: defineTask({ run: t.handler().run }), resize: defineTask({ run: t.handler().run }) },
      work: false,
    })
    const mail = await runner.submit('mail', 1, { key: 'same' })
    const resize = await runner.submit('resize', 1, { key: 'same' })
    assert.notEqual(mail.id, resize.id)
    same(resize.deduplicated, false, 'it is deduplicated')
  },

  'keys are told apart exactly': async (t) => {
    const runner = await t.runner({ tasks: { work: defineTask({ run: t.handler().run }) }, work: false })
    const keys = ['a', 'A', 'a ', ' a', 'é', 'e\u0301', '__proto__', 'constructor', 'a:b', '😀', '0', '00']
    const handles = await runner.submitMany('work', keys, (key) => ({ key: String(key) }))
    assert.equal(new Set(handles.map(({ id }) => id)).size, keys.length)
    for (const [i, key] of keys.entries())
      assert.equal((await runner.submit('work', 1, { key })).id, handles[i]?.id, JSON.stringify(key))
  },

  'an id that is submitted again gives the task that has it': async (t) => {
    const runner = await t.runner({ tasks: { work: defineTask({ run: () => 'done' }) } })
    const first = await runner.submit('work', 1, { id: 'mine' })
    assert.deepEqual([first.id, first.deduplicated], ['mine', false])
    await first.wait()
    const again = await runner.submit('work', 2, { id: 'mine' })
    assert.deepEqual([again.id, again.deduplicated], ['mine', true])
    assert.equal((await recordOf(again)).input, 1)
    assert.equal(await again.result(), 'done')
  },

  'an id that exists under another name is refused with InvalidStateError': async (t) => {
    const runner = await t.runner({
      tasks: { mail: defineTask({ run: t.handler().run }), resize: defineTask({ run: t.handler().run }) },
      work: false,
    })
    await runner.submit('mail', 1, { id: 'mine' })
    await refused(runner.submit('resize', 1, { id: 'mine' }), 'INVALID_STATE')
    await refused(
      runner.submitMany('resize', [1, 2], (_input, index) => ({ id: index === 0 ? 'other' : 'mine' })),
      'INVALID_STATE',
    )
    assert.equal(await runner.status('other'), undefined, 'all or nothing')
    same((await runner.counts()).queued, 1, 'queued tasks')
  },

  'submits at the same time with one key make one task': async (t) => {
    const work = t.handler()
    const runner = await t.runner({ tasks: { work: defineTask({ run: work.run }) } })
    const handles = await Promise.all(Array.from({ length: 20 }, (_, i) => runner.submit('work', i, { key: 'once' })))
    assert.equal(new Set(handles.map(({ id }) => id)).size, 1)
    assert.equal(handles.filter(({ deduplicated }) => !deduplicated).length, 1)
    await t.settle()
    work.wasCalled(1)
  },

  'a plain id or key for many inputs is refused': async (t) => {
    const runner = await t.runner({ tasks: { work: defineTask({ run: t.handler().run }) }, work: false })
    assert.deepEqual(pathsOf(await refused(runner.submitMany('work', [1, 2], { id: 'a' }), 'INVALID_INPUT')), ['id'])
    assert.deepEqual(pathsOf(await refused(runner.submitMany('work', [1, 2], { key: 'a' }), 'INVALID_INPUT')), ['key'])
    same((await runner.counts()).queued, 0, 'queued tasks')
  },

  'an id and a key of one submitMany that belong to two of its tasks are refused, and nothing is stored': async (t) => {
    const runner = await t.runner({ tasks: { work: defineTask({ run: t.handler().run }) }, work: false })
    const told = t.listen(runner)
    const twisted = [
      [
        { id: 'x', key: 'a' },
        { id: 'y', key: 'b' },
        { id: 'y', key: 'a' },
      ],
      [{ id: 'x' }, { key: 'a' }, { id: 'x', key: 'a' }],
    ]
    for (const options of twisted) {
      await refused(
        runner.submitMany('work', [1, 2, 3], (_input, index) => nth(options, index)),
        'INVALID_STATE',
      )
      same((await runner.counts()).queued, 0, 'queued tasks')
      for (const id of ['x', 'y']) assert.equal(await runner.status(id), undefined)
    }
    await t.settle()
    assert.deepEqual(told, [])
    for (const key of ['a', 'b'])
      assert.equal((await runner.submit('work', 1, { key })).deduplicated, false, 'the keys are free')
  },

  'an id or a key that stands twice in one submitMany makes one task': async (t) => {
    const runner = await t.runner({ tasks: { work: defineTask({ run: t.handler().run }) }, work: false })
    const told = t.listen(runner)
    const options = [{ id: 'x' }, { id: 'x', key: 'new' }, { key: 'k' }, { key: 'k' }, { id: 'z', key: 'k' }]
    const handles = await runner.submitMany('work', [1, 2, 3, 4, 5], (_input, index) => nth(options, index))
    const byKey = nth(handles, 2).id
    assert.deepEqual(
      handles.map(({ id, deduplicated }) => [id, deduplicated]),
      [
        ['x', false],
        ['x', true],
        [byKey, false],
        [byKey, true],
        [byKey, true],
      ],
    )
    assert.equal((await runner.status('x'))?.input, 1, 'the first one counts')
    same((await runner.counts()).queued, 2, 'queued tasks')
    assert.deepEqual(
      told.map(({ event, record }) => [event, record.id]),
      [
        ['submitted', 'x'],
        ['submitted', byKey],
      ],
    )
  },

  'a key and an id are free again when their task is removed': async (t) => {
    const work = t.handler()
    const runner = await t.runner({ tasks: { work: defineTask({ run: work.run }) } })
    const first = await runner.submit('work', 1, { id: 'mine', key: 'k' })
    ;(await work.call(1)).resolve()
    await first.wait()
    same(await runner.remove('mine'), true, 'what remove answers')
    const byKey = await runner.submit('work', 2, { key: 'k' })
    same(byKey.deduplicated, false, 'it is deduplicated')
    assert.notEqual(byKey.id, 'mine')
    const byId = await runner.submit('work', 3, { id: 'mine' })
    same(byId.deduplicated, false, 'it is deduplicated')
    assert.equal((await recordOf(byId)).input, 3)
    await work.call(3)
  },

  'an id has 1 to 128 of A-Z a-z 0-9 _ -': async (t) => {
    const runner = await t.runner({ tasks: { work: defineTask({ run: t.handler().run }) }, work: false })
    for (const id of ['a', '-', '_', '0', 'A-b_9', 'x'.repeat(128), 'constructor', '__proto__'])
      assert.equal((await recordOf(await runner.submit('work', 1, { id }))).id, id)
    for (const id of ['', 'x'.repeat(129), 'a b', 'a.b', 'a/b', 'é', 'a\n', 'a:b', '..', 7 as never, null as never])
      await refused(runner.submit('work', 1, { id }), 'INVALID_INPUT', id)
  },

  'a key and a tag have 1 to 256 characters, no control character, no lone surrogate': async (t) => {
    const runner = await t.runner({ tasks: { work: defineTask({ run: t.handler().run }) }, work: false })
    for (const good of ['a', 'x'.repeat(256), 'a b/c:d', 'ключ', '😀'.repeat(128), "'; DROP TABLE tasks; --", '%_\\']) {
      const record = await recordOf(await runner.submit('work', 1, { key: good, tags: [good] }))
      assert.deepEqual([record.key, record.tags], [good, [good]])
    }
    for (const bad of ['', 'x'.repeat(257), 'a\nb', '\u0000', 'a\u007f', '\u0085', '\ud800', 'a\udc00', 7 as never]) {
      assert.deepEqual(pathsOf(await refused(runner.submit('work', 1, { key: bad }), 'INVALID_INPUT')), ['key'])
      await refused(runner.submit('work', 1, { tags: ['good', bad] }), 'INVALID_INPUT')
    }
    await refused(runner.submit('work', 1, { tags: 'a' as never }), 'INVALID_INPUT')
  },
})
