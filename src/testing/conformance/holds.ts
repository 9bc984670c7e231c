/**
 * Holds (DESIGN.md, `RetryLaterError`): `hold: true` keeps every task of a name from starting until then, after which one
 * goes first as a probe. The cases follow the rules that local/holds.ts has in its first lines.
 */
import assert from 'node:assert/strict'
import { type BackgroundRunner, defineTask, NonRetryableError, RetryLaterError, type RetryPolicy } from '../../index.js'
import type { Handler } from './handler.js'
import { called, joined, settled } from './processes.js'
import { codeOf, every, ids, nth, recorder, recordOf, same } from './tools.js'
import { type Setup, type Topic, topic, type World } from './world.js'

/** ms for which a name is held, where nothing else is said. */
const MINUTE = 60_000

/** What a handler throws to have its name held. */
function sick(delay: number = MINUTE, message: string = 'the login was refused'): RetryLaterError {
  return new RetryLaterError({ delay, hold: true, cause: Object.assign(new Error(message), { code: 'EAUTH' }) })
}

/** A hold, or its end, as a runner tells of it: `until` in ms from the start of the test. */
type Told = readonly ['held', name: string, until: number] | readonly ['unheld', name: string]

/** What `runner` tells of holds from now on. */
function listen(t: World, runner: BackgroundRunner): Told[] {
  const start = t.clock.now()
  const told: Told[] = []
  runner.on('held', ({ name, until }) => void told.push(['held', name, until - start]))
  runner.on('unheld', ({ name }) => void told.push(['unheld', name]))
  return told
}

/** A runner with `work`, which is settled by hand, and `other`, which is done at once. */
async function working(
  t: World,
  setup: Partial<Setup> & { readonly definition?: { retry?: RetryPolicy; concurrency?: number } } = {},
): Promise<{ runner: BackgroundRunner; work: Handler; told: Told[] }> {
  const { definition = {}, ...options } = setup
  const work = t.handler()
  const runner = await t.runner({
    tasks: {
      work: defineTask({ retry: every(1_000), ...definition, run: work.run }),
      other: defineTask({ run: () => 'done' }),
    },
    concurrency: 3,
    ...options,
  })
  return { runner, work, told: listen(t, runner) }
}

/** Waits until the attempt of call `n` has its verdict: it runs no more. */
async function over(t: World, runner: BackgroundRunner, work: Handler, n: number): Promise<void> {
  const call = await work.call(n)
  await t.until(async () => {
    const record = await runner.status(call.ctx.id)
    return record?.state !== 'running' || record.attempt !== call.ctx.attempt
  }, `call ${n} has its verdict`)
  await t.settle()
}

/** Call `n` asks for a hold. */
async function falls(t: World, runner: BackgroundRunner, work: Handler, n: number, error = sick()): Promise<void> {
  ;(await work.call(n)).reject(error)
  await over(t, runner, work, n)
}

/** A runner with three tasks of `work`, submitted as 1, 2 and 3, whose name is held since the first one ran. */
async function held(t: World, setup: Parameters<typeof working>[1] = {}) {
  const made = await working(t, { concurrency: 1, ...setup })
  const tasks = await made.runner.submitMany('work', [1, 2, 3])
  await falls(t, made.runner, made.work, 1)
  if (setup.concurrency === undefined) made.runner.concurrency = 3
  await t.settle()
  return { ...made, tasks }
}

async function untils(t: World, runner: BackgroundRunner): Promise<[string, number][]> {
  const all = (await runner.holds()).map(({ name, until }): [string, number] => [name, until - t.clock.now()])
  return all.sort(([a], [b]) => (a < b ? -1 : 1))
}

export const heldNames: Topic = topic('holds', {
  'a name is held by RetryLaterError with hold: its task is put back, and no other of the name starts': async (t) => {
    const { runner, work, told, tasks } = await held(t)
    const { state, runAt, attempt, maxAttempts, error } = await recordOf(nth(tasks, 0))
    assert.deepEqual([state, runAt - t.clock.now(), attempt, maxAttempts], ['scheduled', MINUTE, 1, 4])
    assert.deepEqual(told, [['held', 'work', MINUTE]])
    const [hold, ...more] = await runner.holds()
    assert.deepEqual(hold, { name: 'work', until: runAt, error })
    assert.deepEqual([more, hold?.error.code, hold?.error.cause?.code], [[], 'RETRY_LATER', 'EAUTH'])
    const late = await runner.submit('work', 4, { priority: 9 })
    await t.advance(MINUTE - 1)
    work.wasCalled(1, 'before its time')
    for (const task of [nth(tasks, 1), nth(tasks, 2), late]) assert.equal((await recordOf(task)).state, 'queued')
  },

  'no name is held by RetryLaterError without hold, nor by another error': async (t) => {
    const { runner, work, told } = await working(t)
    await runner.submitMany('work', [1, 2])
    await falls(t, runner, work, 1, new RetryLaterError({ delay: MINUTE }))
    await falls(t, runner, work, 2, Object.assign(new RetryLaterError({ delay: 1 }), { hold: 'yes' }))
    await runner.submit('work', 3)
    await falls(t, runner, work, 3, Object.assign(new Error('no luck'), { hold: true }) as never)
    assert.deepEqual([told, await runner.holds()], [[], []])
  },

  'other names are not delayed, whatever their order': async (t) => {
    const { runner } = await held(t, { concurrency: 1 })
    await runner.setPriority((await runner.submit('work', 4)).id, 9)
    const other = await runner.submit('other', undefined, { priority: -9 })
    assert.equal((await other.wait()).state, 'succeeded')
  },

  'what runs goes on while its name is held, and lifts nothing, however it ends': async (t) => {
    const { runner, work, told } = await working(t, { concurrency: 4 })
    await runner.submitMany('work', [1, 2, 3, 4])
    await work.call(4)
    await falls(t, runner, work, 1)
    same(work.calls[1]?.ctx.signal.aborted, false, 'the signal of another one')
    nth(work.calls, 1).resolve('done')
    nth(work.calls, 2).reject(new NonRetryableError('no such mailbox'))
    nth(work.calls, 3).reject(new Error('no luck'))
    for (const n of [2, 3, 4]) await over(t, runner, work, n)
    assert.deepEqual(told, [['held', 'work', MINUTE]])
    await t.advance(MINUTE - 1)
    work.wasCalled(4, 'the name is held still')
  },

  'when its time has come one goes first, the best by the usual order, and no other while it runs': async (t) => {
    const { runner, work, told } = await held(t)
    await runner.submit('work', 'best', { priority: 1 })
    await t.advance(MINUTE)
    assert.equal((await work.call(2)).input, 'best')
    await runner.submit('work', 'better', { priority: 2 })
    await t.advance(10 * MINUTE)
    work.wasCalled(2, 'while the probe runs')
    assert.deepEqual(told, [['held', 'work', MINUTE]])
    assert.deepEqual(await untils(t, runner), [['work', -10 * MINUTE]], 'it is held until the probe has answered')
  },

  'a probe that succeeds, fails or is to be tried again lifts the hold, and all others start at once': async (t) => {
    for (const [how, end] of [
      ['succeeds', (call) => call.resolve('done')],
      ['fails', (call) => call.reject(new NonRetryableError('no such mailbox'))],
      ['is tried again', (call) => call.reject(new Error('no luck'))],
      [
        'puts itself off, which counts',
        (call) => call.reject(new RetryLaterError({ delay: 1, countsAsAttempt: true })),
      ],
    ] as readonly (readonly [string, (call: Handler['calls'][number]) => void])[]) {
      const { runner, work, told } = await held(t)
      await t.advance(MINUTE)
      end(await work.call(2))
      await work.call(4)
      work.wasCalled(4, `the probe ${how}`)
      await t.until(() => told.length > 1, `unheld is told when the probe ${how}`)
      assert.deepEqual(told, [
        ['held', 'work', MINUTE],
        ['unheld', 'work'],
      ])
      assert.deepEqual(await runner.holds(), [])
    }
  },

  'a probe that asks for a hold prolongs it, and the next probe comes after that': async (t) => {
    const { runner, work, told } = await held(t)
    await t.advance(MINUTE)
    await falls(t, runner, work, 2, sick(2 * MINUTE, 'the login was refused again'))
    assert.deepEqual(told, [
      ['held', 'work', MINUTE],
      ['held', 'work', 3 * MINUTE],
    ])
    assert.match((await runner.holds())[0]?.error.message ?? '', /again/)
    await t.advance(2 * MINUTE - 1)
    work.wasCalled(2)
    await t.advance(1)
    await work.call(3)
    await t.settle()
    work.wasCalled(3)
  },

  'a probe that says nothing of the transport leaves the hold, and the next best task probes': async (t) => {
    const { runner, work, told } = await held(t)
    await runner.submit('work', 4)
    await t.advance(MINUTE)
    await falls(t, runner, work, 2, new RetryLaterError({ delay: 10 * MINUTE }))
    const second = await work.call(3)
    work.wasCalled(3)
    await runner.cancel(second.ctx.id)
    second.reject(second.ctx.signal.reason)
    const third = await work.call(4)
    await t.settle()
    work.wasCalled(4)
    assert.deepEqual(told, [['held', 'work', MINUTE]])
    third.resolve()
    await work.call(5)
    assert.deepEqual(told.slice(1), [['unheld', 'work']])
  },

  'a probe that is given up on leaves the hold, and its late result lifts nothing': async (t) => {
    const { runner, work, told } = await held(t, { cancelGrace: 1_000 })
    await t.advance(MINUTE)
    const deaf = await work.call(2)
    await runner.cancel(deaf.ctx.id, { force: true })
    await t.advance(1_000)
    await work.call(3)
    deaf.resolve('late')
    await t.advance(MINUTE)
    work.wasCalled(3)
    assert.deepEqual(told, [['held', 'work', MINUTE]])
  },

  'a hold that ends no later than the one there is changes nothing and tells nothing, a later one prolongs it': async (
    t,
  ) => {
    const { runner, work, told } = await working(t)
    await runner.submitMany('work', [1, 2, 3])
    await work.call(3)
    for (const [n, delay] of [
      [1, MINUTE],
      [2, MINUTE],
      [3, MINUTE + 1],
    ] as const)
      await falls(t, runner, work, n, sick(delay, `${n}`))
    assert.deepEqual(told, [
      ['held', 'work', MINUTE],
      ['held', 'work', MINUTE + 1],
    ])
    assert.equal((await runner.holds())[0]?.error.cause?.message, '3')
    await runner.submit('work', 4)
    await t.advance(MINUTE)
    work.wasCalled(3)
    await t.advance(1)
    await work.call(4)
  },

  'an attempt from before prolongs a hold whose time has come; the probe has the last word': async (t) => {
    const { runner, work, told } = await working(t)
    await runner.submitMany('work', [1, 2])
    await work.call(2)
    await falls(t, runner, work, 1)
    await t.advance(MINUTE)
    const probe = await work.call(3)
    await falls(t, runner, work, 2)
    assert.deepEqual(told, [
      ['held', 'work', MINUTE],
      ['held', 'work', 2 * MINUTE],
    ])
    await runner.submit('work', 3)
    await t.advance(2 * MINUTE)
    work.wasCalled(3, 'the probe runs still')
    probe.resolve()
    await work.call(5)
    assert.deepEqual(told.slice(2), [['unheld', 'work']])
  },

  'a task that asks for a hold and ends, since maxAge has passed, is failed; the hold stands': async (t) => {
    const { runner, work, told } = await working(t, { definition: { retry: { attempts: 9, maxAge: 1_000 } } })
    const task = await runner.submit('work', 1)
    await runner.submit('work', 2, { retry: { maxAge: 2 * MINUTE - 1 } })
    await work.call(2)
    await falls(t, runner, work, 1)
    const { state, error } = await task.wait()
    assert.deepEqual([state, error?.code], ['failed', 'RETRY_LATER'])
    await falls(t, runner, work, 2, sick(MINUTE - 1))
    assert.deepEqual(told, [['held', 'work', MINUTE]])
    await t.advance(MINUTE)
    await falls(t, runner, work, 3)
    assert.deepEqual(told.slice(1), [['held', 'work', 2 * MINUTE]], 'a probe that fails like this lifts nothing')
    assert.equal((await runner.counts()).failed, 2)
  },

  'a cancel that was accepted ends the task, and the hold that it asks for stands': async (t) => {
    const { runner, work, told } = await working(t)
    const task = await runner.submit('work', 1)
    const call = await work.call(1)
    await task.cancel()
    call.reject(sick())
    const { state, attempts } = await task.wait()
    await t.settle()
    assert.deepEqual([state, attempts[0]?.error?.code], ['cancelled', 'RETRY_LATER'])
    assert.deepEqual(told, [['held', 'work', MINUTE]])
    assert.equal((await runner.holds())[0]?.error.code, 'RETRY_LATER')
    await runner.submit('work', 2)
    await t.advance(MINUTE - 1)
    work.wasCalled(1)
  },

  'a name stays held until there is a task to probe it': async (t) => {
    const { runner, work, told } = await working(t)
    const task = await runner.submit('work', 1)
    await falls(t, runner, work, 1)
    await task.cancel()
    await t.advance(10 * MINUTE)
    assert.deepEqual(await untils(t, runner), [['work', -9 * MINUTE]])
    await runner.submitMany('work', [2, 3])
    const probe = await work.call(2)
    await t.settle()
    work.wasCalled(2)
    probe.resolve()
    await work.call(3)
    assert.deepEqual(told.slice(1), [['unheld', 'work']])
  },

  'cancel, retry, setPriority and remove of tasks whose name is held work as ever': async (t) => {
    const { runner, work, tasks } = await held(t)
    assert.equal((await nth(tasks, 1).cancel()).state, 'cancelled')
    assert.equal((await nth(tasks, 1).retry()).state, 'queued')
    assert.equal((await nth(tasks, 1).cancel()).state, 'cancelled')
    assert.equal(await runner.remove(nth(tasks, 1).id), true)
    assert.equal((await runner.setPriority(nth(tasks, 0).id, 5)).state, 'scheduled')
    assert.deepEqual(ids((await runner.list()).tasks), [nth(tasks, 2).id, nth(tasks, 0).id])
    await t.advance(MINUTE)
    assert.equal((await work.call(2)).input, 1)
  },

  'several names are held each by itself': async (t) => {
    const handlers = { a: t.handler(), b: t.handler() }
    const runner = await t.runner({
      tasks: { b: defineTask({ run: handlers.b.run }), a: defineTask({ run: handlers.a.run }) },
      concurrency: 5,
    })
    const told = listen(t, runner)
    for (const name of ['b', 'a'] as const) {
      await runner.submit(name, 1)
      await falls(t, runner, handlers[name], 1, sick(name === 'a' ? MINUTE : 2 * MINUTE))
      await runner.submit(name, 2)
    }
    assert.deepEqual(await untils(t, runner), [
      ['a', MINUTE],
      ['b', 2 * MINUTE],
    ])
    await t.advance(MINUTE)
    ;(await handlers.a.call(2)).resolve()
    await handlers.a.call(3)
    handlers.b.wasCalled(1)
    await t.advance(MINUTE)
    await handlers.b.call(2)
    assert.deepEqual(told, [
      ['held', 'b', 2 * MINUTE],
      ['held', 'a', MINUTE],
      ['unheld', 'a'],
    ])
  },

  'a probe waits for a slot of its name, and for resume': async (t) => {
    const { runner, work } = await working(t, { definition: { concurrency: 2 } })
    await runner.submitMany('work', [1, 2, 3])
    await work.call(2)
    await runner.pause()
    await falls(t, runner, work, 1)
    await t.advance(MINUTE)
    work.wasCalled(2, 'while the engine is paused')
    await runner.resume()
    const probe = await work.call(3)
    probe.resolve()
    await work.call(4)
    await t.settle()
    work.wasCalled(4)
  },

  'a runner whose tasks are held is not idle, and close with drain does not wait for them': async (t) => {
    const { runner, work } = await held(t)
    let idle = 0
    runner.on('idle', () => idle++)
    await t.advance(MINUTE / 2)
    same(idle, 0, 'times that idle was told')
    const closing = runner.close({ drain: true, deadline: 10 * MINUTE })
    assert.deepEqual(await closing, { completed: 0, returned: 0, abandoned: 0, pending: 3 })
    work.wasCalled(1)
  },

  'held is told after its task, unheld once, and a listener harms nobody': async (t) => {
    const { runner, work } = await working(t, { concurrency: 1, faults: 'expected' })
    const order: string[] = []
    for (const event of ['retrying', 'succeeded', 'started'] as const) runner.on(event, () => void order.push(event))
    runner.on('held', (hold) => {
      Object.assign(hold, { name: 'mine', until: 0 })
      throw new Error('mine')
    })
    runner.on('held', ({ name, until }) => void order.push(`held ${name} ${until - t.clock.now()}`))
    runner.on('unheld', ({ name }) => void order.push(`unheld ${name}`))
    const task = await runner.submit('work', 1)
    await falls(t, runner, work, 1)
    Object.assign(nth(await runner.holds(), 0), { until: 0 })
    assert.deepEqual(await untils(t, runner), [['work', MINUTE]], 'what is handed out changes nothing')
    await t.advance(MINUTE)
    ;(await work.call(2)).resolve()
    await task.wait()
    await t.settle()
    assert.deepEqual(order, ['started', 'retrying', `held work ${MINUTE}`, 'started', 'succeeded', 'unheld work'])
    assert.deepEqual(
      t.faults.map(({ error, record }) => [(error as Error).message, record]),
      [['mine', undefined]],
    )
  },

  'a task that is retried or released while its name is held waits for its probe too': async (t) => {
    const { runner, work, told } = await working(t)
    const tasks = await runner.submitMany('work', [1, 2])
    ;(await work.call(2)).reject(new NonRetryableError('no such mailbox'))
    await over(t, runner, work, 2)
    await falls(t, runner, work, 1)
    await runner.retry(nth(tasks, 1).id)
    await t.advance(MINUTE)
    await work.call(3)
    await t.settle()
    work.wasCalled(3)
    assert.equal(told.length, 1)
  },

  'the log tells of a hold and of its end, with the name, and why': async (t) => {
    const { logger, lines } = recorder()
    const { work } = await held(t, { logger })
    await t.advance(MINUTE)
    ;(await work.call(2)).resolve()
    await work.call(3)
    await t.settle()
    const ofHolds = lines.filter(({ message }) => message.endsWith('held'))
    const error = 'to be run again in 60000 ms: the login was refused'
    const until = t.clock.now()
    assert.deepEqual(ofHolds, [
      { level: 'warn', message: 'task held', fields: { name: 'work', until, code: 'RETRY_LATER', error } },
      { level: 'info', message: 'task unheld', fields: { name: 'work' } },
    ])
  },

  'holds rejects once the runner is closed': async (t) => {
    const { runner } = await held(t)
    await t.closed(runner)
    await assert.rejects(runner.holds(), (error) => codeOf(error) === 'RUNNER_CLOSED')
  },
})

export const heldOverRestarts: Topic = topic(
  'holds of a durable engine',
  {
    'a hold outlives its runner, and the next one respects it': async (t) => {
      const work = t.handler()
      const open = (): Promise<BackgroundRunner> =>
        t.runner({ tasks: { work: defineTask({ run: work.run }) }, concurrency: 3, storage: 'kept' })
      const first = await open()
      await first.submit('work', 1)
      await falls(t, first, work, 1)
      await first.submitMany('work', [2, 3])
      const before = await first.holds()
      await t.closed(first)
      const second = await open()
      const told = listen(t, second)
      assert.deepEqual(await second.holds(), before)
      const [until] = before.map((hold) => hold.until - t.clock.now())
      await t.advance((until ?? 0) - 1)
      work.wasCalled(1)
      await t.advance(1)
      const probe = await work.call(2)
      await t.settle()
      work.wasCalled(2)
      probe.resolve()
      await work.call(4)
      await t.until(() => told.length > 0, 'unheld is told')
      assert.deepEqual(told, [['unheld', 'work']])
      await t.closed(second)
      const third = await open()
      assert.deepEqual(await third.holds(), [])
    },

    'a probe that its runner hands back as it closes is followed by another one': async (t) => {
      const work = t.handler()
      const open = (): Promise<BackgroundRunner> =>
        t.runner({ tasks: { work: defineTask({ run: work.run }) }, concurrency: 3, storage: 'kept' })
      const first = await open()
      await first.submitMany('work', [1])
      await falls(t, first, work, 1)
      await first.submitMany('work', [2, 3])
      await t.advance(MINUTE)
      const probe = await work.call(2)
      const closing = first.close({ deadline: 0, drain: false })
      await t.advance(0)
      probe.reject(probe.ctx.signal.reason)
      await t.advance(1_000)
      assert.equal((await closing).returned, 1)
      const second = await open()
      await work.call(3)
      await t.settle()
      work.wasCalled(3)
      assert.equal((await second.holds()).length, 1)
    },
  },
  { durable: true },
)

export const heldForAll: Topic = topic(
  'holds of a shared engine',
  {
    'a hold counts for every process, and only one of them probes': async (t) => {
      const works = [t.handler(), t.handler(), t.handler()]
      const runners: BackgroundRunner[] = []
      for (const work of works) runners.push(await joined(t, work.run))
      const [first, second] = [nth(runners, 0), nth(runners, 1)]
      const told = runners.map((runner) => listen(t, runner))
      const calls = (): Handler['calls'] => works.flatMap((work) => work.calls)
      await first.submit('work', 1)
      const call = await t.news(() => calls()[0], 'it runs')
      call.reject(sick(2_000))
      await t.news(async () => (await first.holds()).length > 0, 'the name is held')
      assert.deepEqual(await second.holds(), await first.holds())
      await first.submitMany('work', [2, 3, 4])
      await t.news(() => calls().length > 1, 'a probe starts')
      assert.ok(t.clock.now() >= nth(await second.holds(), 0).until, 'it is not early')
      await t.advance(5_000)
      same(calls().length, 2, 'calls in all processes together')
      nth(
        calls().filter((each) => each !== call),
        0,
      ).resolve()
      await t.news(() => calls().length === 5, 'all others start')
      assert.deepEqual(await second.holds(), [])
      const events = told.flat().map(([event]) => event)
      assert.deepEqual(events.toSorted(), ['held', 'unheld'], 'each is told by the process that did it, alone')
    },

    'holds that are asked for in two processes are one': async (t) => {
      const works = [t.handler(), t.handler()]
      const first = await joined(t, nth(works, 0).run, { concurrency: 1 })
      await first.submitMany('work', [1, 2])
      const one = await called(t, nth(works, 0))
      const second = await joined(t, nth(works, 1).run, { concurrency: 1 })
      const two = await called(t, nth(works, 1))
      const told = [listen(t, first), listen(t, second)]
      one.reject(sick(MINUTE))
      await t.news(async () => (await second.holds()).length > 0, 'the other one knows')
      two.reject(sick(MINUTE - 10_000))
      await settled(
        t,
        t.news(async () => (await second.counts()).scheduled === 2, 'both are put back'),
        'both are put back',
      )
      assert.deepEqual(
        told.map((each) => each.length),
        [1, 0],
      )
    },
  },
  { shared: true },
)
