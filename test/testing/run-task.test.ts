import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  defineTask,
  NonRetryableError,
  RetryLaterError,
  type TaskContext,
  type TaskDefinition,
} from 'background-runner'
import { runTask } from 'background-runner/testing'
import { describe, it } from 'vitest'
import { z } from 'zod'

const DAWN = Date.UTC(2030, 0, 1)
const listens = (_input: unknown, { signal }: TaskContext): Promise<never> =>
  new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)))

describe('runTask', () => {
  it('gives the verdict on one attempt, and what it told on the way', async () => {
    const resize = defineTask({
      run: async ({ width }: { width: number }, { progress, save, log }) => {
        log('begins', { width })
        for (const percent of [0, 50, 100]) progress({ percent })
        await save({ done: width })
        return { bytes: width * 2 }
      },
    })
    const result = await runTask(resize, { width: 5 })
    assert.deepEqual(result, {
      outcome: { type: 'succeeded', output: { bytes: 10 } },
      progress: [{ percent: 0 }, { percent: 50 }, { percent: 100 }],
      saved: { done: 5 },
      logs: [{ message: 'begins', fields: { width: 5 } }],
      elapsed: 0,
    })
    if (result.outcome.type === 'succeeded') assert.equal(result.outcome.output.bytes, 10)
  })

  it('checks the input as submit does, and gives the handler what the schema makes of it', async () => {
    const task = defineTask({ input: z.object({ at: z.coerce.date() }), run: ({ at }) => at.getTime() })
    assert.deepEqual((await runTask(task, { at: '1970-01-02' })).outcome, { type: 'succeeded', output: 86_400_000 })
    await assert.rejects(runTask(task, { at: 'never' }), { code: 'INVALID_INPUT' })
    const plain = defineTask({ run: (input: { at: number }) => input })
    await assert.rejects(runTask(plain, { at: Number.NaN }), { code: 'INVALID_INPUT' })
  })

  it('needs no input where the task takes none', async () => {
    assert.equal((await runTask(defineTask({ run: () => 7 }))).outcome.type, 'succeeded')
  })

  it('judges by the retry policy, and by which attempt it is', async () => {
    const fails = defineTask({
      retry: { attempts: 3, backoff: { type: 'exponential', delay: '1s', jitter: false } },
      run: () => {
        throw new Error('no')
      },
    })
    const dueIn = async (attempt: number): Promise<unknown> => {
      const { outcome } = await runTask(fails, undefined, { attempt })
      return outcome.type === 'retry' ? outcome.runAt - DAWN : outcome.type
    }
    assert.deepEqual(await Promise.all([1, 2, 3].map(dueIn)), [1_000, 2_000, 'failed'])
    const fatal = defineTask({
      run: () => {
        throw new NonRetryableError('never', { code: 'NEVER' })
      },
    })
    const { outcome } = await runTask(fatal)
    assert.ok(outcome.type === 'failed' && outcome.error.code === 'NEVER')
  })

  it('repeats jitter with its seed', async () => {
    const fails = defineTask({
      run: () => {
        throw new Error('no')
      },
    })
    const runAt = async (seed?: number): Promise<unknown> => {
      const { outcome } = await runTask(fails, undefined, seed === undefined ? {} : { seed })
      return outcome.type === 'retry' && outcome.runAt
    }
    assert.equal(await runAt(5), await runAt(5))
    assert.equal(await runAt(), await runAt(1))
    assert.notEqual(await runAt(5), await runAt(6))
  })

  it('takes a handler that waits for its signal to its timeout', async () => {
    const task = defineTask({ timeout: '30s', run: listens })
    const { outcome, elapsed } = await runTask(task)
    assert.ok(outcome.type === 'retry' && outcome.timedOut && outcome.error.code === 'TASK_TIMEOUT')
    assert.equal(elapsed, 30_000)
    assert.equal((await runTask(task, undefined, { timeout: '2h' })).elapsed, 7_200_000)
  })

  it('waits for what a handler really does, and lets no time pass over it', async () => {
    const task = defineTask({ timeout: 5, run: () => sleep(30, 'done') })
    const { outcome, elapsed } = await runTask(task)
    assert.deepEqual([outcome, elapsed], [{ type: 'succeeded', output: 'done' }, 0])
  })

  it('fails for a handler that nothing ends, and names it', async () => {
    const hangs = defineTask({ run: () => new Promise(() => {}) })
    await assert.rejects(runTask(hangs, undefined, { realTimeout: 30, name: 'resize' }), {
      code: 'ERR_ASSERTION',
      message:
        'the handler of resize (attempt 1) has not settled within 30ms of real time; it has run for 0ms by the clock and has no timeout: nothing will end it',
    })
    const deaf = defineTask({ timeout: '30s', run: () => new Promise(() => {}) })
    await assert.rejects(runTask(deaf, undefined, { realTimeout: 30 }), {
      message: /its timeout has passed and it does not listen/,
    })
    const hangsInSetup = defineTask({ timeout: '30s', setup: () => new Promise<void>(() => {}), run: () => 1 })
    await assert.rejects(runTask(hangsInSetup, undefined, { realTimeout: 30 }), { code: 'ERR_ASSERTION' })
  })

  it('stops by the signal as a cancel does', async () => {
    const controller = new AbortController()
    const task = defineTask({ timeout: '1h', run: listens })
    const running = runTask(task, undefined, { signal: controller.signal, realTimeout: '1m', timeout: '100d' })
    controller.abort(new Error('it is Sunday'))
    const { outcome, elapsed } = await running
    assert.ok(outcome.type === 'cancelled')
    assert.match(outcome.error.message, /it is Sunday/)
    assert.equal(elapsed, 0)
    let calls = 0
    const never = await runTask(defineTask({ run: () => void calls++ }), undefined, { signal: AbortSignal.abort('no') })
    assert.ok(never.outcome.type === 'cancelled')
    assert.match(never.outcome.error.message, /: no$/)
    assert.equal(calls, 0)
  })

  it('gives the handler all that an attempt has', async () => {
    const seen = defineTask({
      run: (_: undefined, ctx) => {
        const { id, name, attempt, retries, createdAt, previous, metadata, context, saved } = ctx
        return { id, name, attempt, retries, createdAt, previous, metadata, context, saved } as object
      },
    })
    const { outcome, saved } = await runTask(seen, undefined, {
      id: 'x',
      name: 'seen',
      attempt: 4,
      retries: 1,
      saved: { page: 3 },
      metadata: { user: 1 },
      context: 'request 9',
      previous: { outcome: 'crashed' },
      now: '2031-01-01',
    })
    const now = Date.UTC(2031, 0, 1)
    assert.deepEqual(outcome.type === 'succeeded' && outcome.output, {
      id: 'x',
      name: 'seen',
      attempt: 4,
      retries: 1,
      createdAt: now,
      previous: { number: 3, startedAt: now, finishedAt: now, outcome: 'crashed' },
      metadata: { user: 1 },
      context: 'request 9',
      saved: { page: 3 },
    })
    assert.deepEqual(saved, { page: 3 })
    const first = defineTask({ run: (_: undefined, { attempt, previous }) => [attempt, previous?.outcome ?? null] })
    assert.deepEqual((await runTask(first)).outcome, { type: 'succeeded', output: [1, null] })
    assert.deepEqual((await runTask(first, undefined, { attempt: 2 })).outcome, {
      type: 'succeeded',
      output: [2, 'retry'],
    })
    assert.deepEqual((await runTask(first, undefined, { previous: { outcome: 'crashed', number: 6 } })).outcome, {
      type: 'succeeded',
      output: [7, 'crashed'],
    })
  })

  it('calls setup before and its teardown after', async () => {
    const told: string[] = []
    const task = defineTask({
      setup: async () => {
        told.push('setup')
        return async () => {
          await sleep(5)
          told.push('teardown')
        }
      },
      run: () => void told.push('run'),
    })
    await runTask(task)
    assert.deepEqual(told, ['setup', 'run', 'teardown'])
  })

  it('refuses options that are wrong, and names them', async () => {
    const task = defineTask({ run: () => 1 })
    for (const [options, message] of [
      [{ attempt: 0 }, /attempt: must be an integer of at least 1, got 0/],
      [{ attempt: '2' }, /attempt: must be an integer of at least 1, got '2'/],
      [{ now: 'yesterday' }, /now: must be/],
      [{ realTimeout: 'soon' }, /realTimeout: must be/],
      [{ timeout: 'soon' }, /timeout: must be/],
    ] as const)
      await assert.rejects(runTask(task, undefined, options as object), { code: 'INVALID_INPUT', message })
  })

  it('shows an output that JSON cannot hold as the runner does', async () => {
    const task = defineTask({ run: () => new Date(0) })
    const { outcome, logs } = await runTask(task)
    assert.ok(outcome.type === 'succeeded' && outcome.output === undefined)
    assert.equal(outcome.outputError?.code, 'INVALID_INPUT')
    assert.deepEqual(
      logs.map(({ message, fields }) => [message, fields['code']]),
      [['background runner fault', 'INVALID_INPUT']],
    )
  })

  it('tells a task that puts itself off', async () => {
    const task = defineTask({
      run: () => {
        throw new RetryLaterError({ delay: '7s' })
      },
    })
    const { outcome } = await runTask(task, undefined, { attempt: 3 })
    assert.ok(outcome.type === 'retry')
    assert.deepEqual([outcome.runAt - DAWN, outcome.countsAsAttempt], [7_000, false])
  })

  it('refuses what is no definition', async () => {
    await assert.rejects(runTask({ run: () => 1 } as unknown as TaskDefinition<undefined>), { code: 'INVALID_INPUT' })
    await assert.rejects(runTask(undefined as unknown as TaskDefinition<undefined>), { code: 'INVALID_INPUT' })
  })
})
