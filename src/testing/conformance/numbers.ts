/** SEMANTICS.md, "Numbers": `attempt`, `maxAttempts`, the history, and what survives a retry. */
import assert from 'node:assert/strict'
import { defineTask, NonRetryableError, RetryLaterError } from '../../index.js'
import { every, recordOf, same } from './tools.js'
import { type Topic, topic } from './world.js'

export const numbers: Topic = topic('numbers', {
  'attempt counts executions, and maxAttempts is where the budget ends': async (t) => {
    const work = t.handler()
    const runner = await t.runner({ tasks: { work: defineTask({ retry: every(1_000, 3), run: work.run }) } })
    await runner.pause()
    const task = await runner.submit('work', 1)
    const born = await recordOf(task)
    assert.deepEqual([born.attempt, born.maxAttempts], [0, 3])
    await runner.resume()
    for (let n = 1; n <= 3; n++) {
      const call = await work.call(n)
      assert.equal(call.ctx.attempt, n)
      const running = await recordOf(task)
      assert.deepEqual([running.attempt, running.maxAttempts], [n, 3])
      call.reject(new Error('no luck'))
      await t.reaches(runner, task, 'scheduled', 'failed')
      await t.advance(1_000)
    }
    assert.equal((await recordOf(task)).state, 'failed')
  },

  'RetryLaterError raises maxAttempts by one each time, and the budget is whole afterwards': async (t) => {
    const work = t.handler()
    const runner = await t.runner({ tasks: { work: defineTask({ retry: every(1_000, 2), run: work.run }) } })
    const task = await runner.submit('work', 1)
    for (let n = 1; n <= 3; n++) {
      ;(await work.call(n)).reject(new RetryLaterError({ delay: 1_000 }))
      const { attempt, maxAttempts } = await t.reaches(runner, task, 'scheduled')
      assert.deepEqual([attempt, maxAttempts], [n, 2 + n])
      await t.advance(1_000)
    }
    ;(await work.call(4)).reject(new Error('first of the budget'))
    await t.reaches(runner, task, 'scheduled')
    await t.advance(1_000)
    ;(await work.call(5)).reject(new Error('second of the budget'))
    const { attempt, maxAttempts } = await t.reaches(runner, task, 'failed')
    assert.deepEqual([attempt, maxAttempts], [5, 5])
  },

  'a RetryLaterError that counts uses an attempt, and the last one fails': async (t) => {
    const work = t.handler()
    const runner = await t.runner({ tasks: { work: defineTask({ retry: every(1_000, 2), run: work.run }) } })
    const task = await runner.submit('work', 1)
    ;(await work.call(1)).reject(new RetryLaterError({ delay: 3_000, countsAsAttempt: true }))
    const record = await t.reaches(runner, task, 'scheduled')
    assert.deepEqual([record.attempt, record.maxAttempts, record.runAt], [1, 2, t.clock.now() + 3_000])
    await t.advance(3_000)
    ;(await work.call(2)).reject(new RetryLaterError({ delay: 3_000, countsAsAttempt: true }))
    assert.equal((await t.reaches(runner, task, 'failed')).maxAttempts, 2)
  },

  'retry gives a new budget: maxAttempts is attempt + attempts': async (t) => {
    const work = t.handler()
    const runner = await t.runner({ tasks: { work: defineTask({ retry: every(1_000, 2), run: work.run }) } })
    const task = await runner.submit('work', 1)
    for (const n of [1, 2]) {
      ;(await work.call(n)).reject(new Error('no luck'))
      await t.reaches(runner, task, 'scheduled', 'failed')
      await t.advance(1_000)
    }
    const again = await task.retry()
    assert.deepEqual([again.attempt, again.maxAttempts], [2, 4])
    const third = await work.call(3)
    assert.deepEqual([third.ctx.attempt, third.ctx.retries], [3, 1])
    third.reject(new Error('no luck'))
    await t.reaches(runner, task, 'scheduled')
    await t.advance(1_000)
    ;(await work.call(4)).reject(new Error('no luck'))
    const failed = await t.reaches(runner, task, 'failed')
    assert.deepEqual([failed.attempt, failed.maxAttempts], [4, 4])
    assert.equal((await task.retry()).maxAttempts, 6)
    assert.equal((await work.call(5)).ctx.retries, 2)
  },

  'retry counts the budget from the attempt at which the task failed early': async (t) => {
    const work = t.handler()
    const runner = await t.runner({ tasks: { work: defineTask({ retry: every(1_000, 3), run: work.run }) } })
    const task = await runner.submit('work', 1)
    ;(await work.call(1)).reject(new RetryLaterError({ delay: 1_000 }))
    await t.reaches(runner, task, 'scheduled')
    await t.advance(1_000)
    ;(await work.call(2)).reject(new NonRetryableError('hopeless'))
    await t.reaches(runner, task, 'failed')
    const again = await task.retry()
    assert.deepEqual([again.attempt, again.maxAttempts], [2, 5])
  },

  'retry of a task that was cancelled before it ran gives it its attempts': async (t) => {
    const runner = await t.runner({ tasks: { work: defineTask({ retry: every(1_000, 4), run: t.handler().run }) } })
    await runner.pause()
    const task = await runner.submit('work', 1)
    await task.cancel()
    const again = await task.retry()
    assert.deepEqual([again.attempt, again.maxAttempts], [0, 4])
  },

  'retry of a task that was cancelled while it ran does not lose its budget': async (t) => {
    const work = t.handler()
    const runner = await t.runner({ tasks: { work: defineTask({ retry: every(1_000, 3), run: work.run }) } })
    const task = await runner.submit('work', 1)
    const call = await work.call(1)
    await task.cancel()
    call.reject(new Error('stopped'))
    await t.reaches(runner, task, 'cancelled')
    const again = await task.retry()
    assert.deepEqual([again.attempt, again.maxAttempts], [1, 4])
  },

  'the backoff of a new budget begins anew': async (t) => {
    const work = t.handler()
    const backoff = { type: 'exponential', delay: 1_000, jitter: false } as const
    const runner = await t.runner({ tasks: { work: defineTask({ retry: { attempts: 2, backoff }, run: work.run }) } })
    const task = await runner.submit('work', 1)
    ;(await work.call(1)).reject(new Error('no luck'))
    await t.reaches(runner, task, 'scheduled')
    await t.advance(1_000)
    ;(await work.call(2)).reject(new Error('no luck'))
    await t.reaches(runner, task, 'failed')
    await task.retry()
    ;(await work.call(3)).reject(new Error('no luck'))
    assert.equal((await t.reaches(runner, task, 'scheduled')).runAt, t.clock.now() + 1_000)
  },

  'a released attempt uses nothing of the budget': async (t) => {
    const work = t.handler()
    const keeper = t.handler()
    const runner = await t.runner({
      tasks: { work: defineTask({ retry: { attempts: 1 }, run: work.run }), keeper: defineTask({ run: keeper.run }) },
    })
    await runner.submit('keeper')
    await keeper.call()
    const task = await runner.submit('work', 1)
    const call = await work.call()
    const closing = runner.close({ deadline: 0, drain: false })
    await t.advance(0)
    same(call.ctx.signal.aborted, true, 'its signal is aborted')
    call.reject(call.ctx.signal.reason)
    const { attempt, maxAttempts, attempts } = await t.reaches(runner, task, 'queued')
    assert.deepEqual([attempt, maxAttempts], [1, 2])
    assert.equal(attempts[0]?.outcome, 'released')
    keeper.calls[0]?.resolve()
    assert.equal((await closing).returned, 1)
  },

  'the history keeps the first and the last 20 attempts': async (t) => {
    let calls = 0
    const runner = await t.runner({
      tasks: {
        work: defineTask({
          retry: every(0, 45),
          run: () => {
            calls++
            throw new Error(`attempt ${calls}`)
          },
        }),
      },
    })
    const task = await runner.submit('work', 1)
    const record = await t.reaches(runner, task, 'failed')
    same(calls, 45, 'calls')
    assert.equal(record.attempt, 45)
    const kept = [...Array.from({ length: 20 }, (_, i) => i + 1), ...Array.from({ length: 20 }, (_, i) => i + 26)]
    assert.deepEqual(
      record.attempts.map(({ number }) => number),
      kept,
    )
    assert.deepEqual(
      record.attempts.map(({ error }) => error?.message),
      kept.map((n) => `attempt ${n}`),
    )
  },

  'a history of 40 attempts is kept whole': async (t) => {
    const runner = await t.runner({
      tasks: {
        work: defineTask({
          retry: every(0, 40),
          run: (_input: unknown, { attempt }) => {
            if (attempt < 40) throw new Error('no luck')
          },
        }),
      },
    })
    const record = await (await runner.submit('work', 1)).wait()
    assert.deepEqual(
      record.attempts.map(({ number }) => number),
      Array.from({ length: 40 }, (_, i) => i + 1),
    )
    assert.equal(record.attempts.at(-1)?.outcome, 'succeeded')
  },

  'ctx.previous tells how the last attempt ended': async (t) => {
    const work = t.handler()
    const runner = await t.runner({ tasks: { work: defineTask({ retry: every(1_000), run: work.run }) } })
    const task = await runner.submit('work', 1)
    const first = await work.call(1)
    const startedAt = t.clock.now()
    assert.equal(first.ctx.previous, undefined)
    await t.advance(50)
    first.reject(new NonRetryableError('no such mailbox', { code: '550' }))
    await t.reaches(runner, task, 'failed')
    await task.retry()
    const { previous } = (await work.call(2)).ctx
    assert.equal(previous?.number, 1)
    assert.equal(previous?.outcome, 'failed')
    assert.equal(previous?.error?.code, '550')
    assert.deepEqual([previous?.startedAt, previous?.finishedAt], [startedAt, startedAt + 50])
  },
})
