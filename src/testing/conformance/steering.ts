/** SEMANTICS.md, line 14: unknown ids, wrong states, and what a verb answers. */
import assert from 'node:assert/strict'
import { defineTask } from '../../index.js'
import { codeOf, every, lacks, nth, recordOf, refused, same } from './tools.js'
import { type Topic, topic } from './world.js'

export const steering: Topic = topic('asking and steering', {
  'an unknown id: status gives undefined, remove false, all else TaskNotFoundError': async (t) => {
    const runner = await t.runner({ tasks: { work: defineTask({ run: t.handler().run }) } })
    for (const id of ['unknown', '', 'no such id!', '__proto__', 'x'.repeat(10_000), "' OR 1=1 --"]) {
      assert.equal(await runner.status(id), undefined)
      same(await runner.remove(id), false, 'what remove answers')
      await refused(runner.wait(id), 'TASK_NOT_FOUND')
      await refused(runner.result(id), 'TASK_NOT_FOUND')
      await refused(runner.cancel(id), 'TASK_NOT_FOUND')
      await refused(runner.cancel(id, { force: true }), 'TASK_NOT_FOUND')
      await refused(runner.retry(id), 'TASK_NOT_FOUND')
      await refused(runner.setPriority(id, 1), 'TASK_NOT_FOUND')
    }
  },

  'an id that is no string is an unknown id': async (t) => {
    const runner = await t.runner({ tasks: { work: defineTask({ run: t.handler().run }) } })
    for (const id of [undefined, null, 7, {}, Symbol('id')] as never[]) {
      assert.equal(await runner.status(id), undefined)
      same(await runner.remove(id), false, 'what remove answers')
      await refused(runner.wait(id), 'TASK_NOT_FOUND')
      await refused(runner.cancel(id), 'TASK_NOT_FOUND')
      await refused(runner.retry(id), 'TASK_NOT_FOUND')
      await refused(runner.setPriority(id, 1), 'TASK_NOT_FOUND')
    }
  },

  'cancel of a finished task is refused in each of its three ends': async (t) => {
    const work = t.handler()
    const runner = await t.runner({ tasks: { work: defineTask({ retry: { attempts: 1 }, run: work.run }) } })
    const tasks = await runner.submitMany('work', ['ok', 'bad', 'gone'])
    ;(await work.call(1)).resolve()
    ;(await work.call(2)).reject(new Error('no luck'))
    const call = await work.call(3)
    await nth(tasks, 2).cancel()
    call.reject(call.ctx.signal.reason)
    for (const task of tasks) {
      const record = await task.wait()
      const error = await refused(task.cancel({ reason: 'too late' }), 'INVALID_STATE')
      assert.match(error.message, new RegExp(record.state), 'the message tells the state')
      assert.deepEqual(await task.status(), record, 'and nothing has changed')
    }
  },

  'retry is refused unless the task has failed or was cancelled': async (t) => {
    const work = t.handler()
    const runner = await t.runner({
      tasks: { work: defineTask({ retry: every(1_000), run: work.run }) },
      concurrency: 1,
    })
    const first = await runner.submit('work')
    const call = await work.call(1)
    await refused(first.retry(), 'INVALID_STATE')
    const queued = await runner.submit('work')
    const scheduled = await runner.submit('work', 1, { delay: 5_000 })
    await refused(queued.retry(), 'INVALID_STATE')
    await refused(scheduled.retry(), 'INVALID_STATE')
    await refused(scheduled.retry({ delay: 1 }), 'INVALID_STATE')
    call.reject(new Error('no luck'))
    await t.reaches(runner, first, 'scheduled')
    await refused(first.retry(), 'INVALID_STATE')
  },

  'setPriority is refused for a task that no longer waits': async (t) => {
    const work = t.handler()
    const runner = await t.runner({ tasks: { work: defineTask({ retry: every(1_000, 2), run: work.run }) } })
    const task = await runner.submit('work')
    const call = await work.call(1)
    await refused(runner.setPriority(task.id, 1), 'INVALID_STATE')
    call.reject(new Error('no luck'))
    await t.reaches(runner, task, 'scheduled')
    assert.equal((await runner.setPriority(task.id, 1)).priority, 1, 'between two attempts it waits')
    await t.advance(1_000)
    ;(await work.call(2)).resolve()
    await task.wait()
    await refused(runner.setPriority(task.id, 2), 'INVALID_STATE')
    assert.equal((await recordOf(task)).priority, 1)
  },

  'remove is refused for an unfinished task, and takes a finished one away': async (t) => {
    const work = t.handler()
    const runner = await t.runner({
      tasks: { work: defineTask({ retry: { attempts: 1 }, run: work.run }) },
      concurrency: 1,
    })
    const running = await runner.submit('work')
    const call = await work.call(1)
    const queued = await runner.submit('work')
    const scheduled = await runner.submit('work', 1, { delay: 5_000 })
    for (const task of [running, queued, scheduled]) await refused(runner.remove(task.id), 'INVALID_STATE')
    call.resolve()
    await running.wait()
    ;(await work.call(2)).reject(new Error('no luck'))
    await t.reaches(runner, queued, 'failed')
    await scheduled.cancel()
    for (const task of [running, queued, scheduled]) {
      same(await runner.remove(task.id), true, 'what remove answers')
      assert.equal(await task.status(), undefined)
      same(await runner.remove(task.id), false, 'what remove answers')
      await refused(task.retry(), 'TASK_NOT_FOUND')
    }
    assert.deepEqual((await runner.list()).tasks, [])
    assert.deepEqual(Object.values(await runner.counts()), [0, 0, 0, 0, 0, 0])
  },

  'a removed task that was retried before is really gone': async (t) => {
    const work = t.handler()
    const runner = await t.runner({ tasks: { work: defineTask({ retry: { attempts: 1 }, run: work.run }) } })
    const task = await runner.submit('work')
    ;(await work.call(1)).reject(new Error('no luck'))
    await t.reaches(runner, task, 'failed')
    await task.retry()
    ;(await work.call(2)).resolve()
    await task.wait()
    same(await runner.remove(task.id), true, 'what remove answers')
    assert.deepEqual(Object.values(await runner.counts()), [0, 0, 0, 0, 0, 0])
  },

  'verbs answer with the record as they wrote it, not as it is read a moment later': async (t) => {
    const work = t.handler()
    const runner = await t.runner({
      tasks: {
        work: defineTask({ retry: { attempts: 1 }, run: work.run }),
        quick: defineTask({ run: () => 'done' }),
        eager: defineTask({
          run: (_input: unknown, { signal }) =>
            new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
        }),
      },
    })
    const eager = await runner.submit('eager')
    await t.reaches(runner, eager, 'running')
    await t.settle()
    const asked = await eager.cancel()
    assert.equal(asked.state, 'running', 'it was asked to stop, no more')
    assert.equal(asked.cancelRequestedAt, t.clock.now())
    assert.equal(asked.attempt, 1)
    lacks(asked, 'finishedAt')
    await t.reaches(runner, eager, 'cancelled')

    const again = await eager.retry()
    assert.equal(again.state, 'queued', 'it is queued, although a slot is free')
    lacks(again, 'cancelRequestedAt')

    const failed = await runner.submit('work')
    ;(await work.call(1)).reject(new Error('no luck'))
    await t.reaches(runner, failed, 'failed')
    assert.equal((await failed.retry()).state, 'queued')
    ;(await work.call(2)).resolve()

    await runner.pause()
    const quick = await runner.submit('quick')
    const resuming = runner.resume()
    const moved = await runner.setPriority(quick.id, 3).catch(codeOf)
    if (typeof moved === 'object') assert.deepEqual([moved.state, moved.priority], ['queued', 3])
    else assert.equal(moved, 'INVALID_STATE', 'where the engine was faster')
    await resuming
  },

  'a handle has the verbs of its task': async (t) => {
    const work = t.handler()
    const runner = await t.runner({ tasks: { work: defineTask({ retry: { attempts: 1 }, run: work.run }) } })
    const task = await runner.submit('work')
    ;(await work.call(1)).reject(new Error('no luck'))
    assert.deepEqual(await task.wait(), await runner.wait(task.id))
    assert.deepEqual(await task.status(), await runner.status(task.id))
    assert.equal(
      (await refused(task.result(), 'TASK_FAILED')).message,
      (await refused(runner.result(task.id), 'TASK_FAILED')).message,
    )
    await task.retry({ delay: 1_000 })
    assert.equal((await task.cancel({ reason: 'enough' })).state, 'cancelled')
  },

  'counts tells how many tasks are in each state': async (t) => {
    const work = t.handler()
    const runner = await t.runner({
      tasks: { work: defineTask({ retry: { attempts: 1 }, run: work.run }) },
      concurrency: 1,
    })
    const zero = { queued: 0, scheduled: 0, running: 0, succeeded: 0, failed: 0, cancelled: 0 }
    assert.deepEqual(await runner.counts(), zero)
    await runner.submitMany('work', [1, 2, 3, 4])
    const delayed = await runner.submitMany('work', [5, 6], { delay: 1_000 })
    ;(await work.call(1)).resolve()
    ;(await work.call(2)).reject(new Error('no luck'))
    await work.call(3)
    await runner.cancel(delayed[0]?.id ?? '')
    await t.settle()
    assert.deepEqual(await runner.counts(), {
      queued: 1,
      scheduled: 1,
      running: 1,
      succeeded: 1,
      failed: 1,
      cancelled: 1,
    })
  },

  'wrong options of verbs are refused': async (t) => {
    const runner = await t.runner({ tasks: { work: defineTask({ run: t.handler().run }) }, work: false })
    const task = await runner.submit('work')
    await refused(task.cancel({ reason: 7 as never }), 'INVALID_INPUT')
    await refused(task.cancel({ force: 'yes' as never }), 'INVALID_INPUT')
    await refused(task.retry({ delay: 'soon' as never }), 'INVALID_INPUT')
    await refused(task.wait({ timeout: 'soon' as never }), 'INVALID_INPUT')
    assert.equal((await recordOf(task)).state, 'queued')
  },
})
