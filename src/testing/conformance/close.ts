/** SEMANTICS.md, line 20 (close, its report, and what comes after) and line 19 (work starts on a later turn). */
import assert from 'node:assert/strict'
import { type BackgroundRunner, type CloseReport, defineTask } from '../../index.js'
import {
  codeOf,
  every,
  type Handler,
  nth,
  recordOf,
  refused,
  type Setup,
  type Topic,
  topic,
  type World,
} from './world.js'

async function working(t: World, setup: Partial<Setup> = {}): Promise<{ runner: BackgroundRunner; work: Handler }> {
  const work = t.handler()
  const runner = await t.runner({ tasks: { work: defineTask({ retry: every(1_000), run: work.run }) }, ...setup })
  return { runner, work }
}

/** The report as `[completed, returned, abandoned, pending]`; it has these four fields and no other. */
async function numbers(closing: Promise<CloseReport>): Promise<number[]> {
  const { completed, returned, abandoned, pending, ...rest } = await closing
  assert.deepEqual(rest, {})
  return [completed, returned, abandoned, pending]
}

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
    assert.equal(told.filter(({ event }) => event === 'succeeded').length, 5)
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
      assert.equal(after, 4)
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
    assert.equal(work.calls.length, 5)
  },

  'with drain, all names are worked off, those with a limit of their own too': async (t) => {
    const ran: unknown[] = []
    const run = async (input: unknown): Promise<void> => {
      await new Promise((resolve) => setImmediate(resolve))
      ran.push(input)
    }
    const runner = await t.runner({
      tasks: { narrow: defineTask({ concurrency: 1, run }), wide: defineTask({ run }) },
      concurrency: 3,
    })
    await runner.submitMany('narrow', [1, 2, 3, 4, 5])
    await runner.submitMany('wide', [6, 7, 8, 9])
    assert.deepEqual(await numbers(runner.close({ drain: true })), [9, 0, 0, 0])
    assert.equal(ran.length, 9)
  },

  'without drain, only what runs is waited for': async (t) => {
    const { runner, work } = await working(t, { concurrency: 2 })
    await runner.submitMany('work', [1, 2, 3, 4, 5])
    const calls = [await work.call(1), await work.call(2)]
    const closing = runner.close({ drain: false })
    await t.settle()
    for (const call of calls) call.resolve()
    assert.deepEqual(await numbers(closing), [2, 0, 0, 3])
    assert.equal(work.calls.length, 2)
  },

  'drain is the default where tasks do not outlive the process': async (t) => {
    const { runner, work } = await working(t, { concurrency: 1 })
    const { durable } = await t.capabilities()
    await runner.submitMany('work', [1, 2])
    const call = await work.call(1)
    const closing = runner.close()
    call.resolve()
    if (!durable) (await work.call(2)).resolve()
    assert.deepEqual(await numbers(closing), durable ? [1, 0, 0, 1] : [2, 0, 0, 0])
  },

  'a failure while the runner drains is tried again only if it is due in time': async (t) => {
    const { runner, work } = await working(t)
    await runner.submit('work')
    const call = await work.call(1)
    const closing = runner.close({ drain: true })
    call.reject(new Error('no luck'))
    assert.deepEqual(await numbers(closing), [0, 0, 0, 1])
    assert.equal(work.calls.length, 1)
  },

  'at the deadline the handlers are asked to stop, and those that do are handed back': async (t) => {
    const { runner, work } = await working(t)
    await runner.submitMany('work', [1, 2])
    const [first, second] = [await work.call(1), await work.call(2)]
    const closing = runner.close({ deadline: '3s', drain: false })
    await t.advance(2_999)
    assert.equal(first.ctx.signal.aborted, false)
    await t.advance(1)
    assert.equal(first.ctx.signal.aborted, true)
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
    assert.equal(ctx.signal.aborted, false)
    await t.advance(1)
    assert.equal(ctx.signal.aborted, true)
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
    assert.equal(closed, false)
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
    assert.equal(fourth.ctx.signal.aborted, true)
    third.reject(third.ctx.signal.reason)
    await t.advance(1_000)
    assert.deepEqual(await numbers(closing), [1, 1, 1, 2])
    assert.equal(work.calls.length, 4)
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
    assert.equal(back.ctx.signal.aborted, true)
    back.reject(back.ctx.signal.reason)
    await t.until(async () => (await runner.status(back.ctx.id))?.state === 'queued', 'it is handed back')
    await runner.cancel(back.ctx.id)
    await t.advance(1_000)
    const [, , abandoned, pending] = await numbers(closing)
    assert.deepEqual([abandoned, pending], [1, 0])
  },

  'close is idempotent: the same report, whatever is asked': async (t) => {
    const { runner, work } = await working(t)
    await runner.submit('work')
    const call = await work.call()
    const first = runner.close({ drain: false })
    const second = runner.close({ deadline: 0, drain: true })
    await t.settle()
    assert.equal(call.ctx.signal.aborted, false, 'the first one counts')
    call.resolve()
    const report = await first
    assert.deepEqual(report, { completed: 1, returned: 0, abandoned: 0, pending: 0 })
    assert.deepEqual(await second, report)
    assert.deepEqual(await runner.close(), report)
  },

  'a close with wrong options is refused, and the runner goes on': async (t) => {
    const { runner, work } = await working(t)
    for (const options of [
      { deadline: -1 },
      { deadline: 'soon' },
      { deadline: Number.NaN },
      { drain: 'yes' },
      { now: true },
    ])
      await refused(runner.close(options as never), 'INVALID_INPUT')
    await runner.submit('work')
    await work.call()
  },

  'verbs work while the runner closes, except those that bring work': async (t) => {
    const { runner, work } = await working(t, { concurrency: 1 })
    const running = await runner.submit('work')
    await work.call()
    const waiting = await runner.submit('work', 2, { delay: '1h' })
    const closing = runner.close({ drain: false })
    await refused(runner.submit('work'), 'RUNNER_CLOSED')
    assert.equal((await recordOf(running)).state, 'running')
    assert.equal((await runner.list()).tasks.length, 2)
    assert.equal((await runner.counts()).scheduled, 1)
    assert.equal((await waiting.cancel()).state, 'cancelled')
    work.calls[0]?.resolve()
    assert.deepEqual(await numbers(closing), [2, 0, 0, 0])
  },

  'after close everything but close rejects with RunnerClosedError': async (t) => {
    const { runner, work } = await working(t)
    const task = await runner.submit('work')
    ;(await work.call()).resolve()
    await task.wait()
    await runner.close()
    const { id } = task
    const verbs = [
      () => runner.ready(),
      () => runner.submit('work'),
      () => runner.submit('unknown'),
      () => runner.submitMany('work', [1]),
      () => runner.status(id),
      () => runner.wait(id),
      () => runner.result(id),
      () => runner.cancel(id),
      () => runner.retry(id),
      () => runner.setPriority(id, 1),
      () => runner.list(),
      () => runner.counts(),
      () => runner.remove(id),
      () => runner.pause(),
      () => runner.resume(),
      () => runner.onIdle(),
      () => task.status(),
      () => task.wait(),
      () => task.result(),
      () => task.cancel(),
      () => task.retry(),
    ]
    for (const verb of verbs) await refused(verb(), 'RUNNER_CLOSED')
    assert.throws(() => runner.watch(() => {}), { code: 'RUNNER_CLOSED' })
  },

  'no verb tells an untruth while setups are torn down': async (t) => {
    const answers: unknown[] = []
    const runner = await t.runner({
      tasks: {
        work: defineTask({
          setup: () => async () => {
            await t.settle()
            answers.push(await runner.status('mine').then((record) => record?.state, codeOf))
            answers.push(await runner.wait('mine').then(({ state }) => state, codeOf))
          },
          run: () => 'done',
        }),
      },
    })
    await (await runner.submit('work', 1, { id: 'mine' })).wait()
    await runner.close()
    assert.equal(answers.length, 2)
    for (const answer of answers) assert.ok(answer === 'succeeded' || answer === 'RUNNER_CLOSED', String(answer))
  },

  'what an abandoned handler does after close reaches nobody': async (t) => {
    const work = t.handler()
    const runner = await t.runner({
      tasks: { work: defineTask({ timeout: '5s', run: work.run }) },
      cancelGrace: '3s',
    })
    await runner.submit('work')
    const call = await work.call()
    const closing = runner.close({ deadline: 0, drain: false })
    await t.advance(1_000)
    assert.deepEqual(await numbers(closing), [0, 0, 1, 0])
    const told = t.listen(runner)
    call.ctx.progress('late')
    await assert.rejects(call.ctx.save('late'))
    call.ctx.log('late')
    await t.advance(20_000)
    call.ctx.progress('later')
    call.resolve('late')
    await t.settle()
    assert.deepEqual(told, [])
  },

  'an abandoned handler leaves no timer that would keep the process alive': async (t) => {
    const work = t.handler()
    const runner = await t.runner({
      tasks: { work: defineTask({ timeout: '1h', run: work.run }) },
      cancelGrace: '30m',
    })
    const task = await runner.submit('work')
    const call = await work.call()
    call.ctx.progress(1)
    call.ctx.progress(2)
    await task.cancel()
    const closing = runner.close({ deadline: 0, drain: false })
    await t.advance(1_000)
    await closing
    assert.equal(t.clock.holding, 0)
  },

  'close ends waits and timers of all kinds': async (t) => {
    const { runner, work } = await working(t)
    const task = await runner.submit('work')
    await work.call()
    await runner.submit('work', 1, { delay: '1h' })
    const waiting = refused(task.wait({ timeout: '1h' }), 'RUNNER_CLOSED')
    await t.settle()
    const closing = runner.close({ deadline: 0, drain: false })
    await t.advance(1_000)
    await closing
    await waiting
    assert.equal(t.clock.holding, 0)
  },

  'a runner with slots without end closes': async (t) => {
    const { runner, work } = await working(t, { concurrency: Number.POSITIVE_INFINITY })
    await runner.submitMany('work', Array.from({ length: 30 }))
    await work.call(30)
    const closing = runner.close({ drain: true })
    for (const call of work.calls) call.resolve()
    assert.deepEqual(await numbers(closing), [30, 0, 0, 0])
  },

  'asyncDispose closes': async (t) => {
    const { runner, work } = await working(t)
    await runner.submit('work')
    const call = await work.call()
    const disposing = runner[Symbol.asyncDispose]()
    await refused(runner.submit('work'), 'RUNNER_CLOSED')
    call.resolve()
    assert.equal(await disposing, undefined)
    assert.deepEqual(await numbers(runner.close()), [1, 0, 0, 0])
  },

  'a runner that was closed at once has done nothing': async (t) => {
    const { runner, work } = await working(t)
    const submitting = runner.submit('work')
    const closing = runner.close({ drain: false })
    await submitting.catch((error: unknown) => assert.equal(codeOf(error), 'RUNNER_CLOSED'))
    await t.settle()
    for (const call of work.calls) call.resolve()
    const [completed, , , pending] = await numbers(closing)
    assert.ok((completed ?? 0) + (pending ?? 0) <= 1)
  },

  'events of what ends while the runner closes are told': async (t) => {
    const { runner, work } = await working(t)
    const told = t.listen(runner)
    await runner.submitMany('work', [1, 2])
    const [first, second] = [await work.call(1), await work.call(2)]
    const closing = runner.close({ deadline: 1_000, drain: false })
    first.resolve()
    await t.advance(1_000)
    second.reject(second.ctx.signal.reason)
    await closing
    assert.equal(told.filter(({ event }) => event === 'succeeded').length, 1)
    const back = told.at(-1)
    assert.deepEqual([back?.event, back?.record.state], ['retrying', 'queued'])
  },
})
