import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { defineTask, RetryLaterError, type TaskContext } from 'background-runner'
import { createTestRunner, type TestRunner } from 'background-runner/testing'
import { describe, it, vi } from 'vitest'

const tasks = {
  task: defineTask({ run: () => 1 }),
  deaf: defineTask({ run: () => new Promise(() => {}) }),
  limited: defineTask({ timeout: '30s', run: () => new Promise(() => {}) }),
  listens: defineTask({
    timeout: '30s',
    run: (_: undefined, { signal }: TaskContext) =>
      new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
  }),
  busy: defineTask({
    timeout: 1,
    run: (_: undefined, { signal }: TaskContext) => sleep(60_000, undefined, { signal }),
  }),
}

const make = (): TestRunner<typeof tasks> => createTestRunner({ tasks, realTimeout: 60 })

/** Real time is not measured: a wait that nothing ends is at most `realTimeout` long, here 60 ms, else the test's timeout hits. */
async function failure(promise: Promise<unknown>): Promise<string> {
  const error = await promise.then(
    () => assert.fail('it did not fail'),
    (thrown: NodeJS.ErrnoException) => thrown,
  )
  assert.equal(error.code, 'ERR_ASSERTION', error.message)
  return error.message
}

describe('a wait that nothing can end', () => {
  it('fails at once for a task that is scheduled, and says when it would run', async () => {
    const t = createTestRunner({ tasks, realTimeout: '1h' })
    const task = await t.runner.submit('task', undefined, { delay: '90s', id: 'x' })
    const message =
      "task task 'x' is scheduled for 2030-01-01T00:01:30.000Z, and the clock stands 1m30s before: clock.advance(90000) would run it"
    assert.equal(await failure(task.wait()), message)
    assert.equal(await failure(task.result()), message)
    assert.equal(await failure(t.runner.wait('x')), message)
    assert.equal(await failure(t.runner.onIdle()), `the runner is not idle:\n  ${message}`)
  })

  it('fails at once while the runner is paused', async () => {
    const t = createTestRunner({ tasks, realTimeout: '1h' })
    await t.runner.pause()
    const task = await t.runner.submit('task', undefined, { id: 'x' })
    assert.equal(
      await failure(task.wait()),
      "task task 'x' is due, but the runner is paused, or was made with work: false",
    )
  })

  it('fails after realTimeout for a task that is due, and says that the test has to run it', async () => {
    const t = make()
    const task = await t.runner.submit('task', undefined, { id: 'x' })
    assert.equal(
      await failure(task.wait()),
      "task task 'x' is due, and nothing runs by itself in a test: call drain(), runNext() or clock.advance()",
    )
  })

  it('fails after realTimeout for a task that runs, and names its handler', async () => {
    const t = make()
    const task = await t.runner.submit('deaf', undefined, { id: 'x' })
    await t.clock.advance('1m')
    assert.equal(
      await failure(task.result()),
      "the handler of deaf (task 'x', attempt 1) has not settled; it has run for 1m by the clock and has no timeout: nothing will end it",
    )
    assert.match(await failure(t.runner.onIdle()), /^the runner is not idle:\n {2}the handler of deaf \(task 'x'/)
    await t.runner.close()
  })

  it('is no unhandled rejection while the test looks elsewhere', async () => {
    const t = createTestRunner({ tasks, realTimeout: 20 })
    const task = await t.runner.submit('task', undefined, { delay: '1h' })
    const waits = [task.wait(), task.result(), t.runner.onIdle()]
    await sleep(60)
    for (const wait of waits) await failure(wait)
  })

  it('goes on where the test drives the runner meanwhile', async () => {
    const t = createTestRunner({ tasks, realTimeout: 20 })
    const task = await t.runner.submit('task')
    const later = await t.runner.submit('task', undefined, { delay: '1h' })
    const [result, idle] = [task.result(), t.runner.onIdle()]
    await t.drain()
    assert.equal(await result, 1)
    const waited = later.wait()
    await t.clock.advance('1h')
    assert.equal((await waited).state, 'succeeded')
    await idle
  })

  it('settles as in production where it can', async () => {
    const t = make()
    const task = await t.runner.submit('task')
    await assert.rejects(t.runner.wait('unknown'), { code: 'TASK_NOT_FOUND' })
    const aborted = task.wait({ signal: AbortSignal.abort(new Error('enough')) })
    await assert.rejects(aborted, /enough/)
    const limited = task.wait({ timeout: '5s' })
    await t.runner.pause()
    const advanced = t.clock.advance('5s')
    await assert.rejects(limited, { code: 'WAIT_TIMEOUT' })
    await advanced
    const closed = assert.rejects(task.wait(), { code: 'RUNNER_CLOSED' })
    await t.runner.close()
    await closed
  })
})

describe('a drive that nothing can end', () => {
  it('names the handler and what would end it: nothing', async () => {
    const t = make()
    await t.runner.submit('deaf', undefined, { id: 'x' })
    assert.equal(
      await failure(t.drain()),
      "the handler of deaf (task 'x', attempt 1) has not settled within 60ms of real time; it has run for 0ms by the clock and has no timeout: nothing will end it",
    )
  })

  it('names the handler and what would end it: its timeout', async () => {
    const t = make()
    await t.runner.submit('listens', undefined, { id: 'x' })
    assert.equal(
      await failure(t.runNext()),
      "the handler of listens (task 'x', attempt 1) has not settled within 60ms of real time; its timeout is 30s away: clock.advance(30000) would end it",
    )
    await t.clock.advance(30_000)
    assert.equal(t.submitted('listens')[0]?.error?.code, 'TASK_TIMEOUT')
  })

  it('names the handler and what would end it: to listen', async () => {
    const t = createTestRunner({ tasks, mode: 'inline', realTimeout: 60 })
    assert.equal(
      await failure(t.runner.submit('limited', undefined, { id: 'x' })),
      "the handler of limited (task 'x', attempt 1) has not settled within 60ms of real time; its timeout has passed and it does not listen: to stop, a handler must reject when ctx.signal aborts",
    )
  })

  it('names the task that asks for another attempt each time', async () => {
    const later = defineTask({ run: () => Promise.reject(new RetryLaterError({ delay: '1m' })) })
    const t = createTestRunner({ tasks: { later }, mode: 'inline' })
    assert.equal(
      await failure(t.runner.submit('later', undefined, { id: 'x' })),
      "the handler of later (task 'x', attempt 5001) was not the last one: it has been tried 5000 times without an end",
    )
    await t.runner.close({ drain: false })
  })

  it('names the handler that is at work for too long, and what it waits for', async () => {
    const t = make()
    await t.runner.submit('busy', undefined, { id: 'x' })
    assert.equal(
      await failure(t.clock.advance('1h')),
      "the handler of busy (task 'x', attempt 1) has not settled within 60ms of real time; it waits for Timeout",
    )
    await t.runner.close({ deadline: 0 })
  })

  it('names all the handlers', async () => {
    const t = make()
    await t.runner.submit('deaf', undefined, { id: 'x' })
    await t.runner.submit('deaf', undefined, { id: 'y' })
    assert.match(
      await failure(t.drain()),
      /^the handler of deaf \(task 'x', attempt 1\) has not settled within 60ms of real time, nor have 1 more \(the handler of deaf \(task 'y', attempt 1\)\)/,
    )
  })

  it('does not fail where the test settles the handler meanwhile', async () => {
    let settle = (_output: string): void => {}
    const t = createTestRunner({
      tasks: {
        deferred: defineTask({
          run: () =>
            new Promise<string>((resolve) => {
              settle = resolve
            }),
        }),
      },
    })
    await t.runner.submit('deferred')
    const drained = t.drain()
    await sleep(20)
    settle('done')
    assert.equal((await drained)[0]?.output, 'done')
  })

  it('says that tasks are due which wait for the slot of a handler that hangs', async () => {
    const t = createTestRunner({ tasks, concurrency: 1, realTimeout: 60 })
    await t.runner.submit('deaf', undefined, { id: 'x' })
    await t.clock.advance(1)
    await t.runner.submit('task')
    assert.match(await failure(t.drain()), /^the handler of deaf \(task 'x', attempt 1\) has not settled/)
  })

  it('fails where the timers of Node are faked, whatever drives', async () => {
    const message =
      'nothing happened within 60ms of real time: tasks are due and none begins; are the timers of Node faked?'
    vi.useFakeTimers()
    try {
      for (const drive of ['drain', 'runNext', 'advance'] as const) {
        const t = make()
        await t.runner.submit('task', undefined, { delay: '1h' })
        if (drive === 'advance') assert.equal(await failure(t.clock.advance('1h')), message)
        else {
          await t.clock.advance('1h').catch(() => {})
          assert.equal(await failure(t[drive]()), message)
        }
      }
    } finally {
      vi.useRealTimers()
    }
  })

  it('ends at once where the runner is closed', async () => {
    const t = createTestRunner({ tasks, realTimeout: '1h' })
    await t.runner.submit('task')
    await t.runner.close()
    assert.deepEqual(await t.drain(), [])
    assert.equal(await t.runNext(), undefined)
    const before = t.clock.now()
    await t.clock.advance('1h')
    assert.equal(t.clock.now() - before, 3_600_000)
    const inline = createTestRunner({ tasks, mode: 'inline', realTimeout: '1h' })
    const submitted = inline.runner.submit('listens')
    await inline.runner.close({ deadline: 0 })
    await submitted
  })

  it('fails where tasks bring each other forth for ever', async () => {
    const t = createTestRunner({
      tasks: { again: defineTask({ run: () => void t.runner.submit('again') }) },
      retention: { count: 10 },
    })
    await t.runner.submit('again')
    assert.equal(
      await failure(t.drain()),
      'more than 100000 attempts at one instant: do tasks submit each other, or themselves?',
    )
    await t.runner.pause()
    await t.runner.close()
  }, 60_000)
})
