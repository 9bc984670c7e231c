/** `after`: a task that comes after others runs when they have succeeded, and is cancelled when one has not. */
import assert from 'node:assert/strict'
import { type BackgroundRunner, defineTask, type TaskRecord } from '../../index.js'
import type { Handler } from './handler.js'
import { refused } from './tools.js'
import { type Topic, topic, type World } from './world.js'

async function working(t: World): Promise<{ runner: BackgroundRunner; work: Handler }> {
  const work = t.handler()
  const runner = await t.runner({ tasks: { work: defineTask({ retry: { attempts: 1 }, run: work.run }) } })
  return { runner, work }
}

async function state(t: World, runner: BackgroundRunner, id: string): Promise<TaskRecord> {
  await t.settle()
  return (await runner.status(id)) as TaskRecord
}

export const after: Topic = topic('after', {
  'it is queued until all of them have succeeded, and runs then': async (t) => {
    const { runner, work } = await working(t)
    const a = await runner.submit('work', 'a')
    const b = await runner.submit('work', 'b')
    const c = await runner.submit('work', 'c', { after: [a.id, b.id, a.id] })
    await work.call(2)
    assert.equal((await state(t, runner, c.id)).state, 'queued')
    assert.deepEqual((await runner.explain(c.id)).reasons, [{ type: 'after', tasks: [a.id, b.id] }])
    work.calls[0]?.resolve()
    assert.equal((await state(t, runner, c.id)).state, 'queued')
    assert.deepEqual((await runner.explain(c.id)).reasons, [{ type: 'after', tasks: [b.id] }])
    work.calls[1]?.resolve()
    await work.call(3)
    assert.deepEqual(work.inputs, ['a', 'b', 'c'])
  },

  'all that one kept begin when it has ended, as far as there are slots': async (t) => {
    const { runner, work } = await working(t)
    const a = await runner.submit('work', 'a')
    await runner.submitMany('work', ['b', 'c', 'd'], { after: [a.id] })
    ;(await work.call(1)).resolve()
    await work.call(4)
    assert.equal(work.running, 3)
  },

  'one that has succeeded already is not waited for': async (t) => {
    const { runner, work } = await working(t)
    const a = await runner.submit('work', 'a')
    ;(await work.call(1)).resolve()
    await t.reaches(runner, a, 'succeeded')
    await runner.submit('work', 'b', { after: [a.id] })
    await work.call(2)
  },

  'when one fails it is cancelled with the reason, and so is what comes after it': async (t) => {
    const { runner, work } = await working(t)
    const told = t.listen(runner)
    const a = await runner.submit('work', 'a')
    const b = await runner.submit('work', 'b', { after: [a.id] })
    const c = await runner.submit('work', 'c', { after: [b.id], delay: 60_000 })
    ;(await work.call(1)).reject(new Error('no'))
    const record = await state(t, runner, b.id)
    assert.equal(record.state, 'cancelled')
    assert.match(record.error?.message as string, new RegExp(`task ${a.id}, which it comes after, failed`))
    const last = await state(t, runner, c.id)
    assert.equal(last.state, 'cancelled')
    assert.match(last.error?.message as string, new RegExp(`task ${b.id}, which it comes after, was cancelled`))
    work.wasCalled(1)
    const ends = told.filter(({ event }) => event === 'failed' || event === 'cancelled')
    assert.deepEqual(
      ends.map(({ event, record: { id } }) => `${event} ${id}`).sort(),
      [`failed ${a.id}`, `cancelled ${b.id}`, `cancelled ${c.id}`].sort(),
    )
    await runner.onIdle()
  },

  'when one is cancelled, waiting or running, it is cancelled as well': async (t) => {
    const { runner, work } = await working(t)
    const a = await runner.submit('work', 'a', { delay: 60_000 })
    const b = await runner.submit('work', 'b', { after: [a.id] })
    await runner.cancel(a.id)
    assert.equal((await state(t, runner, b.id)).state, 'cancelled')
    const c = await runner.submit('work', 'c')
    const d = await runner.submit('work', 'd', { after: [c.id] })
    const call = await work.call(1)
    await runner.cancel(c.id)
    call.reject(call.ctx.signal.reason)
    assert.equal((await state(t, runner, d.id)).state, 'cancelled')
  },

  "with onParentFailure: 'run' it runs all the same": async (t) => {
    const { runner, work } = await working(t)
    const a = await runner.submit('work', 'a')
    await runner.submit('work', 'b', { after: [a.id], onParentFailure: 'run' })
    ;(await work.call(1)).reject(new Error('no'))
    await work.call(2)
    await t.reaches(runner, a, 'failed')
    await runner.submit('work', 'c', { after: [a.id], onParentFailure: 'run' })
    await work.call(3)
  },

  'one that has failed already: it is cancelled at once': async (t) => {
    const { runner, work } = await working(t)
    const a = await runner.submit('work', 'a')
    ;(await work.call(1)).reject(new Error('no'))
    await t.reaches(runner, a, 'failed')
    const b = await runner.submit('work', 'b', { after: [a.id] })
    assert.equal((await state(t, runner, b.id)).state, 'cancelled')
    work.wasCalled(1)
  },

  'an unknown one is refused with TaskNotFoundError, and nothing is stored; of a batch an earlier one is known': async (
    t,
  ) => {
    const { runner, work } = await working(t)
    await refused(runner.submit('work', 'a', { after: ['nobody'] }), 'TASK_NOT_FOUND')
    await refused(
      runner.submitMany('work', [1, 2], (_input, i) => (i === 1 ? { after: ['nobody'] } : {})),
      'TASK_NOT_FOUND',
    )
    await refused(runner.submit('work', 'a', { after: ['no id!'] }), 'INVALID_INPUT')
    await refused(runner.submit('work', 'a', { id: 'self', after: ['self'] }), 'TASK_NOT_FOUND')
    assert.deepEqual((await runner.list({})).tasks, [])
    await runner.submitMany('work', ['a', 'b'], (_input, i) => (i === 0 ? { id: 'first' } : { after: ['first'] }))
    ;(await work.call(1)).resolve()
    await work.call(2)
    assert.deepEqual(work.inputs, ['a', 'b'])
  },

  'a manual retry of one that was cancelled for it is a human word: it waits only for what has not ended': async (
    t,
  ) => {
    const { runner, work } = await working(t)
    const a = await runner.submit('work', 'a')
    const b = await runner.submit('work', 'b', { after: [a.id] })
    ;(await work.call(1)).reject(new Error('no'))
    await t.reaches(runner, b, 'cancelled')
    await runner.retry(b.id)
    await work.call(2)
    await t.reaches(runner, b, 'running')
  },

  'a retry of the other one is waited for: it has not ended': async (t) => {
    const work = t.handler()
    const retry = { attempts: 2, backoff: { type: 'fixed', delay: 1_000, jitter: false } } as const
    const runner = await t.runner({ tasks: { work: defineTask({ retry, run: work.run }) } })
    const a = await runner.submit('work', 'a')
    const b = await runner.submit('work', 'b', { after: [a.id] })
    ;(await work.call(1)).reject(new Error('no'))
    await t.reaches(runner, a, 'scheduled')
    assert.equal((await state(t, runner, b.id)).state, 'queued')
    await t.advance(1_000)
    ;(await work.call(2)).resolve()
    await work.call(3)
  },

  'all that come after one begin when it has ended, as many as there are slots': async (t) => {
    const { runner, work } = await working(t)
    const a = await runner.submit('work', 'a')
    await runner.submitMany('work', ['b', 'c', 'd'], { after: [a.id] })
    ;(await work.call(1)).resolve()
    await work.call(4)
    assert.equal(work.unsettled.length, 3)
  },

  'idle is told after the end of the last one that thousands come after, and each wait has its answer': async (t) => {
    const { runner } = await working(t)
    const a = await runner.submit('work', 'a', { delay: 60_000 })
    const inputs = Array.from({ length: 1_000 }, (_, i) => i)
    const waiting = (await runner.submitMany('work', inputs, { after: [a.id] })).at(-1)?.wait()
    const told: string[] = []
    runner.on('cancelled', () => void told.push('cancelled'))
    runner.on('idle', () => void told.push('idle'))
    await runner.cancel(a.id)
    assert.equal((await waiting)?.state, 'cancelled')
    await t.until(() => told.includes('idle'), 'idle is told')
    assert.equal(told.indexOf('idle'), 1_001, 'how many ends were told before')
  },

  'a chain of any length ends with its first one': async (t) => {
    const { runner } = await working(t)
    const length = 4_000
    await runner.submit('work', 0, { id: 'c0', delay: 60_000 })
    await runner.submitMany(
      'work',
      Array.from({ length }, (_, i) => i),
      (_input, i) => ({ id: `c${i + 1}`, after: [`c${i}`] }),
    )
    runner.on('cancelled', () => t.alive()) // however long it takes where each step waits for a disk
    await runner.cancel('c0')
    await runner.onIdle()
    assert.equal((await runner.counts()).cancelled, length + 1)
  },

  'what is submitted again is answered as it is, also when what it came after is gone': async (t) => {
    const { runner, work } = await working(t)
    work.releaseAll()
    const a = await runner.submit('work', 'a')
    await a.wait()
    const b = await runner.submit('work', 'b', { key: 'b', after: [a.id] })
    const c = await runner.submit('work', 'c', { id: 'c', after: [a.id] })
    await Promise.all([b.wait(), c.wait()])
    await runner.remove(a.id)
    for (const again of [
      await runner.submit('work', 'b', { key: 'b', after: [a.id] }),
      await runner.submit('work', 'c', { id: 'c', after: [a.id] }),
    ])
      assert.equal(again.deduplicated, true)
  },

  'an id of a batch that stands for another task is an unknown one, and nothing is stored': async (t) => {
    const { runner, work } = await working(t)
    work.releaseAll()
    await (await runner.submit('work', 'a', { key: 'k' })).wait()
    const options = [{}, { id: 'new', key: 'k' }, { after: ['new'] }]
    await refused(
      runner.submitMany('work', [1, 2, 3], (_input, i) => options[i] ?? {}),
      'TASK_NOT_FOUND',
    )
    assert.equal((await runner.list()).tasks.length, 1)
  },

  'its priority may be set and it may be cancelled while it waits; then it is waited for no more': async (t) => {
    const { runner, work } = await working(t)
    const a = await runner.submit('work', 'a')
    const b = await runner.submit('work', 'b', { after: [a.id] })
    await runner.setPriority(b.id, 5)
    await runner.cancel(b.id)
    ;(await work.call(1)).resolve()
    await t.reaches(runner, a, 'succeeded')
    assert.equal((await state(t, runner, b.id)).state, 'cancelled')
    assert.equal((await runner.counts()).queued, 0)
    await runner.onIdle()
  },
})
