/** The retry policy (DESIGN.md, `retry`): its layers, the backoff, `when`, `maxAge`, and the errors that steer it. */
import assert from 'node:assert/strict'
import {
  type BackgroundRunner,
  defineTask,
  NonRetryableError,
  RetryLaterError,
  type RetryPolicy,
  type TaskRecord,
} from '../../index.js'
import { codeOf, every, foreign, recordOf, refused, same } from './tools.js'
import { type Topic, topic, type World } from './world.js'

/** The delays before each retry of a task that always fails, and its last record. */
async function delays(
  t: World,
  retry: RetryPolicy,
  random?: () => number,
): Promise<{ delays: number[]; record: TaskRecord }> {
  const work = defineTask({
    retry,
    run: () => {
      throw new Error('no luck')
    },
  })
  const runner = await t.runner({ tasks: { work }, ...(random && { random }) })
  const task = await runner.submit('work')
  const seen: number[] = []
  for (;;) {
    const record = await t.reaches(runner, task, 'scheduled', 'failed')
    if (record.state === 'failed') return { delays: seen, record }
    const delay = record.runAt - (record.attempts.at(-1)?.finishedAt ?? Number.NaN)
    seen.push(delay)
    await t.advance(delay)
    await t.until(async () => (await recordOf(task)).attempt > record.attempt, 'the next attempt')
  }
}

async function failing(t: World, error: unknown, retry: RetryPolicy): Promise<[BackgroundRunner, { id: string }]> {
  const runner = await t.runner({ tasks: { work: defineTask({ retry, run: () => Promise.reject(error) }) } })
  return [runner, await runner.submit('work')]
}

/** Its multiples, without their integers, spread evenly from 0 to 1, however many of them there are. */
const GOLDEN = (Math.sqrt(5) - 1) / 2

export const retry: Topic = topic('retry', {
  'exponential: each delay is factor times the one before, up to max': async (t) => {
    const backoff = { type: 'exponential', delay: '1s', factor: 3, max: '20s', jitter: false } as const
    assert.deepEqual((await delays(t, { attempts: 6, backoff })).delays, [1_000, 3_000, 9_000, 20_000, 20_000])
  },

  'exponential doubles by default': async (t) => {
    const backoff = { type: 'exponential', delay: 500, jitter: false } as const
    assert.deepEqual((await delays(t, { attempts: 4, backoff })).delays, [500, 1_000, 2_000])
  },

  'fixed: each delay is the same, without jitter': async (t) => {
    assert.deepEqual((await delays(t, every(700, 4), () => 0.5)).delays, [700, 700, 700])
  },

  'by default: 3 attempts, exponential from 1 s with full jitter': async (t) => {
    let i = 0
    const random = (): number => (i++ % 97) / 97
    const { delays: seen, record } = await delays(t, {}, random)
    assert.equal(record.attempt, 3)
    same(seen.length, 2, 'what was seen')
    assert.ok((seen[0] ?? -1) >= 0 && (seen[0] ?? 0) <= 1_000, `the first delay: ${seen[0]}`)
    assert.ok((seen[1] ?? -1) >= 0 && (seen[1] ?? 0) <= 2_000, `the second delay: ${seen[1]}`)
  },

  'full jitter spreads from 0 to the whole delay': async (t) => {
    let next = 0
    const backoff = { type: 'fixed', delay: 10_000, jitter: true } as const
    const { delays: seen } = await delays(t, { attempts: 50, backoff }, () => {
      next = (next + GOLDEN) % 1
      return next
    })
    assert.ok(
      seen.every((delay) => delay >= 0 && delay <= 10_000),
      `delays are from 0 to 10 000: ${seen.join()}`,
    )
    assert.ok(Math.min(...seen) < 1_000 && Math.max(...seen) > 9_000, `delays are spread: ${seen.join()}`)
    const mean = seen.reduce((sum, each) => sum + each, 0) / seen.length
    assert.ok(mean > 4_000 && mean < 6_000, `their mean is about 5 000: ${mean}`)
  },

  'a policy is merged field by field: submit over definition over defaults; a backoff as a whole': async (t) => {
    const work = t.handler()
    const runner = await t.runner({
      tasks: {
        plain: defineTask({ run: work.run }),
        own: defineTask({ retry: { backoff: { type: 'fixed', delay: 2_000 } }, run: work.run }),
      },
      defaults: { retry: { attempts: 7, backoff: { type: 'fixed', delay: 1_000 } } },
    })
    const cases = [
      { name: 'plain', options: {}, attempts: 7, delay: 1_000 },
      { name: 'own', options: {}, attempts: 7, delay: 2_000 },
      { name: 'own', options: { retry: { attempts: 4 } }, attempts: 4, delay: 2_000 },
      { name: 'own', options: { retry: every(3_000, 5) }, attempts: 5, delay: 3_000 },
    ]
    for (const [i, { name, options, attempts, delay }] of cases.entries()) {
      const task = await runner.submit(name, i, options)
      ;(await work.call(i + 1)).reject(new Error('no luck'))
      const record = await t.reaches(runner, task, 'scheduled')
      assert.deepEqual([record.maxAttempts, record.runAt - t.clock.now()], [attempts, delay])
      await task.cancel()
    }
  },

  'a default timeout holds for every task that has none': async (t) => {
    const work = t.handler()
    const runner = await t.runner({
      tasks: { plain: defineTask({ run: work.run }), own: defineTask({ timeout: '9s', run: work.run }) },
      defaults: { timeout: '3s', retry: { attempts: 1 } },
    })
    await runner.submitMany('plain', [1])
    await work.call(1)
    await runner.submit('own', 2)
    await work.call(2)
    const aborted = (): (boolean | undefined)[] => work.calls.map(({ ctx }) => ctx.signal.aborted)
    await t.advance(2_999)
    assert.deepEqual(aborted(), [false, false])
    await t.advance(1)
    assert.deepEqual(aborted(), [true, false])
    await t.advance(6_000)
    assert.deepEqual(aborted(), [true, true])
  },

  'each attempt has its own timeout': async (t) => {
    const work = t.handler()
    const runner = await t.runner({
      tasks: { work: defineTask({ timeout: 1_000, retry: every(5_000, 2), run: work.run }) },
    })
    const task = await runner.submit('work')
    const first = await work.call(1)
    await t.advance(900)
    first.reject(new Error('no luck'))
    await t.reaches(runner, task, 'scheduled')
    await t.advance(5_000)
    const second = await work.call(2)
    await t.advance(999)
    same(second.ctx.signal.aborted, false, 'its signal is aborted')
    await t.advance(1)
    same(second.ctx.signal.aborted, true, 'its signal is aborted')
  },

  'when decides by the error whether another attempt is worth it': async (t) => {
    const seen: unknown[] = []
    const when = (error: unknown): boolean => {
      seen.push(error)
      return (error as Error).message === 'try again'
    }
    const work = t.handler()
    const runner = await t.runner({
      tasks: { work: defineTask({ retry: { ...every(1_000, 9), when }, run: work.run }) },
    })
    const task = await runner.submit('work')
    const first = new Error('try again')
    ;(await work.call(1)).reject(first)
    await t.reaches(runner, task, 'scheduled')
    await t.advance(1_000)
    ;(await work.call(2)).reject(new Error('hopeless'))
    assert.equal((await t.reaches(runner, task, 'failed')).error?.message, 'hopeless')
    assert.equal(seen[0], first, 'it gets what was thrown')
    same(seen.length, 2, 'what was seen')
  },

  'a RetryLaterError that cannot be read is a failure like any other': async (t) => {
    const hostile = (): RetryLaterError =>
      Object.defineProperty(new RetryLaterError({ delay: 5 }), 'delay', {
        get: () => {
          throw new Error('do not touch')
        },
      })
    const runner = await t.runner({
      tasks: {
        rejecter: defineTask({ retry: every(1_000, 2), run: () => Promise.reject(hostile()) }),
        thrower: defineTask({
          retry: every(1_000, 2),
          run: () => {
            throw hostile()
          },
        }),
      },
      concurrency: 1,
    })
    await t.handlesAll(async () => {
      for (const name of ['rejecter', 'thrower']) {
        const task = await runner.submit(name)
        const { attempt, runAt } = await t.reaches(runner, task, 'scheduled')
        assert.deepEqual([attempt, runAt], [1, t.clock.now() + 1_000], 'the delay is that of the policy')
        await t.advance(1_000)
        assert.equal((await t.reaches(runner, task, 'failed')).attempt, 2)
      }
    })
  },

  'a when that answers with a promise counts as absent, and one that rejects is told': async (t) => {
    const answers = [
      async () => false,
      async () => Promise.reject(new Error('bug in an asynchronous when')),
      foreign<() => unknown>('async () => { throw new Error("bug in an asynchronous when") }'),
    ]
    for (const when of answers) {
      const runner = await t.runner({
        tasks: {
          work: defineTask({
            retry: { ...every(1_000, 2), when: when as never },
            run: () => Promise.reject(new Error('no luck')),
          }),
        },
        faults: 'expected',
      })
      await t.handlesAll(async () => {
        const task = await runner.submit('work')
        await t.reaches(runner, task, 'scheduled')
      })
    }
    const told = t.faults.map(({ error }) => (error as Error).message)
    same(told.filter((message) => message === 'bug in an asynchronous when').length, 2, 'such events that were told')
  },

  'a when that throws is told, and the attempt is tried again': async (t) => {
    const runner = await t.runner({
      tasks: {
        work: defineTask({
          retry: {
            ...every(1_000, 2),
            when: () => {
              throw new Error('bug in when')
            },
          },
          run: () => Promise.reject(new Error('no luck')),
        }),
      },
      faults: 'expected',
    })
    await t.reaches(runner, await runner.submit('work'), 'scheduled')
    assert.match(String(t.faults[0]?.error), /bug in when/)
  },

  'NonRetryableError fails at once, with its code and details': async (t) => {
    const error = new NonRetryableError('no such mailbox', { code: '550', details: { to: 'a' }, cause: 'x' })
    const [runner, task] = await failing(t, error, every(1_000, 5))
    const record = await t.reaches(runner, task, 'failed')
    assert.equal(record.attempt, 1)
    assert.deepEqual([record.error?.code, record.error?.details], ['550', { to: 'a' }])
    assert.equal(new NonRetryableError('x').code, 'NON_RETRYABLE')
  },

  'maxAge ends the retries: no attempt begins later than that after the submit': async (t) => {
    const { delays: seen, record } = await delays(t, { ...every(4_000, 100), maxAge: '10s' })
    assert.deepEqual(seen, [4_000, 4_000])
    assert.equal(record.attempt, 3)
    assert.equal(record.error?.message, 'no luck')
  },

  'maxAge ends a task that asks for RetryLater again and again': async (t) => {
    const [runner, task] = await failing(t, new RetryLaterError({ delay: 4_000 }), { maxAge: 10_000 })
    for (let i = 0; i < 4; i++) {
      await t.reaches(runner, task, 'scheduled', 'failed')
      await t.advance(4_000)
    }
    const record = await t.reaches(runner, task, 'failed')
    assert.equal(record.attempt, 3)
    assert.equal(record.error?.code, 'RETRY_LATER')
  },

  'maxAge is counted anew from a manual retry': async (t) => {
    const work = t.handler()
    const runner = await t.runner({
      tasks: { work: defineTask({ retry: { ...every(4_000, 100), maxAge: 5_000 }, run: work.run }) },
    })
    const task = await runner.submit('work')
    for (const n of [1, 2]) {
      ;(await work.call(n)).reject(new Error('no luck'))
      await t.reaches(runner, task, 'scheduled', 'failed')
      await t.advance(4_000)
    }
    assert.equal((await recordOf(task)).state, 'failed')
    await t.advance(60_000)
    await task.retry()
    ;(await work.call(3)).reject(new Error('no luck'))
    await t.reaches(runner, task, 'scheduled')
  },

  'a RetryLaterError whose delay is no duration is a plain failure': async (t) => {
    const [runner, task] = await failing(t, new RetryLaterError({ delay: 'soon' as never }), every(1_000, 1))
    await t.reaches(runner, task, 'failed')
  },

  'a timeout is a failure like any other: when decides, and attempts are used': async (t) => {
    const work = t.handler()
    const runner = await t.runner({
      tasks: {
        work: defineTask({
          timeout: 100,
          retry: { ...every(1_000, 5), when: (error) => codeOf(error) !== 'TASK_TIMEOUT' },
          run: work.run,
        }),
      },
    })
    const task = await runner.submit('work')
    const call = await work.call()
    await t.advance(100)
    call.reject(new Error('stopped'))
    assert.equal((await t.reaches(runner, task, 'failed')).error?.code, 'TASK_TIMEOUT')
  },

  'a runner and a definition refuse a policy that is none': async (t) => {
    const bad: unknown[] = [
      { attempts: 0 },
      { attempts: 1.5 },
      { backoff: { type: 'fixed' } },
      { backoff: { type: 'fixed', delay: -1 } },
      { backoff: { type: 'exponential', delay: 1, factor: 0 } },
      { maxAge: 'for ever' },
      { when: true },
      { tries: 3 },
    ]
    for (const retry of bad) {
      assert.throws(() => defineTask({ retry: retry as RetryPolicy, run: () => 1 }), { code: 'INVALID_INPUT' })
      await refused(t.runner({ tasks: {}, defaults: { retry: retry as RetryPolicy } }), 'INVALID_INPUT')
    }
  },
})
