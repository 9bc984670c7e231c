/** SEMANTICS.md, line 20: how long `close` waits and for whom, and its report. (closing.ts: what comes after.) */
import assert from 'node:assert/strict'
import { type CloseReport, defineTask } from '../../index.js'
import { nextTurn } from '../real-time.js'
import { nth, same } from './tools.js'
import { numbers, working } from './workplace.js'
import { type Topic, topic } from './world.js'

export const close: Topic = topic('close', {
  'an idle runner closes at once, and reports nothing': async (t) => {
    const { runner } = await working(t)
    assert.deepEqual(await numbers(runner.close()), [0, 0, 0, 0])
  },

  'completed counts what ended since close was called, not what ended before': async (t) => {
    const { runner, work } = await working(t)
    const before = await runner.submit('work')
    ;(await work.call(1)).resolve()
    await before.wait()
    await runner.submitMany('work', [1, 2, 3])
    const [, ok, bad, gone] = [await work.call(1), await work.call(2), await work.call(3), await work.call(4)]
    const closing = runner.close({ drain: false })
    const { id } = gone.ctx
    await runner.cancel(id)
    ok.resolve()
    bad.reject(new Error('no luck'))
    gone.reject(gone.ctx.signal.reason)
    assert.deepEqual(await numbers(closing), [2, 0, 0, 1], 'one succeeded, one was cancelled, one is to be tried again')
  },

  'completed counts what ends after a handler called close, its own task included': async (t) => {
    const closings: Promise<CloseReport>[] = []
    const runner = await t.runner({
      tasks: {
        work: defineTask({
          run: (): void => {
            if (closings.length === 0) closings.push(runner.close({ drain: true }))
          },
        }),
      },
      concurrency: 1,
    })
    const told = t.listen(runner)
    await runner.submitMany('work', [1, 2, 3, 4, 5])
    await t.until(() => closings.length > 0, 'the handler calls close')
    assert.deepEqual(await numbers(nth(closings, 0)), [5, 0, 0, 0])
    same(told.filter(({ event }) => event === 'succeeded').length, 5, 'such events that were told')
  },

  'completed counts what ends after a listener called close': async (t) => {
    for (const concurrency of [1, 10]) {
      const runner = await t.runner({ tasks: { work: defineTask({ run: () => 'done' }) }, concurrency })
      const closings: Promise<CloseReport>[] = []
      let after = 0
      runner.on('succeeded', () => {
        if (closings.length > 0) after++
        else closings.push(runner.close({ drain: true }))
      })
      await runner.submitMany('work', [1, 2, 3, 4, 5])
      await t.until(() => closings.length > 0, 'the listener calls close')
      assert.deepEqual(await numbers(nth(closings, 0)), [4, 0, 0, 0], `concurrency ${concurrency}`)
      same(after, 4, 'successes that were told after that')
    }
  },

  'completed counts a cancel that comes right after close was called': async (t) => {
    const { runner, work } = await working(t)
    await runner.submit('work', 1)
    const call = await work.call()
    const waiting = await runner.submit('work', 2, { delay: '1h' })
    const closing = runner.close({ drain: false })
    const cancelling = waiting.cancel()
    call.resolve()
    assert.equal((await cancelling).state, 'cancelled')
    assert.deepEqual(await numbers(closing), [2, 0, 0, 0])
  },

  'with drain, what is due is worked off, and what is not yet due waits': async (t) => {
    const { runner, work } = await working(t, { concurrency: 2 })
    await runner.submitMany('work', [1, 2, 3, 4, 5])
    await runner.submit('work', 6, { delay: '1h' })
    await work.call(2)
    const closing = runner.close({ drain: true })
    for (let n = 1; n <= 5; n++) (await work.call(n)).resolve()
    assert.deepEqual(await numbers(closing), [5, 0, 0, 1])
    work.wasCalled(5)
  },

  'with drain, very many that become due, or may go on, at one moment are worked off': async (t) => {
    const many = 2_500
    const runner = await t.runner({ tasks: { work: defineTask({ run: () => t.alive() }) } })
    const first = await runner.submit('work', 0, { delay: 1_000 })
    const inputs = Array.from({ length: many }, (_, i) => i)
    await runner.submitMany('work', inputs, { after: [first.id] })
    await runner.submitMany('work', inputs, { delay: 1_000 })
    t.clock.pass(1_000)
    assert.deepEqual(await numbers(runner.close({ drain: true })), [2 * many + 1, 0, 0, 0])
  },

  'with drain, all names are worked off, those with a limit of their own too': async (t) => {
    const ran: unknown[] = []
    const run = async (input: unknown): Promise<void> => {
      await nextTurn()
      ran.push(input)
    }
    const runner = await t.runner({
      tasks: { narrow: defineTask({ concurrency: 1, run }), wide: defineTask({ run }) },
      concurrency: 3,
    })
    await runner.submitMany('narrow', [1, 2, 3, 4, 5])
    await runner.submitMany('wide', [6, 7, 8, 9])
    assert.deepEqual(await numbers(runner.close({ drain: true })), [9, 0, 0, 0])
    same(ran.length, 9, 'tasks that ran')
  },

  'without drain, only what runs is waited for': async (t) => {
    const { runner, work } = await working(t, { concurrency: 2 })
    await runner.submitMany('work', [1, 2, 3, 4, 5])
    const calls = [await work.call(1), await work.call(2)]
    const closing = runner.close({ drain: false })
    await t.settle()
    for (const call of calls) call.resolve()
    assert.deepEqual(await numbers(closing), [2, 0, 0, 3])
    work.wasCalled(2)
  },

  'a failure while the runner drains is tried again only if it is due in time': async (t) => {
    const { runner, work } = await working(t)
    await runner.submit('work')
    const call = await work.call(1)
    const closing = runner.close({ drain: true })
    call.reject(new Error('no luck'))
    assert.deepEqual(await numbers(closing), [0, 0, 0, 1])
    work.wasCalled(1)
  },

  'at the deadline the handlers are asked to stop, and those that do are handed back': async (t) => {
    const { runner, work } = await working(t)
    await runner.submitMany('work', [1, 2])
    const [first, second] = [await work.call(1), await work.call(2)]
    const closing = runner.close({ deadline: '3s', drain: false })
    await t.advance(2_999)
    same(first.ctx.signal.aborted, false, 'its signal is aborted')
    await t.advance(1)
    same(first.ctx.signal.aborted, true, 'its signal is aborted')
    assert.equal((first.ctx.signal.reason as Error).name, 'RunnerClosedError')
    first.reject(first.ctx.signal.reason)
    await t.advance(500)
    second.reject(new Error('whatever'))
    assert.deepEqual(await numbers(closing), [0, 2, 0, 0])
  },

  'ten seconds is the deadline by default': async (t) => {
    const { runner, work } = await working(t)
    await runner.submit('work')
    const { ctx, reject } = await work.call()
    const closing = runner.close()
    await t.advance(9_999)
    same(ctx.signal.aborted, false, 'its signal is aborted')
    await t.advance(1)
    same(ctx.signal.aborted, true, 'its signal is aborted')
    reject(ctx.signal.reason)
    assert.deepEqual(await numbers(closing), [0, 1, 0, 0])
  },

  'one second of grace after the deadline, then a handler is abandoned': async (t) => {
    const { runner, work } = await working(t)
    await runner.submitMany('work', ['deaf', 'late'])
    await work.call(1)
    const late = await work.call(2)
    let closed = false
    const closing = runner.close({ deadline: 1_000, drain: false }).finally(() => {
      closed = true
    })
    await t.advance(1_999)
    same(closed, false, 'close has resolved')
    late.resolve('in time')
    await t.settle()
    await t.advance(1)
    assert.deepEqual(await numbers(closing), [1, 0, 1, 0])
  },

  'at the deadline a drain stops: what runs is asked, what waits is pending': async (t) => {
    const { runner, work } = await working(t, { concurrency: 2 })
    await runner.submitMany('work', [1, 2, 3, 4, 5, 6])
    ;(await work.call(1)).resolve()
    await work.call(3)
    const closing = runner.close({ deadline: 1_000, drain: true })
    work.calls[1]?.resolve()
    const [third, fourth] = [await work.call(3), await work.call(4)]
    await t.advance(1_000)
    same(fourth.ctx.signal.aborted, true, 'its signal is aborted')
    third.reject(third.ctx.signal.reason)
    await t.advance(1_000)
    assert.deepEqual(await numbers(closing), [1, 1, 1, 2])
    work.wasCalled(4)
  },

  'completed, returned, abandoned and pending together': async (t) => {
    const { runner, work } = await working(t, { concurrency: 4 })
    await runner.submitMany('work', [1, 2, 3, 4, 5, 6])
    await runner.submit('work', 7, { delay: '1h' })
    const calls = [await work.call(1), await work.call(2), await work.call(3), await work.call(4)]
    const closing = runner.close({ deadline: 1_000, drain: false })
    await t.settle()
    calls[0]?.resolve()
    await t.advance(1_000)
    calls[1]?.reject(new Error('stopped'))
    calls[2]?.resolve('sent all the same')
    await t.settle()
    await t.advance(1_000)
    assert.deepEqual(await numbers(closing), [2, 1, 1, 3])
  },

  'what was handed back and then cancelled is not pending, and no number is below zero': async (t) => {
    const { runner, work } = await working(t)
    await runner.submitMany('work', ['given back', 'deaf'])
    const [back] = [await work.call(1), await work.call(2)]
    const closing = runner.close({ deadline: 0, drain: false })
    await t.advance(0)
    same(back.ctx.signal.aborted, true, 'its signal is aborted')
    back.reject(back.ctx.signal.reason)
    await t.until(async () => (await runner.status(back.ctx.id))?.state === 'queued', 'it is handed back')
    await runner.cancel(back.ctx.id)
    await t.advance(1_000)
    const [, , abandoned, pending] = await numbers(closing)
    assert.deepEqual([abandoned, pending], [1, 0])
  },
})
