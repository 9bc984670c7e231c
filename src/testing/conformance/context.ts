/** SEMANTICS.md, line 12: what surrounds a submit is captured, and restored around the handler. */
import assert from 'node:assert/strict'
import { AsyncLocalStorage } from 'node:async_hooks'
import { type BackgroundRunner, defineTask, type Json } from '../../index.js'
import { codeOf, every, foreign, recordOf, refused, same } from './tools.js'
import { type Topic, topic } from './world.js'

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

  'a run that calls the handler is judged by the handler alone, whatever it does itself': async (t) => {
    const runs: Readonly<Record<string, (value: unknown, fn: () => unknown) => unknown>> = {
      throws: (_value, fn) => {
        fn()
        throw new Error('run bug')
      },
      'returns nothing': (_value, fn) => void fn(),
      'returns something else': (_value, fn) => {
        fn()
        return 'of run'
      },
      'is asynchronous': async (_value, fn) => fn(),
      'rejects at once': (_value, fn) => {
        fn()
        return Promise.reject(new Error('run bug'))
      },
    }
    for (const [how, run] of Object.entries(runs)) {
      const work = t.handler()
      const runner = await t.runner({
        tasks: {
          work: defineTask({ retry: { attempts: 1 }, run: work.run }),
          sync: defineTask({ retry: { attempts: 1 }, run: () => 'sync' }),
          thrower: defineTask({
            retry: { attempts: 1 },
            run: () => {
              throw new Error('of the handler')
            },
          }),
        },
        context: { capture: () => undefined, run: run as <Result>(value: unknown, fn: () => Result) => Result },
        concurrency: 1,
        faults: 'expected',
      })
      await t.handlesAll(async () => {
        const good = await runner.submit('work', 1)
        const bad = await runner.submit('work', 2)
        const first = await work.call(1)
        await t.settle()
        assert.equal((await recordOf(good)).state, 'running', how)
        work.wasCalled(1, 'the slot is held until the handler has settled')
        first.resolve('of the handler')
        assert.equal(await good.result(), 'of the handler', how)
        ;(await work.call(2)).reject(new Error('of the handler'))
        assert.equal((await bad.wait()).error?.message, 'of the handler', how)
        assert.equal(await (await runner.submit('sync')).result(), 'sync', how)
        assert.equal((await (await runner.submit('thrower')).wait()).error?.message, 'of the handler', how)
      })
      await runner.close()
    }
  },

  'a run that calls the handler later runs it within its attempt, or not at all': async (t) => {
    const seen: unknown[] = []
    const later = async (_value: unknown, fn: () => unknown): Promise<unknown> => {
      await t.settle()
      return fn()
    }
    const runner = await t.runner({
      tasks: {
        work: defineTask({
          retry: { attempts: 1 },
          run: async (_input: unknown, { id }) => {
            seen.push((await runner.status(id))?.state)
            throw new Error('no luck')
          },
        }),
      },
      context: { capture: () => undefined, run: later as <Result>(value: unknown, fn: () => Result) => Result },
      faults: 'expected',
    })
    await t.handlesAll(async () => {
      const record = await (await runner.submit('work')).wait()
      await t.settle()
      await t.settle()
      assert.deepEqual(seen, record.error?.message === 'no luck' ? ['running'] : [])
    })
  },

  'an asynchronous capture is no context: one that rejects reaches error, and the submit goes on': async (t) => {
    const captures = [
      async () => Promise.reject(new Error('no context')),
      foreign<() => never>('async () => { throw new Error("no context") }'),
    ]
    for (const capture of captures) {
      const runner = await t.runner({
        tasks: { work: defineTask({ run: (_input: unknown, ctx) => ctx.context === undefined }) },
        context: { capture: capture as () => never },
        faults: 'expected',
      })
      await t.handlesAll(async () => {
        assert.equal(await (await runner.submit('work')).result(), true)
      })
    }
    const told = t.faults.filter(({ error }) => /no context/.test(String(error)))
    same(told.length, 2, 'events that were told')
  },

  'a submit whose capture calls close is refused, and nothing is stored': async (t) => {
    for (const submit of [
      (runner: BackgroundRunner) => runner.submit('work', 1),
      (runner: BackgroundRunner) => runner.submitMany('work', [1, 2]),
    ]) {
      const closings: Promise<unknown>[] = []
      const runner = await t.runner({
        tasks: { work: defineTask({ run: t.handler().run }) },
        context: {
          capture: () => {
            closings.push(runner.close({ drain: false }))
            return 'here'
          },
        },
      })
      const told = t.listen(runner)
      await refused(submit(runner), 'RUNNER_CLOSED')
      assert.deepEqual(await closings[0], { completed: 0, returned: 0, abandoned: 0, pending: 0 })
      assert.deepEqual(told, [])
    }
  },

  'without a context, no handler runs in the asynchronous context of who woke the engine': async (t) => {
    const storage = new AsyncLocalStorage<string>()
    const seen: unknown[] = []
    const runner = await t.runner({
      tasks: {
        work: defineTask({
          retry: every(1_000, 2),
          run: async (input: unknown, { attempt }) => {
            seen.push(storage.getStore())
            await undefined
            seen.push(storage.getStore())
            if (input === 'fails' && attempt === 1) throw new Error('once more')
          },
        }),
      },
      concurrency: 1,
    })
    let ran = 0
    const within = async (who: string, count: number, wake: () => Promise<unknown>): Promise<void> => {
      await storage.run(who, wake)
      ran += count
      await t.until(async () => (await runner.counts()).succeeded === ran, `what was woken by ${who} has run`)
      await t.settle()
    }
    await within('submit', 1, () => runner.submit('work'))
    await within('submitMany', 3, () => runner.submitMany('work', [1, 2, 3]))
    await within('two at once', 2, () => Promise.all([runner.submit('work'), runner.submit('work')]))
    await runner.pause()
    const waiting = await runner.submit('work')
    await within('resume', 1, () => runner.resume())
    assert.equal((await recordOf(waiting)).state, 'succeeded')
    await storage.run('delay', () => runner.submit('work', 1, { delay: 1_000 }))
    await t.advance(1_000)
    await within('time', 1, async () => undefined)
    const fails = await storage.run('retrying', () => runner.submit('work', 'fails'))
    await t.reaches(runner, fails, 'scheduled')
    await t.advance(1_000)
    await within('time', 1, async () => undefined)
    const gone = await runner.submit('work', 1, { delay: '1h' })
    await gone.cancel()
    await within('retry', 1, () => gone.retry())
    same(seen.length, 2 * (ran + 1), 'what was seen')
    assert.deepEqual(new Set(seen), new Set([undefined]))
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
