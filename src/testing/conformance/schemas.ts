/** SEMANTICS.md, line 4: when a schema runs, what its output is for, and what its refusal means. */
import assert from 'node:assert/strict'
import { defineTask } from '../../index.js'
import { every, foreign, pathsOf, recordOf, refused, same, schema } from './tools.js'
import { type Topic, topic } from './world.js'

/** Takes `{ at: string }` and makes a Date of it, as `z.coerce.date()` does. */
const dated = schema((value) => {
  const at = (value as { at?: unknown } | undefined)?.at
  if (typeof at !== 'string') return { issues: [{ message: 'must be a string', path: ['at'] }] }
  return { value: { at: new Date(at) } }
})

const picky = schema((value) => ({
  issues: [
    { message: `no ${typeof value}`, path: ['a', 0] },
    { message: 'and another thing', path: [{ key: 'b' }] },
    { message: 'in all' },
  ],
}))

export const schemas: Topic = topic('schemas', {
  'the handler gets what the schema made of the input, and the record keeps the input as submitted': async (t) => {
    const work = t.handler()
    const runner = await t.runner({ tasks: { work: defineTask({ input: dated, run: work.run }) } })
    const task = await runner.submit('work', { at: '2030-01-02', extra: 1 })
    assert.deepStrictEqual((await work.call()).input, { at: new Date('2030-01-02') })
    assert.deepEqual((await recordOf(task)).input, { at: '2030-01-02', extra: 1 })
  },

  'a schema refuses at submit with all its issues and their paths, and nothing is stored': async (t) => {
    const runner = await t.runner({ tasks: { work: defineTask({ input: picky, run: t.handler().run }) } })
    const error = await refused(runner.submit('work', 1), 'INVALID_INPUT')
    assert.deepEqual(pathsOf(error), ['', 'a.0', 'b'])
    assert.match(error.message, /no number/)
    await refused(runner.submit('work'), 'INVALID_INPUT')
    const many = await refused(runner.submitMany('work', [1, 2]), 'INVALID_INPUT')
    assert.deepEqual(pathsOf(many), ['0', '0.a.0', '0.b', '1', '1.a.0', '1.b'])
    same((await runner.counts()).queued, 0, 'queued tasks')
  },

  'a schema sees a copy: what it changes is not stored': async (t) => {
    const greedy = schema((value) => {
      const list = (value as { list: number[] }).list
      list.push(list.length)
      return { value: list.length }
    })
    const work = t.handler()
    const runner = await t.runner({ tasks: { work: defineTask({ input: greedy, retry: every(0), run: work.run }) } })
    const input = { list: [0] }
    const task = await runner.submit('work', input)
    ;(await work.call(1)).reject(new Error('once more'))
    await t.advance(0)
    await work.call(2)
    assert.deepEqual(work.inputs, [2, 2])
    assert.deepEqual(input, { list: [0] })
    assert.deepEqual((await recordOf(task)).input, { list: [0] })
  },

  'asynchronous schemas are allowed': async (t) => {
    const slow = schema(async (value) => {
      await Promise.resolve()
      return typeof value === 'string' ? { value: value.length } : { issues: [{ message: 'no string', path: ['x'] }] }
    })
    const work = t.handler()
    const runner = await t.runner({ tasks: { work: defineTask({ input: slow, run: work.run }) } })
    assert.deepEqual(pathsOf(await refused(runner.submit('work', 1), 'INVALID_INPUT')), ['x'])
    await runner.submit('work', 'four')
    assert.equal((await work.call()).input, 4)
    assert.equal((await runner.submitMany('work', ['a', 'b'])).length, 2)
  },

  'submitMany over an asynchronous schema stores the inputs in their order, whichever takes longest to check': async (
    t,
  ) => {
    const slow = schema(async (value) => {
      for (let turn = value as number; turn < 3; turn++) await Promise.resolve()
      return { value }
    })
    const work = t.handler()
    const runner = await t.runner({ tasks: { work: defineTask({ input: slow, run: work.run }) }, work: false })
    await runner.submitMany('work', [0, 1, 2, 3])
    const { tasks } = await runner.list()
    assert.deepEqual(
      tasks.map(({ input }) => input),
      [3, 2, 1, 0],
    )
  },

  'submitMany over an asynchronous schema tells every wrong input by its index': async (t) => {
    const slow = schema(async (value) =>
      typeof value === 'string' ? { value } : { issues: [{ message: 'no string', path: ['x'] }] },
    )
    const runner = await t.runner({ tasks: { work: defineTask({ input: slow, run: t.handler().run }) }, work: false })
    const error = await refused(runner.submitMany('work', ['good', 1, 'good', 2]), 'INVALID_INPUT')
    assert.deepEqual(pathsOf(error), ['1.x', '3.x'])
    same((await runner.counts()).queued, 0, 'queued tasks')
  },

  'submitMany with inputs that are refused at once and later leaves no rejection unhandled': async (t) => {
    const slow = schema(async () => ({ issues: [{ message: 'never good' }] }))
    const runner = await t.runner({ tasks: { work: defineTask({ input: slow, run: t.handler().run }) }, work: false })
    await t.handlesAll(async () => {
      await refused(runner.submitMany('work', [1, Number.NaN, 2]), 'INVALID_INPUT')
    })
  },

  'a schema may answer with a promise of another realm, or with a thenable': async (t) => {
    const judge =
      "(value) => typeof value === 'string' ? { value: value.length } : { issues: [{ message: 'no string', path: ['x'] }] }"
    const anotherRealm = schema(foreign(`async (value) => (${judge})(value)`))
    const judged = foreign<(value: unknown) => { value: unknown }>(judge)
    const thenable = schema(
      (value) =>
        // biome-ignore lint/suspicious/noThenProperty: a thenable is what is tested
        ({ then: (resolve: (result: unknown) => void) => resolve(judged(value)) }) as never,
    )
    const work = t.handler()
    const runner = await t.runner({
      tasks: {
        'another realm': defineTask({ input: anotherRealm, run: work.run }),
        thenable: defineTask({ input: thenable, run: work.run }),
      },
    })
    for (const [n, name] of ['another realm', 'thenable'].entries()) {
      assert.deepEqual(pathsOf(await refused(runner.submit(name, 1), 'INVALID_INPUT')), ['x'], name)
      const many = await refused(runner.submitMany(name, ['good', 1]), 'INVALID_INPUT')
      assert.deepEqual(pathsOf(many), ['1.x'], name)
      assert.equal((await runner.counts()).queued, 0, 'nothing is stored')
      await runner.submit(name, 'four')
      assert.equal((await work.call(n + 1)).input, 4, name)
    }
  },

  'a schema of another realm that rejects refuses the submit': async (t) => {
    const broken = schema(foreign('async () => { throw new Error("schema bug") }'))
    const runner = await t.runner({ tasks: { work: defineTask({ input: broken, run: t.handler().run }) } })
    await t.handlesAll(async () => {
      const error = await refused(runner.submit('work', 1), 'INVALID_INPUT')
      assert.match(String((error.cause as Error).message), /schema bug/)
    })
    same((await runner.counts()).queued, 0, 'queued tasks')
  },

  'a submit whose schema calls close is refused, and nothing is stored': async (t) => {
    const closings: Promise<unknown>[] = []
    const closer = schema((value) => {
      closings.push(runner.close({ drain: false }))
      return { value }
    })
    const runner = await t.runner({ tasks: { work: defineTask({ input: closer, run: t.handler().run }) } })
    const told = t.listen(runner)
    await refused(runner.submit('work', 1), 'RUNNER_CLOSED')
    assert.deepEqual(await closings[0], { completed: 0, returned: 0, abandoned: 0, pending: 0 })
    assert.deepEqual(told, [])
  },

  'a submitMany whose schema calls close is refused, and nothing is stored': async (t) => {
    const closings: Promise<unknown>[] = []
    const closer = schema((value) => {
      closings.push(runner.close({ drain: false }))
      return { value }
    })
    const runner = await t.runner({ tasks: { work: defineTask({ input: closer, run: t.handler().run }) } })
    await refused(runner.submitMany('work', [1, 2]), 'RUNNER_CLOSED')
    assert.deepEqual(await closings[0], { completed: 0, returned: 0, abandoned: 0, pending: 0 })
  },

  'a submit whose schema answers after close was called is refused': async (t) => {
    let answer: (() => void) | undefined
    const slow = schema(
      (value) =>
        new Promise((resolve) => {
          answer = () => resolve({ value })
        }),
    )
    const runner = await t.runner({ tasks: { work: defineTask({ input: slow, run: t.handler().run }) } })
    const submitting = refused(runner.submit('work', 1), 'RUNNER_CLOSED')
    const closing = runner.close()
    answer?.()
    await submitting
    assert.deepEqual(await closing, { completed: 0, returned: 0, abandoned: 0, pending: 0 })
  },

  'an input that a later schema refuses fails with INVALID_INPUT, without another attempt': async (t) => {
    let strict = false
    const moody = schema((value) =>
      strict ? { issues: [{ message: 'is no longer taken', path: ['to'] }] } : { value },
    )
    const work = t.handler()
    const runner = await t.runner({
      tasks: { work: defineTask({ input: moody, retry: every(1_000, 5), run: work.run }) },
    })
    await runner.pause()
    const task = await runner.submit('work', { to: 'ada' })
    strict = true
    await runner.resume()
    const record = await t.reaches(runner, task, 'failed')
    assert.equal(record.error?.code, 'INVALID_INPUT')
    assert.match(record.error?.message ?? '', /no longer taken/)
    assert.equal(record.attempt, 1)
    await t.advance(10_000)
    work.wasCalled(0)
    strict = false
    await task.retry()
    assert.deepEqual((await work.call()).input, { to: 'ada' }, 'the next deploy may take it again')
  },

  'an input that a later asynchronous schema refuses fails with INVALID_INPUT': async (t) => {
    let strict = false
    const moody = schema(async (value) => (strict ? { issues: [{ message: 'is no longer taken' }] } : { value }))
    const work = t.handler()
    const runner = await t.runner({ tasks: { work: defineTask({ input: moody, run: work.run }) } })
    await runner.pause()
    const task = await runner.submit('work', 1)
    strict = true
    await runner.resume()
    const record = await t.reaches(runner, task, 'failed')
    assert.equal(record.error?.code, 'INVALID_INPUT')
    assert.equal(record.attempt, 1)
    work.wasCalled(0)
  },

  'a schema that throws refuses the submit, and says why': async (t) => {
    const broken = schema(() => {
      throw new Error('schema bug')
    })
    const brokenLater = schema(async () => {
      throw new Error('schema bug')
    })
    const runner = await t.runner({
      tasks: {
        broken: defineTask({ input: broken, run: t.handler().run }),
        brokenLater: defineTask({ input: brokenLater, run: t.handler().run }),
      },
    })
    for (const name of ['broken', 'brokenLater']) {
      const error = await refused(runner.submit(name, 1), 'INVALID_INPUT')
      assert.match((error.cause as Error).message, /schema bug/)
    }
    same((await runner.counts()).queued, 0, 'queued tasks')
  },

  'a task that is cancelled while its schema thinks never runs': async (t) => {
    let hold = false
    let answer: (() => void) | undefined
    const slow = schema((value) =>
      hold
        ? new Promise((resolve) => {
            answer = () => resolve({ value })
          })
        : { value },
    )
    const work = t.handler()
    const runner = await t.runner({ tasks: { work: defineTask({ input: slow, run: work.run }) } })
    await runner.pause()
    const task = await runner.submit('work', 1)
    hold = true
    await runner.resume()
    await t.until(() => answer, 'the schema is asked')
    await task.cancel()
    answer?.()
    await t.reaches(runner, task, 'cancelled')
    work.wasCalled(0)
  },
})
