/** SEMANTICS.md, line 12: what surrounds a submit is captured, and restored around the handler. */
import assert from 'node:assert/strict'
import { defineTask, type Json } from 'background-runner'
import { codeOf, every, type Topic, topic } from './world.js'

/** Something that surrounds a call, as an AsyncLocalStorage does. */
class Surroundings {
  current: Json | undefined
  readonly within = <Result>(value: Json | undefined, fn: () => Result): Result => {
    const before = this.current
    this.current = value
    try {
      return fn()
    } finally {
      this.current = before
    }
  }
}

export const context: Topic = topic('context', {
  'what was captured at submit surrounds the handler, in every attempt': async (t) => {
    const surroundings = new Surroundings()
    const seen: unknown[] = []
    const runner = await t.runner({
      tasks: {
        work: defineTask({
          retry: every(0, 2),
          run: (_input: unknown, ctx) => {
            seen.push([surroundings.current, ctx.context])
            if (ctx.attempt === 1) throw new Error('once more')
          },
        }),
      },
      context: { capture: () => surroundings.current, run: surroundings.within },
    })
    await runner.pause()
    const request = { requestId: 'r-1' }
    const submitting = surroundings.within(request, () => runner.submit('work'))
    request.requestId = 'changed'
    const task = await submitting
    const plain = await runner.submit('work')
    await runner.resume()
    await task.wait()
    await plain.wait()
    assert.deepEqual(seen.slice().sort(byRequest), [
      [{ requestId: 'r-1' }, { requestId: 'r-1' }],
      [{ requestId: 'r-1' }, { requestId: 'r-1' }],
      [undefined, undefined],
      [undefined, undefined],
    ])
    assert.equal(surroundings.current, undefined)
  },

  'ctx.context is there without a run, and is a copy': async (t) => {
    const work = t.handler()
    const runner = await t.runner({
      tasks: { work: defineTask({ run: work.run }) },
      context: { capture: () => ({ trace: ['a'] }) },
    })
    await runner.submit('work')
    const { ctx } = await work.call()
    ;(ctx.context as unknown as { trace: string[] }).trace.push('b')
    assert.deepEqual(ctx.context, { trace: ['a'] })
  },

  'submitMany captures, too': async (t) => {
    const work = t.handler()
    const runner = await t.runner({
      tasks: { work: defineTask({ run: work.run }) },
      context: { capture: () => 'here' },
    })
    await runner.submitMany('work', [1, 2])
    assert.deepEqual([(await work.call(1)).ctx.context, (await work.call(2)).ctx.context], ['here', 'here'])
  },

  'a capture that throws reaches error, and the submit goes on': async (t) => {
    const runner = await t.runner({
      tasks: { work: defineTask({ run: (_input: unknown, ctx) => ctx.context === undefined }) },
      context: {
        capture: () => {
          throw new Error('no context')
        },
      },
      faults: 'expected',
    })
    assert.equal(await (await runner.submit('work')).result(), true)
    assert.match(String(t.faults[0]?.error), /no context/)
  },

  'a capture that is not JSON reaches error, and the submit goes on': async (t) => {
    const runner = await t.runner({
      tasks: { work: defineTask({ run: (_input: unknown, ctx) => ctx.context === undefined }) },
      context: { capture: () => new Date(0) as never },
      faults: 'expected',
    })
    assert.equal(await (await runner.submit('work')).result(), true)
    assert.equal(codeOf(t.faults[0]?.error), 'INVALID_INPUT')
  },

  'a run that throws fails the attempt': async (t) => {
    const runner = await t.runner({
      tasks: { work: defineTask({ retry: { attempts: 1 }, run: () => 'never' }) },
      context: {
        capture: () => undefined,
        run: () => {
          throw new Error('cannot restore')
        },
      },
    })
    assert.equal((await (await runner.submit('work')).wait()).error?.message, 'cannot restore')
  },

  'a context may be destructured': async (t) => {
    const runner = await t.runner({
      tasks: {
        work: defineTask({
          run: async (_input: unknown, { id, name, attempt, retries, createdAt, signal, progress, save, log }) => {
            progress(1)
            await save(2)
            log('fine')
            signal.throwIfAborted()
            return { id, name, attempt, retries, createdAt }
          },
        }),
      },
    })
    const createdAt = t.clock.now()
    const task = await runner.submit('work')
    assert.deepEqual(await task.result(), { id: task.id, name: 'work', attempt: 1, retries: 0, createdAt })
  },
})

function byRequest(a: unknown, b: unknown): number {
  return JSON.stringify(b).length - JSON.stringify(a).length
}
