/**
 * SEMANTICS.md, "Limits": keyed concurrency, rate limits and resources, for all processes on a storage together. Each
 * case looks at what truly runs, at every step.
 */
import assert from 'node:assert/strict'
import { type BackgroundRunner, defineTask, type RunnerOptions, type TaskMap } from '../../index.js'
import type { Handler } from './handler.js'
import { joined } from './processes.js'
import { refused } from './tools.js'
import { type Topic, topic, type World } from './world.js'

interface Tenant {
  readonly tenant: string
  readonly n?: number
}

const byTenant = (input: unknown): string => (input as Tenant).tenant
/** Inputs of one tenant. */
const of = (tenant: string, count: number): Tenant[] => Array.from({ length: count }, (_, i) => ({ tenant, n: i + 1 }))
/** `a1 a2 b1` for what runs now, or was called, in the order of the calls. */
const said = (calls: readonly { readonly input: unknown }[]): string =>
  calls.map(({ input }) => `${(input as Tenant).tenant}${(input as Tenant).n ?? ''}`).join(' ')

async function runs(t: World, work: Handler, expected: string): Promise<void> {
  await t.settle()
  assert.equal(said(work.unsettled), expected, 'what runs')
}

/** A runner with `work`, settled by hand. */
async function working(
  t: World,
  limits: object,
  options: Partial<RunnerOptions<TaskMap>> = {},
): Promise<{ runner: BackgroundRunner; work: Handler }> {
  const work = t.handler()
  const runner = await t.runner({
    tasks: { work: defineTask({ ...limits, run: work.run }) },
    concurrency: 10,
    ...options,
  })
  return { runner, work }
}

/** Ends the call with this name. */
async function end(t: World, work: Handler, name: string): Promise<void> {
  const call = work.unsettled.find((each) => said([each]) === name)
  assert.ok(call, `${name} runs; what runs: ${said(work.unsettled)}`)
  call.resolve()
  await t.settle()
}

export const quotas: readonly Topic[] = [
  topic(
    'keyed concurrency',
    {
      'no more of a key run at once, and other keys do not wait for it': async (t) => {
        const { runner, work } = await working(t, { concurrency: { max: 2, by: byTenant } })
        await runner.submitMany('work', [...of('a', 4), ...of('b', 3)])
        await runs(t, work, 'a1 b1 a2 b2')
        await end(t, work, 'a1')
        await runs(t, work, 'b1 a2 b2 a3')
        await end(t, work, 'b2')
        await runs(t, work, 'b1 a2 a3 b3')
      },

      'keys take turns: a flood of one lets another one go next': async (t) => {
        const { runner, work } = await working(t, { concurrency: { max: 2, by: byTenant } }, { concurrency: 2 })
        await runner.submitMany('work', of('a', 20))
        await runs(t, work, 'a1 a2')
        await runner.submitMany('work', [...of('b', 2), ...of('c', 1)])
        await end(t, work, 'a1')
        await runs(t, work, 'a2 b1')
        await end(t, work, 'a2')
        await runs(t, work, 'b1 c1')
        await end(t, work, 'b1')
        await runs(t, work, 'c1 a3')
      },

      'within a key the order is the usual one; a higher priority goes before all keys': async (t) => {
        const { runner, work } = await working(t, { concurrency: { max: 1, by: byTenant } }, { concurrency: 1 })
        await runner.submitMany('work', [...of('a', 3), ...of('b', 2)])
        await runs(t, work, 'a1')
        await runner.submit('work', { tenant: 'a', n: 9 }, { priority: 1 })
        const urgent = await runner.submit('work', { tenant: 'b', n: 8 })
        await runner.setPriority(urgent.id, 2)
        const order: string[] = []
        for (let left = 7; left > 0; left--) {
          await t.settle()
          order.push(said(work.unsettled))
          await end(t, work, said(work.unsettled))
        }
        assert.deepEqual(order, ['a1', 'b8', 'a9', 'b1', 'a2', 'b2', 'a3'])
      },

      'a slot of a key comes back however an attempt ends': async (t) => {
        const { runner, work } = await working(t, {
          concurrency: { max: 1, by: byTenant },
          timeout: 1_000,
          retry: { attempts: 2, backoff: { type: 'fixed', delay: 5_000, jitter: false } },
        })
        const [first] = await runner.submitMany('work', of('a', 5))
        const one = await work.call(1)
        one.reject(new Error('no'))
        const two = await work.call(2)
        await runs(t, work, 'a2')
        await t.advance(1_000) // its timeout
        two.reject(two.ctx.signal.reason)
        await work.call(3)
        await runs(t, work, 'a3')
        const three = work.calls[2]
        await runner.cancel(three?.ctx.id as string)
        three?.reject(three.ctx.signal.reason)
        await work.call(4)
        await runs(t, work, 'a4')
        await t.advance(5_000) // the first two are due again
        await runs(t, work, 'a4')
        await end(t, work, 'a4')
        await runs(t, work, 'a5')
        await end(t, work, 'a5')
        await runs(t, work, 'a1')
        assert.equal((await runner.status(first?.id as string))?.attempt, 2)
      },

      'what is cancelled while it waits leaves its place to the next': async (t) => {
        const { runner, work } = await working(t, { concurrency: { max: 1, by: byTenant } })
        const [, second] = await runner.submitMany('work', of('a', 3))
        await runs(t, work, 'a1')
        await runner.cancel(second?.id as string)
        await end(t, work, 'a1')
        await runs(t, work, 'a3')
      },

      'a key is a string or a number; anything else is told at submit, and nothing is stored': async (t) => {
        const { runner, work } = await working(t, {
          concurrency: { max: 1, by: (input: unknown) => (input as { readonly key: string }).key },
        })
        for (const key of [null, {}, true, Number.NaN, 'x'.repeat(257), 'a\nb'])
          await refused(runner.submit('work', { key }), 'INVALID_INPUT', key)
        await refused(runner.submit('work', null), 'INVALID_INPUT', 'a function that throws')
        assert.equal((await runner.counts()).queued, 0)
        for (const key of ['', 7, '7', 'x'.repeat(256)]) await runner.submit('work', { key })
        await t.settle()
        work.wasCalled(3, '7 and "7" are one key')
      },
    },
    { quotas: true },
  ),

  topic(
    'rate limits',
    {
      'no more handlers are called in any interval; those that wait are queued': async (t) => {
        const { runner, work } = await working(t, { rateLimit: { max: 2, interval: '1s' } })
        work.releaseAll()
        await runner.submitMany('work', of('a', 5))
        await t.settle()
        work.wasCalled(2)
        assert.equal((await runner.counts()).queued, 3)
        await t.advance(999)
        work.wasCalled(2)
        await t.advance(1)
        work.wasCalled(4)
        await t.advance(999)
        work.wasCalled(4)
        await t.advance(1)
        work.wasCalled(5)
      },

      'the window slides: each call makes room when its own interval is over': async (t) => {
        const { runner, work } = await working(t, { rateLimit: { max: 2, interval: 1_000 } })
        work.releaseAll()
        await runner.submit('work', { tenant: 'a', n: 1 })
        await t.advance(600)
        await runner.submitMany(
          'work',
          [2, 3, 4].map((n) => ({ tenant: 'a', n })),
        )
        await t.settle()
        assert.equal(said(work.calls), 'a1 a2')
        await t.advance(399)
        assert.equal(said(work.calls), 'a1 a2')
        await t.advance(1)
        assert.equal(said(work.calls), 'a1 a2 a3')
        await t.advance(599)
        assert.equal(said(work.calls), 'a1 a2 a3')
        await t.advance(1)
        assert.equal(said(work.calls), 'a1 a2 a3 a4')
      },

      'what runs longer than the interval counts no longer': async (t) => {
        const { runner, work } = await working(t, { rateLimit: { max: 1, interval: '1s' } })
        await runner.submitMany('work', of('a', 3))
        await runs(t, work, 'a1')
        await t.advance(1_000)
        await runs(t, work, 'a1 a2')
      },

      'each key has a window of its own': async (t) => {
        const { runner, work } = await working(t, { rateLimit: { max: 1, interval: '1s', by: byTenant } })
        work.releaseAll()
        await runner.submitMany('work', [...of('a', 2), ...of('b', 2)])
        await t.settle()
        assert.equal(said(work.calls), 'a1 b1')
        await t.advance(1_000)
        assert.equal(said(work.calls), 'a1 b1 a2 b2')
      },

      'an attempt that calls no handler does not count': async (t) => {
        const work = t.handler()
        let isSick = true
        const setup = (): void => {
          if (isSick) throw new Error('not yet')
        }
        const runner = await t.runner({
          tasks: {
            work: defineTask({
              rateLimit: { max: 1, interval: '1h' },
              setup,
              retry: { backoff: { type: 'fixed', delay: 1_000, jitter: false } },
              run: work.run,
            }),
          },
        })
        const { id } = await runner.submit('work', { tenant: 'a' })
        await t.until(async () => (await runner.status(id))?.state === 'scheduled', 'its setup failed')
        isSick = false
        await t.advance(1_000)
        await work.call(1)
      },

      'a retry is a call as well': async (t) => {
        const { runner, work } = await working(t, {
          rateLimit: { max: 1, interval: '10s' },
          retry: { attempts: 2, backoff: { type: 'fixed', delay: 1_000, jitter: false } },
        })
        await runner.submit('work', { tenant: 'a' })
        ;(await work.call(1)).reject(new Error('no'))
        await t.settle()
        await t.advance(9_999)
        work.wasCalled(1)
        await t.advance(1)
        work.wasCalled(2)
      },

      'one that waits for its window does not keep other names': async (t) => {
        const work = t.handler()
        const runner = await t.runner({
          tasks: {
            work: defineTask({ rateLimit: { max: 1, interval: '1h' }, run: work.run }),
            other: defineTask({ run: () => 'done' }),
          },
          concurrency: 1,
        })
        work.releaseAll()
        await runner.submitMany('work', of('a', 3))
        const other = await runner.submit('other', null)
        await t.until(async () => (await runner.status(other.id))?.state === 'succeeded', 'the other name goes on')
        work.wasCalled(1)
      },
    },
    { quotas: true },
  ),

  topic(
    'resources',
    {
      'never more is taken than there is, all or nothing': async (t) => {
        const { runner, work } = await working(
          t,
          { requires: (input: unknown) => (input as { readonly requires: object }).requires },
          { resources: { cpu: 4, gpu: 1 } },
        )
        const submit = (tenant: string, requires: object): Promise<unknown> =>
          runner.submit('work', { tenant, requires })
        await submit('a', { cpu: 2 })
        await submit('b', { cpu: 2, gpu: 1 })
        await submit('c', { cpu: 1 })
        await submit('d', {})
        await submit('e', { gpu: 1 })
        await runs(t, work, 'a b d')
        await end(t, work, 'a')
        await runs(t, work, 'b d c')
        await end(t, work, 'b')
        await runs(t, work, 'd c e')
      },

      'a big task is not starved: what comes after it does not take what it needs': async (t) => {
        const { runner, work } = await working(t, {}, { resources: { cpu: 4, gpu: 1 } })
        const submit = (tenant: string, requires: Readonly<Record<string, number>>): Promise<unknown> =>
          runner.submit('work', { tenant }, { requires })
        await submit('a', { cpu: 1 })
        await submit('b', { cpu: 1 })
        await submit('big', { cpu: 4 })
        await submit('c', { cpu: 1 })
        await submit('d', { gpu: 1 })
        await runs(t, work, 'a b d')
        await end(t, work, 'a')
        await runs(t, work, 'b d')
        await end(t, work, 'b')
        await runs(t, work, 'd big')
        await end(t, work, 'big')
        await runs(t, work, 'd c')
      },

      'what one task gives back may be enough for several': async (t) => {
        const { runner, work } = await working(t, {}, { resources: { cpu: 3 } })
        await runner.submit('work', { tenant: 'big' }, { requires: { cpu: 3 } })
        for (const tenant of ['a', 'b', 'c']) await runner.submit('work', { tenant }, { requires: { cpu: 1 } })
        await runs(t, work, 'big')
        await end(t, work, 'big')
        await runs(t, work, 'a b c')
      },

      'it is given back once, however the attempt ends': async (t) => {
        const { runner, work } = await working(
          t,
          { requires: { cpu: 0.1 }, retry: { attempts: 1 }, timeout: 1_000 },
          { resources: { cpu: 0.3 } },
        )
        await runner.submitMany('work', of('a', 9))
        await runs(t, work, 'a1 a2 a3')
        work.calls[0]?.reject(new Error('no'))
        await runner.cancel(work.calls[1]?.ctx.id as string)
        work.calls[1]?.reject(new Error('cancelled'))
        await t.advance(1_000)
        work.calls[2]?.reject(new Error('timed out'))
        await work.call(6)
        await runs(t, work, 'a4 a5 a6')
        for (const call of work.unsettled) call.resolve()
        await runs(t, work, 'a7 a8 a9')
      },

      'more than there ever is is refused at submit, by name': async (t) => {
        const { runner } = await working(t, {}, { resources: { cpu: 4 } })
        for (const requires of [{ cpu: 5 }, { gpu: 1 }, { cpu: 0 }, { cpu: -1 }, { cpu: Number.NaN }, [] as never])
          await refused(runner.submit('work', null, { requires }), 'INVALID_INPUT', requires)
        assert.equal((await runner.counts()).queued, 0)
      },

      'the need of a submit goes before that of its definition': async (t) => {
        const { runner, work } = await working(t, { requires: { cpu: 4 } }, { resources: { cpu: 4 } })
        await runner.submit('work', { tenant: 'a' }, { requires: { cpu: 1 } })
        await runner.submit('work', { tenant: 'b' }, { requires: { cpu: 3 } })
        await runner.submit('work', { tenant: 'c' })
        await runs(t, work, 'a b')
        await end(t, work, 'a')
        await end(t, work, 'b')
        await runs(t, work, 'c')
      },
    },
    { quotas: true },
  ),

  topic(
    'limits together',
    {
      'a lane that one gate keeps leaves the room of the other to the next': async (t) => {
        const { runner, work } = await working(t, {
          concurrency: { max: 1, by: byTenant },
          rateLimit: { max: 3, interval: '1h' },
        })
        await runner.submitMany('work', [...of('a', 3), ...of('b', 3)])
        await runs(t, work, 'a1 b1')
        await end(t, work, 'a1')
        await runs(t, work, 'b1 a2')
        await end(t, work, 'b1')
        await runs(t, work, 'a2')
        await t.advance(3_600_000)
        await runs(t, work, 'a2 b2')
      },

      'so does one to which a better task comes as the room of the other comes back': async (t) => {
        const { runner, work } = await working(t, {
          concurrency: { max: 1, by: byTenant },
          rateLimit: { max: 1, interval: '1h', by: (input: unknown) => ((input as Tenant).n === 4 ? 'y' : 'x') },
        })
        const { id } = await runner.submit('work', { tenant: 'a', n: 1 })
        await runs(t, work, 'a1')
        await runner.submit('work', { tenant: 'a', n: 2 })
        await runner.submit('work', { tenant: 'a', n: 3 }, { after: [id], priority: 1 })
        await runner.submit('work', { tenant: 'a', n: 4 })
        await end(t, work, 'a1')
        await runs(t, work, 'a4')
      },

      'what has become the first of its lane lets a better one of another lane go before it': async (t) => {
        const other = t.handler()
        const work = t.handler()
        const runner = await t.runner({
          tasks: {
            work: defineTask({
              concurrency: { max: 1, by: byTenant },
              rateLimit: { max: 9, interval: '1h', by: (input: unknown) => ((input as Tenant).n === 4 ? 'y' : 'x') },
              run: work.run,
            }),
            other: defineTask({ run: other.run }),
          },
          concurrency: 2,
        })
        const submit = (n: number, priority: number): Promise<{ readonly id: string }> =>
          runner.submit('work', { tenant: 'a', n }, { priority })
        await submit(1, 9)
        await runner.submit('other', 1, { priority: 9 })
        await runs(t, work, 'a1')
        await runner.submit('other', 2, { priority: 5 })
        const second = await submit(2, 2)
        await submit(3, 0)
        await submit(4, 1)
        await end(t, work, 'a1')
        other.wasCalled(2)
        await runner.cancel(second.id)
        other.calls[0]?.resolve()
        await runs(t, work, 'a4')
      },

      'one that waits for its key reserves nothing': async (t) => {
        const { runner, work } = await working(
          t,
          { concurrency: { max: 1, by: byTenant }, requires: { cpu: 1 } },
          { resources: { cpu: 2 } },
        )
        await runner.submitMany('work', [...of('a', 3), ...of('b', 1)])
        await runs(t, work, 'a1 b1')
      },

      'a hold and a pause keep what is under limits as well': async (t) => {
        const { runner, work } = await working(t, { concurrency: { max: 1, by: byTenant } })
        await runner.pause()
        await runner.submitMany('work', of('a', 2))
        await runs(t, work, '')
        await runner.resume()
        await runs(t, work, 'a1')
      },

      'onIdle waits for what a limit keeps, and close gives it back': async (t) => {
        const { runner, work } = await working(t, { rateLimit: { max: 1, interval: '1m' } })
        work.releaseAll()
        await runner.submitMany('work', of('a', 2))
        let isIdle = false
        void runner.onIdle().then(() => {
          isIdle = true
        })
        await t.advance(59_999)
        assert.equal(isIdle, false)
        await t.advance(1)
        await t.settle()
        assert.equal(isIdle, true)
        await runner.submitMany('work', of('b', 2))
        await t.settle()
        assert.deepEqual(await t.closed(runner), { completed: 0, returned: 0, abandoned: 0, pending: 2 })
      },
    },
    { quotas: true },
  ),

  topic(
    'limits that outlive the process',
    {
      'what shutdown hands back comes back, also where nothing else of its key waits': async (t) => {
        const limits = { concurrency: { max: 1, by: byTenant }, requires: { cpu: 1 } }
        const first = t.handler()
        const setup = { resources: { cpu: 1 }, storage: 'kept' }
        const before = await working(t, limits, {
          ...setup,
          tasks: { work: defineTask({ ...limits, run: first.run }) },
        })
        const task = await before.runner.submit('work', { tenant: 'a' })
        const call = await first.call(1)
        call.ctx.signal.addEventListener('abort', () => call.reject(call.ctx.signal.reason))
        const report = await t.closed(before.runner)
        assert.deepEqual([report.returned, report.abandoned], [1, 0])
        const second = t.handler()
        const after = await working(t, limits, {
          ...setup,
          tasks: { work: defineTask({ ...limits, run: second.run }) },
        })
        ;(await second.call(1)).resolve()
        await t.reaches(after.runner, task, 'succeeded')
      },
    },
    { quotas: true, durable: true },
  ),

  topic(
    'limits of several processes',
    {
      'new keys from a process that only submits do not go before one that has waited longer': async (t) => {
        const work = t.handler()
        const tasks = (run: Handler['run']): TaskMap => ({
          work: defineTask({ concurrency: { max: 1, by: byTenant }, run }),
        })
        await joined(t, work.run, { tasks: tasks(work.run), concurrency: 1 })
        const runner = await joined(t, t.handler().run, { tasks: tasks(t.handler().run), work: false })
        await runner.submitMany('work', of('flood', 3))
        await work.call(1)
        await runner.submit('work', { tenant: 'a' })
        work.calls[0]?.resolve()
        await work.call(2)
        await runner.submit('work', { tenant: 'b' })
        work.calls[1]?.resolve()
        await work.call(3)
        assert.equal(said(work.calls), 'flood1 a flood2')
      },

      'keys, windows and resources hold in all of them together': async (t) => {
        const works = [t.handler(), t.handler()]
        const tasks = (run: Handler['run']): TaskMap => ({
          work: defineTask({
            concurrency: { max: 2, by: byTenant },
            rateLimit: { max: 5, interval: '1h' },
            requires: { cpu: 1 },
            run,
          }),
        })
        const resources = { cpu: 3 }
        for (const { run } of works) await joined(t, run, { tasks: tasks(run), concurrency: 5, resources })
        const runner = await joined(t, t.handler().run, { tasks: tasks(t.handler().run), work: false, resources })
        await runner.submitMany('work', [...of('a', 6), ...of('b', 6)])
        const running = (): { readonly input: unknown; resolve(): void }[] => works.flatMap((each) => each.unsettled)
        const names = (): string =>
          said(running())
            .split(' ')
            .map((each) => each[0])
            .sort()
            .join('')
        await t.until(() => running().length === 3, 'three run')
        await t.settle()
        assert.match(names(), /^(aab|abb)$/)
        for (const [expected, called] of [
          [3, 4],
          [3, 5],
        ] as const) {
          running()[0]?.resolve()
          await t.until(() => works.reduce((sum, { calls }) => sum + calls.length, 0) === called, 'the next one runs')
          await t.settle()
          assert.equal(running().length, expected)
          assert.match(names(), /^(aab|abb)$/)
        }
        for (const call of running()) call.resolve()
        await t.settle()
        assert.equal(
          works.reduce((sum, { calls }) => sum + calls.length, 0),
          5,
          'the window is full',
        )
      },
    },
    { quotas: true, shared: true },
  ),
]
