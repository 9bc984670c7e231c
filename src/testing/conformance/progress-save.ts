/** SEMANTICS.md, line 11 (progress, save, log), and of line 10: an attempt that has ended can write no more. */
import assert from 'node:assert/strict'
import { defineTask, type Logger } from '../../index.js'
import { every, recordOf, refused, same } from './tools.js'
import { type Topic, topic } from './world.js'

export const progressSave: Topic = topic('progress, save and log', {
  'the latest progress wins, at most one write each 100 ms': async (t) => {
    const work = t.handler()
    const runner = await t.runner({ tasks: { work: defineTask({ run: work.run }) } })
    const told: [unknown, number][] = []
    runner.on('progress', ({ progress }) => void told.push([progress, t.clock.now()]))
    const task = await runner.submit('work')
    const { ctx } = await work.call()
    const start = t.clock.now()
    ctx.progress(1)
    await t.until(() => told.length === 1, 'the first one is written at once')
    ctx.progress(2)
    await t.advance(50)
    ctx.progress(3)
    await t.advance(49)
    same(told.length, 1, 'events that were told')
    await t.advance(1)
    await t.until(() => told.length === 2, 'the second one is written')
    assert.equal((await recordOf(task)).progress, 3)
    await t.advance(1_000)
    assert.equal(told.length, 2, 'nothing new, nothing written')
    ctx.progress(4)
    await t.until(() => told.length === 3, 'the third one is written at once')
    assert.deepEqual(
      told.map(([value, at]) => [value, at - start]),
      [
        [1, 0],
        [3, 100],
        [4, 1_100],
      ],
    )
  },

  'a thousand progresses in a second are at most eleven writes': async (t) => {
    const work = t.handler()
    const runner = await t.runner({ tasks: { work: defineTask({ run: work.run }) } })
    let writes = 0
    runner.on('progress', () => void writes++)
    await runner.submit('work')
    const { ctx } = await work.call()
    for (let i = 0; i < 100; i++) {
      for (let j = 0; j < 10; j++) ctx.progress(i * 10 + j)
      await t.clock.leap(10)
    }
    await t.settle()
    assert.ok(writes >= 9 && writes <= 11, `${writes} writes`)
  },

  'the last progress is always there before the verdict': async (t) => {
    const work = t.handler()
    const runner = await t.runner({ tasks: { work: defineTask({ run: work.run }) } })
    const told = t.listen(runner)
    const task = await runner.submit('work')
    const call = await work.call()
    for (const value of [1, 2, 3]) call.ctx.progress(value)
    call.resolve('done')
    const record = await task.wait()
    assert.equal(record.progress, 3)
    await t.settle()
    assert.deepEqual(
      told.map(({ event, record: { progress } }) => [event, progress]),
      [
        ['submitted', undefined],
        ['started', undefined],
        ['progress', 1],
        ['progress', 3],
        ['succeeded', 3],
      ],
    )
  },

  'the last progress is there before a retry, too, and is still told by the next attempt': async (t) => {
    const work = t.handler()
    const runner = await t.runner({ tasks: { work: defineTask({ retry: every(1_000), run: work.run }) } })
    const task = await runner.submit('work')
    const call = await work.call(1)
    call.ctx.progress(1)
    call.ctx.progress(2)
    call.reject(new Error('no luck'))
    assert.equal((await t.reaches(runner, task, 'scheduled')).progress, 2)
    await t.advance(1_000)
    await work.call(2)
    assert.equal((await recordOf(task)).progress, 2)
  },

  'a listener of progress that tells progress itself writes nothing after the end': async (t) => {
    for (const waiting of [false, true]) {
      const work = t.handler()
      const runner = await t.runner({ tasks: { work: defineTask({ run: work.run }) } })
      const told = t.listen(runner)
      const task = await runner.submit('work')
      const call = await work.call()
      let relayed = 0
      runner.on('progress', () => {
        if (++relayed > 50) throw new Error('it never ends')
        call.ctx.progress({ relayed })
      })
      call.ctx.progress('first')
      if (waiting) call.ctx.progress('second')
      await t.advance(50)
      call.resolve('done')
      await t.reaches(runner, task, 'succeeded')
      await t.advance(1_000)
      const last = told.at(-1)
      assert.equal(last?.event, 'succeeded', 'nothing is told after the end')
      assert.deepEqual(await recordOf(task), last?.record, 'nothing is written after the end')
    }
  },

  'a running task tells its progress': async (t) => {
    const work = t.handler()
    const runner = await t.runner({ tasks: { work: defineTask({ run: work.run }) } })
    const task = await runner.submit('work')
    const { ctx } = await work.call()
    ctx.progress({ percent: 40 })
    await t.until(async () => {
      const { progress } = await recordOf(task)
      return (progress as { percent?: number } | undefined)?.percent === 40
    }, 'the progress is in the record')
  },

  'an attempt that has ended can write no more': async (t) => {
    const work = t.handler()
    const runner = await t.runner({ tasks: { work: defineTask({ retry: every(1_000), run: work.run }) } })
    const told = t.listen(runner)
    const task = await runner.submit('work')
    const old = await work.call(1)
    await old.ctx.save('first')
    old.ctx.progress('first')
    old.reject(new Error('no luck'))
    await t.reaches(runner, task, 'scheduled')
    const late = async (): Promise<void> => {
      old.ctx.progress('late')
      await refused(old.ctx.save('late'), 'INVALID_STATE')
      await t.advance(200)
    }
    await late()
    await t.advance(1_000)
    const call = await work.call(2)
    assert.equal(call.ctx.saved, 'first')
    await late()
    assert.equal((await recordOf(task)).progress, 'first')
    call.resolve()
    await task.wait()
    await late()
    assert.equal((await recordOf(task)).progress, 'first')
    assert.ok(!told.some(({ record }) => record.progress === 'late'), 'late progress is not told')
  },

  'a save that a handler does not await and that comes too late ends nothing': async (t) => {
    const work = t.handler()
    const runner = await t.runner({ tasks: { work: defineTask({ run: work.run }) } })
    const task = await runner.submit('work')
    const call = await work.call()
    call.resolve()
    await task.wait()
    void call.ctx.save('late')
    await t.settle()
  },

  'save resolves when the state is stored, and the next attempt has it': async (t) => {
    const seen: unknown[] = []
    const runner = await t.runner({
      tasks: {
        work: defineTask({
          retry: every(0, 4),
          run: async (_input: unknown, ctx) => {
            seen.push(ctx.saved)
            await ctx.save({ step: ctx.attempt })
            assert.deepEqual(ctx.saved, { step: ctx.attempt })
            if (ctx.attempt < 3) throw new Error('once more')
            if (ctx.attempt === 3) await ctx.save(null)
            if (ctx.attempt === 3) throw new Error('once more')
          },
        }),
      },
    })
    await (await runner.submit('work')).wait()
    assert.deepEqual(seen, [undefined, { step: 1 }, { step: 2 }, null])
  },

  'what was saved survives retry': async (t) => {
    const work = t.handler()
    const runner = await t.runner({ tasks: { work: defineTask({ retry: { attempts: 1 }, run: work.run }) } })
    const task = await runner.submit('work')
    const first = await work.call(1)
    await first.ctx.save({ sent: ['a'] })
    first.ctx.progress('half')
    first.reject(new Error('no luck'))
    await t.reaches(runner, task, 'failed')
    await task.retry()
    const second = await work.call(2)
    assert.deepEqual(second.ctx.saved, { sent: ['a'] })
    await task.cancel()
    second.reject(second.ctx.signal.reason)
    await t.reaches(runner, task, 'cancelled')
    await task.retry()
    assert.deepEqual((await work.call(3)).ctx.saved, { sent: ['a'] })
  },

  'log goes to the logger with id, name and attempt, which fields cannot hide': async (t) => {
    const lines: [string, Record<string, unknown>, string][] = []
    const line =
      (level: string) =>
      (fields: object, message: string): void =>
        void lines.push([level, { ...fields }, message])
    const logger: Logger = { debug: line('debug'), info: line('info'), warn: line('warn'), error: line('error') }
    const runner = await t.runner({
      tasks: {
        work: defineTask({
          run: (_input: unknown, { log }) => {
            log('connected', { host: 'mx.example.org', id: 'mine', attempt: 99 })
            log('sent')
          },
        }),
      },
      logger,
    })
    const { id } = await (await runner.submit('work')).wait()
    const own = lines.filter(([, , message]) => message === 'connected' || message === 'sent')
    assert.deepEqual(own, [
      ['info', { host: 'mx.example.org', id, name: 'work', attempt: 1 }, 'connected'],
      ['info', { id, name: 'work', attempt: 1 }, 'sent'],
    ])
  },

  'log without a logger does nothing': async (t) => {
    const runner = await t.runner({
      tasks: { work: defineTask({ run: (_input: unknown, { log }) => log('nobody hears') }) },
    })
    assert.equal((await (await runner.submit('work')).wait()).state, 'succeeded')
  },
})
