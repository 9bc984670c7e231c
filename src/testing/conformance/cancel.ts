/** SEMANTICS.md, line 14 (a second cancel) and "The record says what happened, not what was wished". */
import assert from 'node:assert/strict'
import { defineTask } from '../../index.js'
import { codeOf, every, recorder, recordOf, refused, same } from './tools.js'
import { type Told, type Topic, topic } from './world.js'

export const cancel: Topic = topic('cancel', {
  'a second cancel of a running task is no error, and both see cancelRequestedAt': async (t) => {
    const work = t.handler()
    const runner = await t.runner({ tasks: { work: defineTask({ run: work.run }) } })
    const task = await runner.submit('work')
    const call = await work.call()
    const at = t.clock.now()
    const first = await task.cancel({ reason: 'first' })
    await t.advance(500)
    const second = await task.cancel({ reason: 'second' })
    assert.deepEqual([first.cancelRequestedAt, second.cancelRequestedAt], [at, at])
    assert.equal((await recordOf(task)).cancelRequestedAt, at)
    call.reject(call.ctx.signal.reason)
    const record = await t.reaches(runner, task, 'cancelled')
    assert.equal(record.cancelRequestedAt, at)
    assert.match(record.error?.message ?? '', /first/, 'the reason is the first one')
  },

  'a reason of any characters is kept as it was given': async (t) => {
    const work = t.handler()
    const runner = await t.runner({ tasks: { work: defineTask({ run: work.run }) } })
    const reason = 'a\0b\ud800c \u2028 "quoted"'
    const running = await runner.submit('work')
    const call = await work.call()
    const waiting = await runner.submit('work', undefined, { delay: 60_000 })
    await waiting.cancel({ reason })
    await running.cancel({ reason })
    call.reject(call.ctx.signal.reason)
    for (const task of [waiting, running]) {
      const { error } = await t.reaches(runner, task, 'cancelled')
      assert.ok(error?.message.includes(reason), `the error tells the reason: ${JSON.stringify(error?.message)}`)
    }
  },

  'a reason of any length is kept within the limit of an error message': async (t) => {
    const reason = 'é'.repeat(2_500_000)
    const work = t.handler()
    const { logger, lines } = recorder()
    const runner = await t.runner({ tasks: { work: defineTask({ run: work.run }) }, logger, concurrency: 3 })
    const told = t.listen(runner)
    const running = [await runner.submit('work', 'stops'), await runner.submit('work', 'deaf')]
    const [stops] = [await work.call(1), await work.call(2)]
    const waiting = await runner.submit('work', 'waits', { delay: '1h' })
    const records = [await waiting.cancel({ reason })]
    for (const task of running) records.push(await task.cancel({ reason, force: true }))
    stops.reject(stops.ctx.signal.reason)
    await t.advance(5_000)
    for (const task of [waiting, ...running]) {
      records.push(await t.reaches(runner, task, 'cancelled'), await task.wait())
      const error = await refused(task.result(), 'TASK_CANCELLED')
      assert.ok(Buffer.byteLength(error.message) < 5_000, 'the error of result')
    }
    records.push(...(await runner.list()).tasks, ...told.map(({ record }) => record))
    for (const { state, error, attempts } of records) {
      for (const each of [error, ...attempts.map((attempt) => attempt.error)]) {
        const { length } = Buffer.from(each?.message ?? '')
        assert.ok(length <= 4_000, `a message of ${length} bytes`)
      }
      if (state === 'cancelled') assert.match(error?.message ?? '', /the task was cancelled: éé/)
    }
    for (const { fields } of lines)
      assert.ok(Buffer.byteLength(JSON.stringify(fields)) < 5_000, 'a log line is bounded, too')
  },

  'two cancels at the same time are both answered': async (t) => {
    const work = t.handler()
    const runner = await t.runner({ tasks: { work: defineTask({ run: work.run }) } })
    const task = await runner.submit('work')
    await work.call()
    const [one, two] = await Promise.all([task.cancel(), task.cancel()])
    assert.equal(one.cancelRequestedAt, two.cancelRequestedAt)
  },

  'cancelled by a cancel in the last moment before success: it has succeeded': async (t) => {
    const work = t.handler()
    const runner = await t.runner({ tasks: { work: defineTask({ run: work.run }) } })
    const task = await runner.submit('work')
    const call = await work.call()
    const cancelling = task.cancel()
    call.resolve('sent')
    const answer = await cancelling.catch(codeOf)
    const record = await t.reaches(runner, task, 'succeeded')
    assert.equal(record.output, 'sent')
    if (typeof answer === 'object')
      assert.ok(record.cancelRequestedAt !== undefined, 'a cancel that was answered is in the record')
    else assert.equal(answer, 'INVALID_STATE', 'where the success was there first')
  },

  'a success and a cancel, in whatever order, give one end and one event': async (t) => {
    const work = t.handler()
    const runner = await t.runner({ tasks: { work: defineTask({ run: work.run }) } })
    const told = t.listen(runner)
    for (let microtasks = 0; microtasks < 12; microtasks++) {
      const task = await runner.submit('work')
      const call = await work.call(microtasks + 1)
      const cancelling = (async () => {
        for (let i = 0; i < microtasks; i++) await undefined
        return task.cancel().catch((error: unknown) => assert.equal(codeOf(error), 'INVALID_STATE'))
      })()
      call.resolve('sent')
      await cancelling
      const record = await task.wait()
      assert.equal(record.state, 'succeeded')
      const found = (): Told[] =>
        told.filter((each) => each.record.id === task.id && each.record.finishedAt !== undefined)
      // Who asks an engine of its own connections may see the end before this process has told of it.
      await t.until(() => found().length > 0, 'its end is told')
      const ends = found()
      assert.deepEqual(
        ends.map(({ event }) => event),
        ['succeeded'],
      )
    }
  },

  'a failure and a cancel, in whatever order, end in cancelled, in a retry that is cancelled, or in a refusal': async (
    t,
  ) => {
    const work = t.handler()
    const runner = await t.runner({ tasks: { work: defineTask({ retry: every(60_000), run: work.run }) } })
    for (let microtasks = 0; microtasks < 12; microtasks++) {
      const task = await runner.submit('work')
      const call = await work.call(microtasks + 1)
      const cancelling = (async () => {
        for (let i = 0; i < microtasks; i++) await undefined
        return task.cancel()
      })()
      call.reject(new Error('no luck'))
      await cancelling
      assert.equal((await t.reaches(runner, task, 'cancelled')).error?.code, 'TASK_CANCELLED')
    }
    work.wasCalled(12, 'none ran again')
  },

  'cancel asks the handler, and result rejects with TaskCancelledError that tells the reason once': async (t) => {
    const work = t.handler()
    const runner = await t.runner({ tasks: { work: defineTask({ run: work.run }) } })
    const task = await runner.submit('work')
    const call = await work.call()
    const result = refused(task.result(), 'TASK_CANCELLED')
    await task.cancel({ reason: 'the order was withdrawn' })
    call.reject(call.ctx.signal.reason)
    const error = await result
    assert.equal(error.name, 'TaskCancelledError')
    assert.equal(error.message, 'the task was cancelled: the order was withdrawn')
    assert.equal(error['reason'], 'the order was withdrawn')
  },

  'cancel without a reason tells none': async (t) => {
    const runner = await t.runner({ tasks: { work: defineTask({ run: t.handler().run }) }, work: false })
    const task = await runner.submit('work')
    await task.cancel()
    const error = await refused(task.result(), 'TASK_CANCELLED')
    assert.equal(error.message, 'the task was cancelled')
    assert.equal(error['reason'], undefined)
  },

  'a handler may cancel its own task': async (t) => {
    const runner = await t.runner({
      tasks: {
        work: defineTask({
          run: async (_input: unknown, { id, signal }): Promise<void> => {
            await own.cancel(id, { reason: 'myself' })
            signal.throwIfAborted()
          },
        }),
      },
    })
    const own = runner
    const record = await (await runner.submit('work')).wait()
    assert.equal(record.state, 'cancelled')
    assert.match(record.error?.message ?? '', /myself/)
  },

  'cancel frees the place of a waiting task at once, and its event is told': async (t) => {
    const runner = await t.runner({ tasks: { work: defineTask({ run: t.handler().run }) }, work: false, maxPending: 1 })
    const told = t.listen(runner)
    const task = await runner.submit('work')
    await refused(runner.submit('work'), 'QUEUE_FULL')
    await task.cancel()
    await runner.submit('work')
    assert.deepEqual(
      told.map(({ event }) => event),
      ['submitted', 'cancelled', 'submitted'],
    )
  },

  'a cancel during one attempt does not spoil the next': async (t) => {
    const work = t.handler()
    const runner = await t.runner({ tasks: { work: defineTask({ run: work.run }) }, cancelGrace: 1_000 })
    const told = t.listen(runner)
    const task = await runner.submit('work')
    const first = await work.call(1)
    await task.cancel()
    first.reject(first.ctx.signal.reason)
    await t.reaches(runner, task, 'cancelled')
    await task.retry()
    const second = await work.call(2)
    await t.advance(60_000)
    same(second.ctx.signal.aborted, false, 'its signal is aborted')
    assert.ok(!told.some(({ event }) => event === 'unresponsive'), 'unresponsive is not told')
    second.reject(new Error('no luck'))
    await t.reaches(runner, task, 'scheduled')
  },
})
