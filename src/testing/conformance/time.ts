/** SEMANTICS.md, line 13: spans on a monotonic clock, points in time on the wall clock, and no timer over 60 s. */
import assert from 'node:assert/strict'
import { type Duration, defineTask } from '../../index.js'
import { every, recordOf, refused, same } from './tools.js'
import { type Topic, topic } from './world.js'

const DAY = 86_400_000

export const time: Topic = topic('time', {
  'a delay of 60 days is kept': async (t) => {
    const work = t.handler()
    const runner = await t.runner({ tasks: { work: defineTask({ run: work.run }) } })
    const task = await runner.submit('work', 1, { delay: '60d' })
    assert.equal((await recordOf(task)).runAt, t.clock.now() + 60 * DAY)
    await t.advance(10)
    work.wasCalled(0, 'a timer that overflows fires at once')
    await t.clock.leap(25 * DAY)
    await t.advance(120_000)
    await t.clock.leap(35 * DAY - 120_000 - 10 - 1)
    await t.settle()
    work.wasCalled(0)
    assert.equal((await recordOf(task)).state, 'scheduled')
    await t.advance(1)
    await work.call()
  },

  'points in time are whole ms, also where the clock gives fractions, and nothing is early': async (t) => {
    const work = t.handler()
    t.clock.setWall(t.clock.now() + 0.7)
    const runner = await t.runner({ tasks: { work: defineTask({ retry: every(1_000), run: work.run }) } })
    const task = await runner.submit('work', 1, { delay: 10 })
    await t.advance(11)
    const call = await work.call()
    call.reject(new Error('once more'))
    await t.reaches(runner, task, 'scheduled')
    await t.advance(1_001)
    ;(await work.call(2)).resolve()
    const record = await t.reaches(runner, task, 'succeeded')
    const times = [record.createdAt, record.runAt, record.startedAt, record.finishedAt]
    for (const each of record.attempts) times.push(each.startedAt, each.finishedAt)
    for (const at of times) assert.ok(Number.isInteger(at), `${at} is a whole number`)
  },

  'delays that end between two looks of a long timer end on time': async (t) => {
    const work = t.handler()
    const runner = await t.runner({ tasks: { work: defineTask({ run: work.run }) } })
    await runner.submit('work', 1, { delay: 200_001 })
    await t.advance(200_000)
    work.wasCalled(0)
    await t.advance(1)
    await work.call()
  },

  'an earlier task is not kept waiting by a timer for a later one': async (t) => {
    const work = t.handler()
    const runner = await t.runner({ tasks: { work: defineTask({ run: work.run }) } })
    await runner.submit('work', 'late', { delay: '30d' })
    await t.advance(1_000)
    await runner.submit('work', 'early', { delay: 500 })
    await t.advance(499)
    work.wasCalled(0)
    await t.advance(1)
    assert.equal((await work.call()).input, 'early')
  },

  'a timeout of 30 days is kept, and so is a wait of 30 days': async (t) => {
    const work = t.handler()
    const runner = await t.runner({ tasks: { work: defineTask({ timeout: '30d', run: work.run }) } })
    const task = await runner.submit('work')
    const call = await work.call()
    const waited = refused(task.wait({ timeout: '40d' }), 'WAIT_TIMEOUT')
    await t.clock.leap(30 * DAY - 1)
    same(call.ctx.signal.aborted, false, 'its signal is aborted')
    await t.advance(1)
    same(call.ctx.signal.aborted, true, 'its signal is aborted')
    await t.clock.leap(10 * DAY)
    await waited
  },

  'a timeout is measured on the monotonic clock': async (t) => {
    const work = t.handler()
    const runner = await t.runner({ tasks: { work: defineTask({ timeout: 10_000, run: work.run }) } })
    await runner.submit('work')
    const { ctx } = await work.call()
    await t.advance(5_000)
    t.clock.setWall(t.clock.now() + 10 * DAY)
    await t.advance(4_999)
    same(ctx.signal.aborted, false, 'its signal is aborted')
    t.clock.setWall(t.clock.now() - 20 * DAY)
    await t.advance(1)
    same(ctx.signal.aborted, true, 'its signal is aborted')
  },

  'a task becomes due by the wall clock, and a clock that is set is noticed within 60 s': async (t) => {
    const work = t.handler()
    const runner = await t.runner({ tasks: { work: defineTask({ run: work.run }) } })
    await runner.submit('work', 1, { runAt: t.clock.now() + DAY })
    await t.advance(1_000)
    t.clock.setWall(t.clock.now() + DAY)
    await t.advance(60_000)
    await work.call()
  },

  'durations are numbers of ms or numbers with a unit': async (t) => {
    const runner = await t.runner({ tasks: { work: defineTask({ run: t.handler().run }) }, work: false })
    const good: [Duration, number][] = [
      [0, 0],
      [1_500, 1_500],
      ['500ms', 500],
      ['30s', 30_000],
      ['5m', 300_000],
      ['2h', 7_200_000],
      ['14d', 14 * DAY],
      ['1.5s', 1_500],
    ]
    for (const [delay, ms] of good) {
      const { runAt, createdAt } = await recordOf(await runner.submit('work', 1, { delay }))
      assert.equal(runAt - createdAt, ms)
    }
    const bad: unknown[] = [
      -1,
      Number.NaN,
      Number.POSITIVE_INFINITY,
      '',
      '5',
      's',
      '5 s',
      '-5s',
      '5w',
      '1e3s',
      true,
      null,
    ]
    for (const delay of bad) await refused(runner.submit('work', 1, { delay: delay as never }), 'INVALID_INPUT', delay)
  },

  'times are epoch ms of the wall clock': async (t) => {
    const work = t.handler()
    const runner = await t.runner({ tasks: { work: defineTask({ retry: every(0), run: work.run }) } })
    const createdAt = t.clock.now()
    const task = await runner.submit('work', 1, { delay: 100 })
    await t.advance(150)
    const call = await work.call()
    const cancelled = await task.cancel()
    assert.equal(cancelled.cancelRequestedAt, createdAt + 150)
    await t.advance(50)
    call.resolve()
    const record = await task.wait()
    assert.deepEqual(
      [record.createdAt, record.runAt, record.startedAt, record.finishedAt, record.cancelRequestedAt],
      [createdAt, createdAt + 100, createdAt + 100, createdAt + 200, createdAt + 150],
    )
  },
})
