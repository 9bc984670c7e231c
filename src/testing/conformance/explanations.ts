/** `explain(id)`: what keeps a task is named, with until when and by which tasks; and when that is gone, it runs. */
import assert from 'node:assert/strict'
import { type BackgroundRunner, defineTask, type Reason, RetryLaterError } from '../../index.js'
import { refused, same } from './tools.js'
import { type Topic, topic, type World } from './world.js'

/** The reasons, times in ms from the start of the test. */
async function why(t: World, runner: BackgroundRunner, id: string): Promise<Reason[]> {
  await t.settle()
  const { reasons, state, ...rest } = await runner.explain(id)
  assert.deepEqual(Object.keys(rest).sort(), ['id', 'name'])
  assert.equal(rest.id, id)
  assert.equal(state, (await runner.status(id))?.state)
  return [...reasons]
}

const types = (reasons: readonly Reason[]): string => reasons.map(({ type }) => type).join(' ')

export const explanations: readonly Topic[] = [
  topic('explain', {
    'an unknown id is refused with TaskNotFoundError': async (t) => {
      const runner = await t.runner({ tasks: { work: defineTask({ run: () => {} }) } })
      await refused(runner.explain('nobody'), 'TASK_NOT_FOUND')
    },

    'what runs, and what has ended, is kept by nothing': async (t) => {
      const work = t.handler()
      const runner = await t.runner({ tasks: { work: defineTask({ retry: { attempts: 1 }, run: work.run }) } })
      const [a, b] = await runner.submitMany('work', [1, 2])
      await work.call(2)
      assert.deepEqual(await why(t, runner, a?.id as string), [])
      work.calls[0]?.resolve()
      work.calls[1]?.reject(new Error('no'))
      await t.settle()
      assert.deepEqual(await why(t, runner, a?.id as string), [])
      assert.deepEqual(await why(t, runner, b?.id as string), [])
    },

    'its time: a delay, a backoff': async (t) => {
      const work = t.handler()
      const retry = { backoff: { type: 'fixed', delay: 5_000, jitter: false } } as const
      const runner = await t.runner({ tasks: { work: defineTask({ retry, run: work.run }) } })
      const { id } = await runner.submit('work', 1, { delay: 2_000 })
      const start = t.clock.now()
      assert.deepEqual(await why(t, runner, id), [{ type: 'scheduled', until: start + 2_000 }])
      await t.advance(2_000)
      ;(await work.call(1)).reject(new Error('no'))
      assert.deepEqual(await why(t, runner, id), [{ type: 'scheduled', until: start + 7_000 }])
      await t.advance(5_000)
      await work.call(2)
    },

    'what it comes after, beside its time and a hold of its name': async (t) => {
      const work = t.handler()
      const runner = await t.runner({ tasks: { work: defineTask({ run: work.run }) } })
      const a = await runner.submit('work', 1, { delay: 90_000 })
      const b = await runner.submit('work', 2, { delay: 1_000, after: [a.id] })
      const after = { type: 'after', tasks: [a.id] }
      assert.deepEqual(await why(t, runner, b.id), [{ type: 'scheduled', until: t.clock.now() + 1_000 }, after])
      await t.advance(1_000)
      assert.deepEqual(await why(t, runner, b.id), [after])
      await runner.submit('work', 3)
      ;(await work.call(1)).reject(new RetryLaterError({ delay: 60_000, hold: true, cause: new Error('no login') }))
      assert.equal(types(await why(t, runner, b.id)), 'after held')
    },

    'one that ends while it is asked about': async (t) => {
      const runner = await t.runner({ tasks: { work: defineTask({ run: () => {} }) } })
      await runner.pause()
      const { id } = await runner.submit('work', 1)
      const submitted = runner.submit('work', 2)
      const [explained] = await Promise.all([runner.explain(id), runner.cancel(id), submitted])
      assert.equal(explained.id, id)
    },

    'a pause, and how many are ahead': async (t) => {
      const runner = await t.runner({ tasks: { work: defineTask({ run: () => {} }) } })
      await runner.pause()
      const [first, second, third] = await runner.submitMany('work', [1, 2, 3])
      const urgent = await runner.submit('work', 4, { priority: 1 })
      assert.deepEqual(await why(t, runner, urgent.id), [{ type: 'paused' }])
      assert.deepEqual(await why(t, runner, first?.id as string), [{ type: 'paused' }, { type: 'ahead', count: 1 }])
      assert.deepEqual(await why(t, runner, third?.id as string), [{ type: 'paused' }, { type: 'ahead', count: 3 }])
      await runner.setPriority(third?.id as string, 2)
      assert.deepEqual(await why(t, runner, third?.id as string), [{ type: 'paused' }])
      assert.deepEqual(await why(t, runner, second?.id as string), [{ type: 'paused' }, { type: 'ahead', count: 3 }])
    },

    'all slots in use, and those of its name, held by which tasks': async (t) => {
      const [a, b] = [t.handler(), t.handler()]
      const runner = await t.runner({
        tasks: { a: defineTask({ concurrency: 1, run: a.run }), b: defineTask({ run: b.run }) },
        concurrency: 2,
      })
      const [first, second] = await runner.submitMany('a', [1, 2])
      await a.call(1)
      const by = [first?.id as string]
      assert.deepEqual(await why(t, runner, second?.id as string), [{ type: 'concurrency', max: 1, by }])
      const other = await runner.submit('b', 1)
      await b.call(1)
      const last = await runner.submit('b', 2)
      const [slots] = await why(t, runner, last.id)
      assert.equal(slots?.type, 'slots')
      assert.deepEqual(slots?.type === 'slots' && [...slots.by].sort(), [...by, other.id].sort(), 'who has them')
    },

    'a hold': async (t) => {
      const work = t.handler()
      const runner = await t.runner({ tasks: { work: defineTask({ run: work.run }) }, concurrency: 1 })
      const [, second] = await runner.submitMany('work', [1, 2])
      const until = t.clock.now() + 60_000
      ;(await work.call(1)).reject(new RetryLaterError({ delay: 60_000, hold: true, cause: new Error('no login') }))
      const [held] = await why(t, runner, second?.id as string)
      assert.equal(held?.type, 'held')
      same(held?.type === 'held' && held.until, until, 'until when')
    },
  }),

  topic(
    'explain under limits',
    {
      'a key, held by which tasks': async (t) => {
        const work = t.handler()
        const by = (input: unknown): string => String(input)
        const runner = await t.runner({ tasks: { work: defineTask({ concurrency: { max: 1, by }, run: work.run }) } })
        const [first, second, third] = await runner.submitMany('work', ['a', 'a', 'a'])
        await work.call(1)
        const key = { type: 'key', key: 'a', max: 1, by: [first?.id as string] }
        assert.deepEqual(await why(t, runner, second?.id as string), [key])
        assert.deepEqual(await why(t, runner, third?.id as string), [key, { type: 'ahead', count: 1 }])
      },

      'a key of one that ends while it is asked about': async (t) => {
        const by = (input: unknown): string => String(input)
        const limits = { concurrency: { max: 1, by } }
        const runner = await t.runner({ tasks: { work: defineTask({ ...limits, run: () => {} }) } })
        await runner.pause()
        const { id } = await runner.submit('work', 'a')
        const submitted = runner.submit('work', 'b')
        const [explained] = await Promise.all([runner.explain(id), runner.cancel(id), submitted])
        assert.equal(explained.id, id)
      },

      'a rate limit, until when': async (t) => {
        const work = t.handler()
        const rateLimit = { max: 1, interval: 10_000 }
        const runner = await t.runner({ tasks: { work: defineTask({ rateLimit, run: work.run }) } })
        const start = t.clock.now()
        const [, second] = await runner.submitMany('work', [1, 2])
        await work.call(1)
        await t.advance(4_000)
        const id = second?.id as string
        assert.deepEqual(await why(t, runner, id), [{ type: 'rateLimit', key: '', max: 1, until: start + 10_000 }])
        await t.advance(6_000)
        await work.call(2)
      },

      'a resource: what is needed, what is free, who has it; and for whom it is kept': async (t) => {
        const work = t.handler()
        const runner = await t.runner({
          tasks: { work: defineTask({ run: work.run }) },
          resources: { cpu: 4, gpu: 1 },
        })
        const a = await runner.submit('work', 1, { requires: { cpu: 3 } })
        await work.call(1)
        const big = await runner.submit('work', 2, { requires: { cpu: 2 } })
        const small = await runner.submit('work', 3, { requires: { cpu: 1, gpu: 1 } })
        assert.deepEqual(await why(t, runner, big.id), [
          { type: 'resource', resource: 'cpu', needs: 2, free: 1, by: [a.id] },
        ])
        assert.deepEqual(await why(t, runner, small.id), [{ type: 'reserved', resource: 'cpu', for: big.id }])
        work.calls[0]?.resolve()
        await work.call(3)
        assert.equal(types(await why(t, runner, small.id)), '')
      },
    },
    { quotas: true },
  ),
]
