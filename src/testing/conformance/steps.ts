/** `ctx.step`: a crash or a failure between two steps repeats only the one that is not finished. */
import assert from 'node:assert/strict'
import { defineTask } from '../../index.js'
import { every, refused } from './tools.js'
import { type Topic, topic } from './world.js'

export const steps: Topic = topic('steps', {
  'a step that is done is not done again by the next attempt, nor after a manual retry': async (t) => {
    const done: string[] = []
    const runner = await t.runner({
      tasks: {
        order: defineTask({
          retry: every(0, 3),
          run: async (_input: unknown, { step, attempt, retries }) => {
            const paid = await step('pay', () => {
              done.push('pay')
              return { receipt: 17 }
            })
            if (attempt === 1) throw new Error('the line is dead')
            const sent = await step('send', async () => {
              done.push('send')
              if (attempt < 4) throw new Error('the post is closed')
              return attempt
            })
            return { paid, sent, retries }
          },
        }),
      },
    })
    const task = await runner.submit('order')
    await t.reaches(runner, task, 'failed')
    assert.deepEqual(done, ['pay', 'send', 'send'])
    await task.retry()
    const { output } = await t.reaches(runner, task, 'succeeded')
    assert.deepEqual(output, { paid: { receipt: 17 }, sent: 4, retries: 1 })
    assert.deepEqual(done, ['pay', 'send', 'send', 'send'])
  },

  'a step resolves when its result is stored, and gives a copy that changes nothing': async (t) => {
    const runner = await t.runner({
      tasks: {
        work: defineTask({
          retry: every(0, 2),
          run: async (_input: unknown, { step, attempt }) => {
            const list = await step('list', () => [1, 2])
            list.push(3)
            const again = await step('list', () => assert.fail('it is done'))
            if (attempt === 1) throw new Error('once more')
            return again
          },
        }),
      },
    })
    assert.deepEqual(await (await runner.submit('work')).result(), [1, 2])
  },

  'a step that gives nothing is done all the same': async (t) => {
    let times = 0
    const runner = await t.runner({
      tasks: {
        work: defineTask({
          retry: every(0, 2),
          run: async (_input: unknown, { step, attempt }) => {
            const nothing = await step('nothing', () => void times++)
            assert.equal(nothing, undefined)
            if (attempt === 1) throw new Error('once more')
          },
        }),
      },
    })
    assert.equal((await (await runner.submit('work')).wait()).state, 'succeeded')
    assert.equal(times, 1)
  },

  'steps and saved state do not touch each other': async (t) => {
    const seen: unknown[] = []
    const runner = await t.runner({
      tasks: {
        work: defineTask({
          retry: every(0, 4),
          run: async (_input: unknown, ctx) => {
            seen.push(ctx.saved)
            if (ctx.attempt === 1) await ctx.save({ page: 1 })
            const made = await ctx.step(`made by ${ctx.attempt}`, () => ctx.attempt)
            assert.equal(made, ctx.attempt)
            if (ctx.attempt === 2) await ctx.save('second')
            if (ctx.attempt < 4) throw new Error('once more')
            return Promise.all([1, 2, 3].map((n) => ctx.step(`made by ${n}`, () => 'anew')))
          },
        }),
      },
    })
    const { output } = await (await runner.submit('work')).wait()
    assert.deepEqual(seen, [undefined, { page: 1 }, 'second', 'second'])
    assert.deepEqual(output, [1, 2, 3])
  },

  'steps that go on at once are all kept; two under one name are one': async (t) => {
    let calls = 0
    const runner = await t.runner({
      tasks: {
        work: defineTask({
          retry: every(0, 2),
          run: async (_input: unknown, { step, save, attempt }) => {
            const count = (): number => ++calls
            const all = await Promise.all([step('a', count), step('b', count), step('a', count), save('beside')])
            if (attempt === 1) throw new Error('once more')
            return all.slice(0, 3)
          },
        }),
      },
    })
    assert.deepEqual(await (await runner.submit('work')).result(), [1, 2, 1])
    assert.equal(calls, 2)
  },

  'a name may be any text, one of an object among them': async (t) => {
    const names = ['__proto__', 'constructor', 'ä/1', ' ']
    const runner = await t.runner({
      tasks: {
        work: defineTask({
          retry: every(0, 2),
          run: async (_input: unknown, { step, attempt }) => {
            const results = []
            for (const name of names) results.push(await step(name, () => `${name} in ${attempt}`))
            if (attempt === 1) throw new Error('once more')
            return results
          },
        }),
      },
    })
    assert.deepEqual(
      await (await runner.submit('work')).result(),
      names.map((name) => `${name} in 1`),
    )
  },

  'a result that JSON cannot hold, or a step without a name or a function, is refused, and is not done': async (t) => {
    const runner = await t.runner({
      tasks: {
        work: defineTask({
          run: async (_input: unknown, { step }) => {
            await refused(
              step('date', () => new Date(0)),
              'INVALID_INPUT',
            )
            await refused(
              step('', () => 1),
              'INVALID_INPUT',
            )
            await refused(step('none', undefined as never), 'INVALID_INPUT')
            return step('date', () => 'as text')
          },
        }),
      },
    })
    assert.equal(await (await runner.submit('work')).result(), 'as text')
  },

  'an attempt that has ended can do no more steps': async (t) => {
    const work = t.handler()
    const runner = await t.runner({ tasks: { work: defineTask({ run: work.run }) } })
    const task = await runner.submit('work')
    const { ctx, resolve } = await work.call()
    resolve()
    await task.wait()
    await refused(
      ctx.step('late', () => 1),
      'INVALID_STATE',
    )
  },
})
