/**
 * SEMANTICS.md, "The life of a task": every arrow of the diagram that one process can walk, and those that do not exist.
 * (`running → queued` by the death of a process is left to the engines' own tests.)
 */
import assert from 'node:assert/strict'
import { defineTask, RetryLaterError } from '../../index.js'
import { every, lacks, recordOf, refused, same } from './tools.js'
import { type Topic, topic } from './world.js'

export const lifecycle: Topic = topic('the life of a task', {
  'a task is queued when it is submitted': async (t) => {
    const runner = await t.runner({ tasks: { work: defineTask({ run: t.handler().run }) } })
    await runner.pause()
    const record = await recordOf(await runner.submit('work', 1))
    assert.equal(record.state, 'queued')
    assert.equal(record.attempt, 0)
    assert.equal(record.createdAt, t.clock.now())
    assert.equal(record.runAt, t.clock.now())
    assert.deepEqual(record.attempts, [])
    lacks(record, 'output', 'error', 'startedAt', 'finishedAt', 'cancelRequestedAt', 'progress')
  },

  'a task with a delay is scheduled, and queued when its time has come': async (t) => {
    const runner = await t.runner({ tasks: { work: defineTask({ run: t.handler().run }) } })
    await runner.pause()
    const task = await runner.submit('work', 1, { delay: '5s' })
    const record = await recordOf(task)
    assert.equal(record.state, 'scheduled')
    assert.equal(record.runAt, t.clock.now() + 5_000)
    await t.advance(4_999)
    assert.equal((await recordOf(task)).state, 'scheduled')
    await t.advance(1)
    await t.reaches(runner, task, 'queued')
  },

  'a task with runAt is scheduled for that moment': async (t) => {
    const work = t.handler()
    const runner = await t.runner({ tasks: { work: defineTask({ run: work.run }) } })
    const runAt = t.clock.now() + 3_000
    const task = await runner.submit('work', 1, { runAt })
    const other = await runner.submit('work', 2, { runAt: new Date(runAt + 1_000) })
    assert.equal((await recordOf(task)).state, 'scheduled')
    assert.equal((await recordOf(other)).runAt, runAt + 1_000)
    await t.advance(2_999)
    work.wasCalled(0)
    await t.advance(1)
    await work.call(1)
    await t.advance(1_000)
    await work.call(2)
    assert.deepEqual(work.inputs, [1, 2])
  },

  'a task whose runAt has passed is queued at once': async (t) => {
    const runner = await t.runner({ tasks: { work: defineTask({ run: t.handler().run }) } })
    await runner.pause()
    assert.equal((await recordOf(await runner.submit('work', 1, { runAt: t.clock.now() - 1_000 }))).state, 'queued')
  },

  'a running task has a startedAt, and a running attempt in its history': async (t) => {
    const work = t.handler()
    const runner = await t.runner({ tasks: { work: defineTask({ run: work.run }) } })
    const task = await runner.submit('work', 1, { delay: 1_000 })
    await t.advance(1_000)
    await work.call()
    const record = await recordOf(task)
    assert.equal(record.state, 'running')
    assert.equal(record.attempt, 1)
    assert.equal(record.startedAt, t.clock.now())
    lacks(record, 'finishedAt')
    assert.deepEqual(record.attempts, [{ number: 1, startedAt: t.clock.now() }])
  },

  'a task that succeeded has its output, its times and its attempt': async (t) => {
    const work = t.handler()
    const runner = await t.runner({ tasks: { work: defineTask({ run: work.run }) } })
    const task = await runner.submit('work', { a: 1 })
    const startedAt = t.clock.now()
    const call = await work.call()
    await t.advance(250)
    call.resolve({ b: [2] })
    const record = await t.reaches(runner, task, 'succeeded')
    assert.deepEqual(record.input, { a: 1 })
    assert.deepEqual(record.output, { b: [2] })
    assert.equal(record.finishedAt, startedAt + 250)
    assert.deepEqual(record.attempts, [{ number: 1, startedAt, finishedAt: startedAt + 250, outcome: 'succeeded' }])
    lacks(record, 'error')
  },

  'a task that failed once is scheduled for its backoff, then runs again': async (t) => {
    const work = t.handler()
    const runner = await t.runner({ tasks: { work: defineTask({ retry: every(2_000), run: work.run }) } })
    const task = await runner.submit('work', 1)
    ;(await work.call(1)).reject(new Error('no luck'))
    const waiting = await t.reaches(runner, task, 'scheduled')
    assert.equal(waiting.runAt, t.clock.now() + 2_000)
    assert.equal(waiting.error?.message, 'no luck')
    assert.equal(waiting.attempts[0]?.outcome, 'retry')
    assert.equal(waiting.attempts[0]?.error?.message, 'no luck')
    lacks(waiting, 'finishedAt')
    await t.advance(2_000)
    ;(await work.call(2)).resolve('done')
    const record = await t.reaches(runner, task, 'succeeded')
    assert.equal(record.attempt, 2)
    assert.deepEqual(
      record.attempts.map(({ number, outcome }) => [number, outcome]),
      [
        [1, 'retry'],
        [2, 'succeeded'],
      ],
    )
    lacks(record, 'error')
  },

  'RetryLaterError schedules a task': async (t) => {
    const work = t.handler()
    const runner = await t.runner({ tasks: { work: defineTask({ run: work.run }) } })
    const task = await runner.submit('work', 1)
    ;(await work.call(1)).reject(new RetryLaterError({ delay: '7s' }))
    assert.equal((await t.reaches(runner, task, 'scheduled')).runAt, t.clock.now() + 7_000)
    await t.advance(6_999)
    work.wasCalled(1)
    await t.advance(1)
    await work.call(2)
  },

  'a task fails when its attempts are used up': async (t) => {
    const work = t.handler()
    const runner = await t.runner({ tasks: { work: defineTask({ retry: every(1_000, 2), run: work.run }) } })
    const task = await runner.submit('work', 1)
    ;(await work.call(1)).reject(new Error('first'))
    await t.reaches(runner, task, 'scheduled')
    await t.advance(1_000)
    ;(await work.call(2)).reject(new Error('second'))
    const record = await t.reaches(runner, task, 'failed')
    assert.equal(record.error?.message, 'second')
    assert.equal(record.finishedAt, t.clock.now())
    assert.deepEqual(
      record.attempts.map(({ outcome }) => outcome),
      ['retry', 'failed'],
    )
    await t.advance(60_000)
    work.wasCalled(2)
  },

  'a queued task and a scheduled task can be cancelled, and never run': async (t) => {
    const work = t.handler()
    const runner = await t.runner({ tasks: { work: defineTask({ run: work.run }) } })
    await runner.pause()
    const queued = await runner.submit('work', 1)
    const scheduled = await runner.submit('work', 2, { delay: 1_000 })
    for (const task of [queued, scheduled]) {
      const record = await task.cancel({ reason: 'not needed' })
      assert.equal(record.state, 'cancelled')
      assert.equal(record.finishedAt, t.clock.now())
      assert.equal(record.cancelRequestedAt, t.clock.now())
      assert.equal(record.error?.code, 'TASK_CANCELLED')
      assert.match(record.error?.message ?? '', /not needed/)
      assert.deepEqual(record.attempts, [])
    }
    await runner.resume()
    await t.advance(2_000)
    work.wasCalled(0)
  },

  'a task that waits for its backoff can be cancelled': async (t) => {
    const work = t.handler()
    const runner = await t.runner({ tasks: { work: defineTask({ retry: every(1_000), run: work.run }) } })
    const task = await runner.submit('work', 1)
    ;(await work.call(1)).reject(new Error('no luck'))
    await t.reaches(runner, task, 'scheduled')
    const record = await task.cancel()
    assert.equal(record.state, 'cancelled')
    assert.equal(record.attempts.length, 1)
    await t.advance(5_000)
    work.wasCalled(1)
  },

  'a failed task that is retried is queued, or scheduled with a delay': async (t) => {
    const work = t.handler()
    const runner = await t.runner({ tasks: { work: defineTask({ retry: { attempts: 1 }, run: work.run }) } })
    const task = await runner.submit('work', 1)
    ;(await work.call(1)).reject(new Error('no luck'))
    await t.reaches(runner, task, 'failed')
    await runner.pause()
    const queued = await task.retry()
    assert.equal(queued.state, 'queued')
    lacks(queued, 'error', 'finishedAt')
    await runner.resume()
    ;(await work.call(2)).reject(new Error('no luck'))
    await t.reaches(runner, task, 'failed')
    const scheduled = await task.retry({ delay: '3s' })
    assert.equal(scheduled.state, 'scheduled')
    assert.equal(scheduled.runAt, t.clock.now() + 3_000)
    await t.advance(2_999)
    work.wasCalled(2)
    await t.advance(1)
    ;(await work.call(3)).resolve()
    await t.reaches(runner, task, 'succeeded')
  },

  'a cancelled task that is retried is queued, or scheduled with a delay': async (t) => {
    const work = t.handler()
    const runner = await t.runner({ tasks: { work: defineTask({ run: work.run }) } })
    await runner.pause()
    const task = await runner.submit('work', 1)
    await task.cancel({ reason: 'by mistake' })
    const scheduled = await task.retry({ delay: 1_000 })
    assert.equal(scheduled.state, 'scheduled')
    await task.cancel()
    const queued = await task.retry()
    assert.equal(queued.state, 'queued')
    lacks(queued, 'error', 'finishedAt', 'cancelRequestedAt')
    await runner.resume()
    const call = await work.call(1)
    same(call.ctx.signal.aborted, false, 'its signal is aborted')
    call.resolve()
    await t.reaches(runner, task, 'succeeded')
  },

  'a task that succeeded can be neither cancelled nor retried': async (t) => {
    const runner = await t.runner({ tasks: { work: defineTask({ run: () => 'done' }) } })
    const task = await runner.submit('work', 1)
    const record = await task.wait()
    await refused(task.cancel(), 'INVALID_STATE')
    await refused(task.cancel({ force: true }), 'INVALID_STATE')
    await refused(task.retry(), 'INVALID_STATE')
    assert.deepEqual(await task.status(), record)
  },
})
