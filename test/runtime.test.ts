/** What a task type of this library can learn of its runner. */
import assert from 'node:assert/strict'
import { BackgroundRunner, defineTask, RetryLaterError } from 'background-runner'
import { createTestRunner, runTask } from 'background-runner/testing'
import { describe, it } from 'vitest'
import { systemClock } from '../src/clock.js'
import { type Runtime, runtimeOf } from '../src/runtime.js'

describe('the runtime behind a context', () => {
  it('has the clock of a test runner, and its grace', async () => {
    let runtime: Runtime | undefined
    const work = defineTask({
      run: (_input: unknown, ctx) => {
        runtime = runtimeOf(ctx)
        assert.deepEqual(Object.getOwnPropertySymbols({ ...ctx }), [])
      },
    })
    const { runner, clock, drain } = createTestRunner({ tasks: { work }, cancelGrace: '7s' })
    await runner.submit('work')
    await drain()
    const mine = runtime?.clock
    assert.deepEqual([mine?.now(), runtime?.cancelGrace], [clock.now(), 7_000])
    const before = mine?.monotonic() ?? 0
    let rang = 0
    mine?.setTimeout(() => rang++, 60_000)
    await clock.advance('1m')
    assert.deepEqual([mine?.now(), (mine?.monotonic() ?? 0) - before, rang], [clock.now(), 60_000, 1])
    await runner.close()
  })

  it('has the real clock where the runner has it, and within runTask a virtual one', async () => {
    const run = (_input: unknown, ctx: object): boolean => runtimeOf(ctx).clock.now() < Date.UTC(2030, 0, 1) + 1_000
    const far = defineTask({ run: (_input: unknown, ctx) => run(_input, ctx) })
    assert.deepEqual((await runTask(far, undefined, { now: 0 })).outcome, { type: 'succeeded', output: true })
    const real = defineTask({ run: (_input: unknown, ctx) => Math.abs(runtimeOf(ctx).clock.now() - Date.now()) })
    await using runner = new BackgroundRunner({ tasks: { real } })
    assert.ok((await (await runner.submit('real')).result()) < 60_000)
  })

  it('is the real clock and 5 s for a context that is not a runner`s', async () => {
    const { isHeld, ...rest } = runtimeOf({})
    assert.deepEqual(rest, { clock: systemClock, cancelGrace: 5_000 })
    assert.equal(await isHeld('work'), false)
  })

  it('knows whether its name is held', async () => {
    const held: boolean[] = []
    const work = defineTask({
      run: async (_input: unknown, ctx) => {
        held.push(await runtimeOf(ctx).isHeld(ctx.name), await runtimeOf(ctx).isHeld('another'))
        if (ctx.attempt === 1) throw new RetryLaterError({ delay: '5s', hold: true })
      },
    })
    const { runner, clock } = createTestRunner({ tasks: { work } })
    await runner.submit('work')
    await clock.advance('5s')
    assert.deepEqual(held, [false, false, true, false])
    await runner.close()
  })
})
