/** SEMANTICS.md, line 17: events, their order, and the isolation of listeners. */
import assert from 'node:assert/strict'
import { defineTask, type Logger, type TaskRecord } from '../../index.js'
import { every, foreign, recordOf, same } from './tools.js'
import { EVENTS, type Topic, topic } from './world.js'

export const events: Topic = topic('events', {
  'the events of one task come in order, each with the record of its moment': async (t) => {
    const work = t.handler()
    const runner = await t.runner({ tasks: { work: defineTask({ retry: every(1_000), run: work.run }) } })
    const told = t.listen(runner)
    const task = await runner.submit('work')
    const first = await work.call(1)
    first.ctx.progress('half')
    first.reject(new Error('no luck'))
    await t.reaches(runner, task, 'scheduled')
    await t.advance(1_000)
    ;(await work.call(2)).resolve('done')
    await task.wait()
    await t.settle()
    assert.deepEqual(
      told.map(({ event, record }) => [event, record.id, record.state, record.attempt]),
      [
        ['submitted', task.id, 'queued', 0],
        ['started', task.id, 'running', 1],
        ['progress', task.id, 'running', 1],
        ['retrying', task.id, 'scheduled', 1],
        ['started', task.id, 'running', 2],
        ['succeeded', task.id, 'succeeded', 2],
      ],
    )
    assert.equal(told[2]?.record.progress, 'half')
    assert.equal(told[3]?.record.error?.message, 'no luck')
    assert.equal(told[3]?.record.runAt, t.clock.now())
    assert.deepEqual(told[5]?.record, await recordOf(task))
  },

  'failed and cancelled are told with the final record': async (t) => {
    const work = t.handler()
    const runner = await t.runner({ tasks: { work: defineTask({ retry: { attempts: 1 }, run: work.run }) } })
    const told = t.listen(runner)
    const bad = await runner.submit('work')
    ;(await work.call(1)).reject(new Error('no luck'))
    const gone = await runner.submit('work')
    const call = await work.call(2)
    await gone.cancel()
    call.reject(call.ctx.signal.reason)
    const records = [await bad.wait(), await gone.wait()]
    await t.settle()
    const ends = told.filter(({ event }) => event === 'failed' || event === 'cancelled')
    assert.deepEqual(
      ends.map(({ event }) => event),
      ['failed', 'cancelled'],
    )
    assert.deepEqual(
      ends.map(({ record }) => record),
      records,
    )
  },

  'an event is told after what it tells is persisted': async (t) => {
    const runner = await t.runner({ tasks: { work: defineTask({ run: () => 'done' }) } })
    const seen: unknown[] = []
    const looks: Promise<void>[] = []
    for (const event of EVENTS)
      runner.on(event, ({ id, state }) => {
        looks.push(runner.status(id).then((now) => void seen.push([event, state, stage(state) <= stage(now?.state)])))
      })
    await (await runner.submit('work')).wait()
    await t.settle()
    await Promise.all(looks)
    assert.deepEqual(seen, [
      ['submitted', 'queued', true],
      ['started', 'running', true],
      ['succeeded', 'succeeded', true],
    ])
  },

  'a refused submit and a submit of a task that exists tell nothing': async (t) => {
    const runner = await t.runner({ tasks: { work: defineTask({ run: t.handler().run }) }, work: false })
    await runner.submit('work', 1, { key: 'k' })
    const told = t.listen(runner)
    await runner.submit('work', 1, { key: 'k' })
    await runner.submitMany('work', [1], { key: 'k' })
    await runner.submit('work', Number.NaN).catch(() => undefined)
    assert.deepEqual(told, [])
  },

  'submitMany tells of each task': async (t) => {
    const runner = await t.runner({ tasks: { work: defineTask({ run: t.handler().run }) }, work: false })
    const told = t.listen(runner)
    const handles = await runner.submitMany('work', [1, 2, 3])
    assert.deepEqual(
      told.map(({ event, record }) => [event, record.id]),
      handles.map(({ id }) => ['submitted', id]),
    )
  },

  'a manual retry is told': async (t) => {
    const runner = await t.runner({ tasks: { work: defineTask({ run: t.handler().run }) }, work: false })
    const task = await runner.submit('work')
    await task.cancel()
    const told = t.listen(runner)
    await task.retry({ delay: 1_000 })
    assert.deepEqual(
      told.map(({ event, record }) => [event, record.state]),
      [['retrying', 'scheduled']],
    )
  },

  'a listener that throws or rejects reaches error, and the others still run': async (t) => {
    const runner = await t.runner({ tasks: { work: defineTask({ run: () => 'done' }) }, faults: 'expected' })
    const heard: string[] = []
    runner.on('succeeded', () => {
      heard.push('first')
      throw new Error('first listener')
    })
    runner.on('succeeded', (async () => {
      heard.push('second')
      await undefined
      throw new Error('second listener')
    }) as (record: TaskRecord) => void)
    runner.on('succeeded', () => void heard.push('third'))
    const task = await runner.submit('work')
    assert.equal((await task.wait()).state, 'succeeded')
    await t.until(() => t.faults.length === 2, 'both faults are told')
    assert.deepEqual(heard, ['first', 'second', 'third'])
    assert.deepEqual(t.faults.map(({ error }) => (error as Error).message).sort(), [
      'first listener',
      'second listener',
    ])
    for (const { record } of t.faults) assert.equal(record?.id, task.id)
  },

  'a listener that throws harms no task, at whatever event': async (t) => {
    const work = t.handler()
    const runner = await t.runner({
      tasks: { work: defineTask({ retry: every(1_000, 2), run: work.run }) },
      faults: 'expected',
    })
    for (const event of EVENTS)
      runner.on(event, () => {
        throw new Error(event)
      })
    const task = await runner.submit('work')
    const call = await work.call(1)
    call.ctx.progress(1)
    call.reject(new Error('no luck'))
    await t.reaches(runner, task, 'scheduled')
    await t.advance(1_000)
    ;(await work.call(2)).resolve('done')
    assert.equal(await task.result(), 'done')
    await t.settle()
    assert.deepEqual(
      t.faults.map(({ error }) => (error as Error).message),
      ['submitted', 'started', 'progress', 'retrying', 'started', 'succeeded'],
    )
  },

  'a listener of idle that throws reaches error': async (t) => {
    const runner = await t.runner({ tasks: { work: defineTask({ run: () => 'done' }) }, faults: 'expected' })
    runner.on('idle', () => {
      throw new Error('idle listener')
    })
    await (await runner.submit('work')).wait()
    await t.until(() => t.faults.length === 1, 'the fault is told')
    assert.match(String(t.faults[0]?.error), /idle listener/)
  },

  'an error that nobody hears goes to the logger': async (t) => {
    const errors: [Record<string, unknown>, string][] = []
    const none = (): void => {}
    const logger: Logger = {
      debug: none,
      info: none,
      warn: none,
      error: (fields, message) => void errors.push([{ ...fields }, message]),
    }
    const runner = await t.runner({ tasks: { work: defineTask({ run: () => 'done' }) }, logger, faults: 'unheard' })
    runner.on('succeeded', () => {
      throw new Error('listener bug')
    })
    const task = await runner.submit('work')
    await task.wait()
    await t.until(() => errors.length > 0, 'the logger is told')
    same(errors.length, 1, 'errors that were logged')
    assert.match(JSON.stringify(errors), /listener bug/)
    assert.equal(errors[0]?.[0]['id'], task.id)
  },

  'an error that nobody hears, without a logger, is a process warning': async (t) => {
    const warnings = await t.warnings(async () => {
      const runner = await t.runner({ tasks: { work: defineTask({ run: () => 'done' }) }, faults: 'unheard' })
      runner.on('succeeded', () => {
        throw new Error('listener bug')
      })
      await (await runner.submit('work')).wait()
      await t.settle()
    })
    assert.equal(warnings.length, 1, `one warning is emitted: ${warnings.join('; ')}`)
    assert.match(warnings.join(), /listener bug/)
  },

  'a listener of error that throws is not told again, and harms nobody': async (t) => {
    const errors: unknown[] = []
    const none = (): void => {}
    const logger: Logger = { debug: none, info: none, warn: none, error: (fields) => void errors.push(fields) }
    const runner = await t.runner({
      tasks: { work: defineTask({ run: () => new Date(0) }) },
      logger,
      faults: 'unheard',
    })
    let calls = 0
    runner.on('error', () => {
      calls++
      throw new Error('error listener bug')
    })
    const record = await (await runner.submit('work')).wait()
    assert.equal(record.state, 'succeeded')
    await t.until(() => errors.length > 0, 'the logger is told')
    same(calls, 1, 'calls')
    assert.match(JSON.stringify(errors), /error listener bug/)
  },

  'once hears once, off no more, and removeAllListeners nothing': async (t) => {
    const runner = await t.runner({ tasks: { work: defineTask({ run: () => 'done' }) } })
    const heard: string[] = []
    const removed = (): void => void heard.push('removed')
    const kept = (): void => void heard.push('kept')
    const removedOnce = (): void => void heard.push('removed once')
    runner.once('submitted', () => void heard.push('once'))
    runner.on('submitted', removed)
    runner.on('submitted', kept)
    runner.once('submitted', removedOnce)
    runner.off('submitted', removed)
    runner.removeListener('submitted', removedOnce)
    await runner.submit('work')
    assert.deepEqual(heard, ['once', 'kept'])
    await runner.submit('work')
    assert.deepEqual(heard, ['once', 'kept', 'kept'])
    assert.equal(runner.listenerCount('submitted'), 1)
    runner.removeAllListeners('submitted')
    await runner.submit('work')
    same(heard.length, 3, 'what was heard')
  },

  'a listener may use the runner': async (t) => {
    const ran: unknown[] = []
    const runner = await t.runner({
      tasks: { work: defineTask({ run: (input: unknown) => void ran.push(input) }) },
    })
    runner.on('succeeded', ({ input }) => {
      if (input === 1) void runner.submit('work', 2)
    })
    await runner.submit('work', 1)
    await t.until(() => ran.length === 2, 'the second task runs')
  },

  'a listener that rejects with a promise of another realm, or a thenable, reaches error': async (t) => {
    const runner = await t.runner({ tasks: { work: defineTask({ run: () => 'done' }) }, faults: 'expected' })
    const thenable = {
      // biome-ignore lint/suspicious/noThenProperty: a thenable is what is tested
      then: (_resolve: unknown, reject: (error: unknown) => void) => reject(new Error('thenable')),
    }
    const messages = (): string[] => t.faults.map(({ error }) => (error as Error).message)
    await t.handlesAll(async () => {
      runner.on('succeeded', foreign('async () => { throw new Error("another realm") }'))
      runner.on('succeeded', (() => thenable) as unknown as () => void)
      runner.watch(foreign('async () => { throw new Error("watcher of another realm") }'))
      assert.equal((await (await runner.submit('work')).wait()).state, 'succeeded')
      await t.until(() => new Set(messages()).size === 3, 'the three are told')
    })
    assert.deepEqual(
      messages()
        .filter((message) => !message.startsWith('watcher'))
        .sort(),
      ['another realm', 'thenable'],
      'each of them once',
    )
  },
})

/** How far a task is in its life. */
function stage(state: string | undefined): number {
  return ['queued', 'running', 'succeeded'].indexOf(state ?? '')
}
