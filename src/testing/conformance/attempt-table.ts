/**
 * SEMANTICS.md, "One attempt": the table, cell by cell, and the precedence of cancel, timeout and shutdown.
 *
 * Not here, since they need several processes: the column "its lease was lost" and the row "its process dies".
 */
import assert from 'node:assert/strict'
import { defineTask, RetryLaterError, type TaskHandle, type TaskRecord } from '../../index.js'
import type { Call } from './handler.js'
import { codeOf, every, recordOf, refusedWith, same } from './tools.js'
import { type Body, type Topic, topic, type World } from './world.js'

type Row = 'resolves' | 'rejects' | 'throws RetryLaterError' | 'never settles'
type Asked = 'cancel' | 'timeout' | 'shutdown'

const CODES = { cancel: 'TASK_CANCELLED', timeout: 'TASK_TIMEOUT', shutdown: 'RUNNER_CLOSED' } as const
const DEADLINE = 1_000
const GRACE = 2_000

/** What is seen of a task some time after its handler did something. */
interface Seen {
  readonly record: TaskRecord
  readonly events: readonly string[]
  /** ms from the verdict, or from now, until it is due again */
  readonly dueIn: number
}

/**
 * One task, one attempt: asks for what is in `asked`, in this order, then lets the handler do what `row` says.
 * A second task keeps the runner open during a shutdown, so that the truth can be asked for.
 */
function cell(row: Row, asked: readonly Asked[], check: (seen: Seen) => void, attempts = 3): Body {
  return async (t) => {
    const work = t.handler()
    const keeper = t.handler()
    const timeoutFirst = asked.indexOf('timeout') < (asked.indexOf('shutdown') + 1 || Number.POSITIVE_INFINITY) - 1
    const runner = await t.runner({
      tasks: {
        work: defineTask({
          retry: every(5_000, attempts),
          ...(asked.includes('timeout') && { timeout: timeoutFirst ? 500 : 1_200 }),
          run: work.run,
        }),
        keeper: defineTask({ run: keeper.run }),
      },
      cancelGrace: GRACE,
    })
    const told = t.listen(runner)
    await runner.submit('keeper')
    await keeper.call()
    const task = await runner.submit('work', 1)
    const call = await work.call()
    same(call.ctx.signal.aborted, false, 'its signal is aborted')
    const closing = await ask(t, task, asked, () => runner.close({ deadline: DEADLINE, drain: false }))
    if (asked[0] !== undefined) {
      assert.equal(call.ctx.signal.aborted, true, 'its signal is aborted')
      assert.equal(codeOf(call.ctx.signal.reason), CODES[asked[0]])
    }
    settle(call, row)
    await t.settle()
    const record =
      row === 'never settles'
        ? await recordOf(task)
        : await t.until(async () => {
            const seen = await recordOf(task)
            return seen.state === 'running' ? undefined : seen
          }, 'the attempt has a verdict')
    check({
      record,
      events: told.filter((each) => each.record.id === task.id).map(({ event }) => event),
      dueIn: record.runAt - t.clock.now(),
    })
    if (closing !== undefined) {
      await t.advance(2_000)
      await closing
    }
  }
}

/** Asks for each in turn, 100 ms apart where time need not pass by itself. Gives the promise of `close`, if it was asked for. */
async function ask(
  t: World,
  task: TaskHandle,
  asked: readonly Asked[],
  close: () => Promise<unknown>,
): Promise<Promise<unknown>[] | undefined> {
  let closing: Promise<unknown>[] | undefined
  for (const each of asked) {
    if (each === 'cancel') await task.cancel({ reason: 'it is Sunday' })
    if (each === 'timeout') await t.advance(asked.indexOf('shutdown') === 0 ? 200 : 500)
    if (each === 'shutdown') {
      closing = [close()] // in an array, so that it is not awaited here
      await t.advance(DEADLINE)
    }
  }
  await t.settle()
  return closing
}

function settle(call: Call, row: Row): void {
  if (row === 'resolves') call.resolve('mail sent')
  if (row === 'rejects') call.reject(new Error('connection lost'))
  if (row === 'throws RetryLaterError') call.reject(new RetryLaterError({ delay: '7s' }))
}

const last = ({ record }: Seen): TaskRecord['attempts'][number] | undefined => record.attempts.at(-1)

function succeeded(seen: Seen, timedOut = false): void {
  assert.equal(seen.record.state, 'succeeded')
  assert.equal(seen.record.output, 'mail sent')
  assert.equal(last(seen)?.outcome, 'succeeded')
  assert.equal(last(seen)?.timedOut, timedOut ? true : undefined)
  assert.equal(seen.events.at(-1), 'succeeded')
}

function cancelled(seen: Seen, thrown: string): void {
  assert.equal(seen.record.state, 'cancelled')
  assert.equal(seen.record.error?.code, 'TASK_CANCELLED')
  assert.match(seen.record.error?.message ?? '', /it is Sunday/)
  assert.equal(last(seen)?.outcome, 'cancelled')
  assert.match(last(seen)?.error?.message ?? '', new RegExp(thrown), 'what the handler threw is kept in the history')
  assert.equal(seen.record.finishedAt, last(seen)?.finishedAt)
  assert.equal(seen.events.at(-1), 'cancelled')
}

function timedOutAgain(seen: Seen): void {
  assert.equal(seen.record.state, 'scheduled')
  assert.equal(seen.dueIn, 5_000, 'by policy')
  assert.equal(seen.record.error?.code, 'TASK_TIMEOUT')
  assert.equal(last(seen)?.outcome, 'retry')
  assert.equal(last(seen)?.timedOut, true)
  assert.equal(seen.record.maxAttempts, 3, 'the attempt is used')
  assert.equal(seen.events.at(-1), 'retrying')
}

function released(seen: Seen): void {
  assert.equal(seen.record.state, 'queued')
  assert.equal(last(seen)?.outcome, 'released')
  assert.equal(seen.record.attempt, 1)
  assert.equal(seen.record.maxAttempts, 4, 'no attempt is used')
}

function later(seen: Seen): void {
  assert.equal(seen.record.state, 'scheduled')
  assert.equal(seen.dueIn, 7_000, 'as the handler asked')
  assert.equal(seen.record.maxAttempts, 4, 'no attempt is used')
  assert.equal(last(seen)?.outcome, 'retry')
  assert.equal(seen.events.at(-1), 'retrying')
}

export const attemptTable: Topic = topic('one attempt', {
  'resolves, and nothing was asked: succeeded': cell('resolves', [], (seen) => succeeded(seen)),
  'resolves, and cancel was asked: succeeded, since the record says what happened': cell(
    'resolves',
    ['cancel'],
    (seen) => {
      succeeded(seen)
      assert.ok(seen.record.cancelRequestedAt !== undefined, 'the wish is told, too')
    },
  ),
  'resolves, and its timeout fired: succeeded, and the history says timedOut': cell('resolves', ['timeout'], (seen) =>
    succeeded(seen, true),
  ),
  'resolves, and the shutdown deadline passed: succeeded': cell('resolves', ['shutdown'], (seen) => succeeded(seen)),

  'rejects, and nothing was asked: tried again by policy': cell('rejects', [], (seen) => {
    assert.equal(seen.record.state, 'scheduled')
    assert.equal(seen.dueIn, 5_000)
    assert.equal(seen.record.error?.message, 'connection lost')
    assert.equal(last(seen)?.outcome, 'retry')
    assert.equal(last(seen)?.timedOut, undefined)
    assert.equal(seen.events.at(-1), 'retrying')
  }),
  'rejects, nothing was asked, and no attempt is left: failed': cell(
    'rejects',
    [],
    (seen) => {
      assert.equal(seen.record.state, 'failed')
      assert.equal(seen.record.error?.message, 'connection lost')
      assert.equal(last(seen)?.outcome, 'failed')
      assert.equal(seen.events.at(-1), 'failed')
    },
    1,
  ),
  'rejects, and cancel was asked: cancelled, and the error is kept in the history': cell(
    'rejects',
    ['cancel'],
    (seen) => cancelled(seen, 'connection lost'),
  ),
  'rejects, and its timeout fired: TaskTimeoutError, tried again': cell('rejects', ['timeout'], timedOutAgain),
  'rejects, its timeout fired, and no attempt is left: TaskTimeoutError, failed': cell(
    'rejects',
    ['timeout'],
    (seen) => {
      assert.equal(seen.record.state, 'failed')
      assert.equal(seen.record.error?.code, 'TASK_TIMEOUT')
      assert.equal(last(seen)?.timedOut, true)
    },
    1,
  ),
  'rejects, and the shutdown deadline passed: queued again, and no attempt is used': cell(
    'rejects',
    ['shutdown'],
    released,
  ),

  'throws RetryLaterError, and nothing was asked: scheduled': cell('throws RetryLaterError', [], later),
  'throws RetryLaterError, and cancel was asked: cancelled': cell('throws RetryLaterError', ['cancel'], (seen) =>
    cancelled(seen, 'run again'),
  ),
  'throws RetryLaterError, and its timeout fired: scheduled': cell('throws RetryLaterError', ['timeout'], (seen) => {
    later(seen)
    assert.equal(last(seen)?.timedOut, true)
  }),
  'throws RetryLaterError, and the shutdown deadline passed: scheduled': cell(
    'throws RetryLaterError',
    ['shutdown'],
    later,
  ),

  'never settles, and nothing was asked: running': async (t) => {
    const work = t.handler()
    const runner = await t.runner({ tasks: { work: defineTask({ run: work.run }) } })
    const told = t.listen(runner)
    const task = await runner.submit('work', 1)
    const call = await work.call()
    await t.clock.leap(30 * 86_400_000)
    assert.equal((await recordOf(task)).state, 'running')
    same(call.ctx.signal.aborted, false, 'its signal is aborted')
    assert.deepEqual(
      told.map(({ event }) => event),
      ['submitted', 'started'],
    )
  },
  'never settles, and cancel was asked: running, and unresponsive after cancelGrace': async (t) => {
    const work = t.handler()
    const runner = await t.runner({ tasks: { work: defineTask({ run: work.run }) }, cancelGrace: GRACE })
    const told = t.listen(runner)
    const task = await runner.submit('work', 1)
    await work.call()
    await task.cancel()
    await t.advance(GRACE - 1)
    assert.ok(!told.some(({ event }) => event === 'unresponsive'), 'not before its grace is over')
    await t.advance(1)
    await t.until(() => told.some(({ event }) => event === 'unresponsive'), 'unresponsive is told')
    await t.advance(10 * GRACE)
    const { record } = told.at(-1) ?? {}
    assert.equal(record?.id, task.id)
    assert.equal(record?.state, 'running')
    assert.equal((await recordOf(task)).state, 'running')
    assert.deepEqual(
      told.map(({ event }) => event),
      ['submitted', 'started', 'unresponsive'],
      'it is told once',
    )
  },
  'never settles, and its timeout fired: running, and unresponsive after cancelGrace': async (t) => {
    const work = t.handler()
    const runner = await t.runner({ tasks: { work: defineTask({ timeout: 500, run: work.run }) }, cancelGrace: GRACE })
    const told = t.listen(runner)
    const task = await runner.submit('work', 1)
    await work.call()
    await t.advance(500 + GRACE - 1)
    assert.ok(!told.some(({ event }) => event === 'unresponsive'), 'not before its grace is over')
    await t.advance(1)
    await t.until(() => told.some(({ event }) => event === 'unresponsive'), 'unresponsive is told')
    assert.equal((await recordOf(task)).state, 'running')
  },
  'never settles, and the shutdown deadline passed: abandoned': async (t) => {
    const work = t.handler()
    const runner = await t.runner({ tasks: { work: defineTask({ run: work.run }) } })
    await runner.submit('work', 1)
    const call = await work.call()
    const closing = runner.close({ deadline: DEADLINE, drain: false })
    await t.advance(DEADLINE)
    assert.equal(codeOf(call.ctx.signal.reason), 'RUNNER_CLOSED')
    await t.advance(1_000)
    assert.deepEqual(await closing, { completed: 0, returned: 0, abandoned: 1, pending: 0 })
  },

  'cancel wins over a timeout that fired before it': cell('rejects', ['timeout', 'cancel'], (seen) => {
    cancelled(seen, 'connection lost')
    assert.equal(last(seen)?.timedOut, true)
  }),
  'cancel wins over a timeout that fired after it': cell('rejects', ['cancel', 'timeout'], (seen) => {
    cancelled(seen, 'connection lost')
    assert.equal(last(seen)?.timedOut, true)
  }),
  'cancel wins over a shutdown before it': cell('rejects', ['shutdown', 'cancel'], (seen) =>
    cancelled(seen, 'connection lost'),
  ),
  'cancel wins over a shutdown after it': cell('rejects', ['cancel', 'shutdown'], (seen) =>
    cancelled(seen, 'connection lost'),
  ),
  'a timeout wins over a shutdown before it': cell('rejects', ['shutdown', 'timeout'], timedOutAgain),
  'a timeout wins over a shutdown after it': cell('rejects', ['timeout', 'shutdown'], timedOutAgain),
  'cancel wins over timeout and shutdown together': cell('rejects', ['timeout', 'shutdown', 'cancel'], (seen) =>
    cancelled(seen, 'connection lost'),
  ),
  'a success wins over cancel, timeout and shutdown together': cell(
    'resolves',
    ['timeout', 'shutdown', 'cancel'],
    (seen) => succeeded(seen, true),
  ),

  'the reason of the signal contains the reason that was given': async (t) => {
    const work = t.handler()
    const runner = await t.runner({ tasks: { work: defineTask({ run: work.run }) } })
    const task = await runner.submit('work', 1)
    const call = await work.call()
    await task.cancel({ reason: 'the order was withdrawn' })
    const reason = call.ctx.signal.reason as Error & { code?: unknown }
    assert.ok(reason instanceof Error, 'the reason is an Error')
    assert.equal(reason.name, 'TaskCancelledError')
    assert.match(reason.message, /the order was withdrawn/)
    await refusedWith((async () => call.ctx.signal.throwIfAborted())(), reason)
  },

  'a signal that is looked at after the abort is aborted already': async (t) => {
    const work = t.handler()
    const runner = await t.runner({ tasks: { work: defineTask({ timeout: 100, run: work.run }) } })
    const task = await runner.submit('work', 1)
    const { ctx } = await work.call()
    await t.advance(100)
    assert.equal((await recordOf(task)).state, 'running')
    const { signal } = ctx
    same(signal.aborted, true, 'its signal is aborted')
    assert.equal((signal.reason as Error).name, 'TaskTimeoutError')
    assert.match((signal.reason as Error).message, /100/)
  },

  'an abort wakes a handler that listens': async (t) => {
    const runner = await t.runner({
      tasks: {
        work: defineTask({
          run: (_input: unknown, { signal }) =>
            new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
        }),
      },
    })
    const task = await runner.submit('work', 1)
    await t.reaches(runner, task, 'running')
    await t.settle()
    await task.cancel({ reason: 'enough' })
    assert.match((await t.reaches(runner, task, 'cancelled')).error?.message ?? '', /enough/)
  },
})
