/** SEMANTICS.md, of line 20: what a runner still does while it closes, and what it leaves behind. */
import assert from 'node:assert/strict'
import { defineTask } from '../../index.js'
import { codeOf, recordOf, refused, same } from './tools.js'
import { numbers, working } from './workplace.js'
import { type Topic, topic } from './world.js'

export const closing: Topic = topic('while it closes, and after', {
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
    same((await runner.counts()).scheduled, 1, 'scheduled tasks')
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
    for (const verb of verbs) await refused(verb(), 'RUNNER_CLOSED', String(verb))
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
    same(answers.length, 2, 'answers')
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
    same(t.clock.holding, 0, 'timers that would hold the process')
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
    same(t.clock.holding, 0, 'timers that would hold the process')
  },

  'a runner with slots without end closes': async (t) => {
    const { runner, work } = await working(t, { concurrency: Number.POSITIVE_INFINITY })
    await runner.submitMany('work', Array.from({ length: 12 }))
    await work.call(12)
    const closing = runner.close({ drain: true })
    for (const call of work.calls) call.resolve()
    assert.deepEqual(await numbers(closing), [12, 0, 0, 0])
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
    assert.ok((completed ?? 0) + (pending ?? 0) <= 1, `completed: ${completed}, pending: ${pending}, of one task`)
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
    same(told.filter(({ event }) => event === 'succeeded').length, 1, 'such events that were told')
    const back = told.at(-1)
    assert.deepEqual([back?.event, back?.record.state], ['retrying', 'queued'])
  },
})
