/** What BullMQ's own tools do of which nobody tells: tasks that they remove, and limits that they set on a queue. */
import assert from 'node:assert/strict'
import { BackgroundRunner, type Clock, defineTask, type RunnerOptions, type TaskMap } from 'background-runner'
import { bullmq } from 'background-runner/bullmq'
import { Queue } from 'bullmq'
import { afterAll, afterEach, beforeEach, it } from 'vitest'
import { testRedis } from '../support/redis.js'

const redis = await testRedis()
afterAll(() => redis.end())

let prefix: string
let closers: (() => Promise<unknown>)[] = []
beforeEach(() => {
  prefix = redis.prefix()
})
afterEach(async () => {
  await Promise.all(closers.map((close) => close()))
  closers = []
})

function create<const Tasks extends TaskMap>(options: Omit<RunnerOptions<Tasks>, 'engine'>) {
  const runner = new BackgroundRunner<Tasks>({
    ...options,
    engine: bullmq({ connection: redis.url, prefix, lease: 500 }),
  } as RunnerOptions<Tasks>)
  closers.push(() => runner.close({ deadline: 0 }))
  return runner
}

/** The queue of a name, as a dashboard has it. */
function queueOf(name: string): Queue {
  const queue = new Queue(`tasks.${name}`, { prefix, connection: { url: redis.url } })
  closers.push(() => queue.close())
  return queue
}

const nothing = defineTask({ run: () => {} })
const undefineds = (length: number) => Array.from({ length }, () => undefined) as []

redis.describe('of tasks that were removed before their end', () => {
  it('those that come after are cancelled, or run, as where it had failed', async () => {
    const runner = create({ tasks: { parent: nothing, child: nothing } })
    const { id } = await runner.submit('parent', undefined, { delay: '1d' })
    const other = await runner.submit('parent', undefined, { delay: '1d' })
    const after = [id, other.id]
    const cancelled = await runner.submit('child', undefined, { after })
    const later = await runner.submit('child', undefined, { after, delay: '1d' })
    const runs = await runner.submit('child', undefined, { after: [id], onParentFailure: 'run' })
    const last = await runner.submit('child', undefined, { after: [cancelled.id], onParentFailure: 'run' })
    await (await queueOf('parent').getJob(`t-${id}`))?.remove()
    for (const handle of [cancelled, later]) {
      const { state, error } = await handle.wait()
      assert.equal(state, 'cancelled')
      assert.equal(error?.message, `the task was cancelled: task ${id}, which it comes after, was removed`)
    }
    assert.deepEqual([(await runs.wait()).state, (await last.wait()).state], ['succeeded', 'succeeded'])
    assert.equal((await other.cancel()).state, 'cancelled')
    assert.equal(await redis.client.exists(`${prefix}:tasks:parents`), 0)
  })

  it('and all of a queue at once: whoever waits is told, and nothing is left of them', async () => {
    const runner = create({ tasks: { parent: nothing, child: nothing } })
    const parents = await runner.submitMany('parent', undefineds(1_500), { delay: '1d', tags: ['a', 'b'] })
    const keyed = await runner.submit('parent', undefined, { delay: '1d', key: 'k' })
    const child = await runner.submit('child', undefined, { after: [keyed.id] })
    const waited = assert.rejects(parents[7]?.wait() ?? Promise.resolve(), { code: 'TASK_NOT_FOUND' })
    await queueOf('parent').obliterate({ force: true })
    assert.equal((await child.wait()).state, 'cancelled')
    await waited
    await until(async () => (await redis.client.keys(`${prefix}:tasks.parent:br*`)).length === 0, runner)
    assert.deepEqual(await redis.client.keys(`${prefix}:tasks:after*`), [])
  })

  it('what is kept of one is forgotten when it is come across', async () => {
    const runner = create({ tasks: { nothing }, work: false })
    const [a, b] = await runner.submitMany('nothing', undefineds(2), { delay: '1d', tags: ['a', 'b'] })
    await (await queueOf('nothing').getJob(`t-${a?.id}`))?.remove()
    assert.deepEqual(
      (await runner.list({ tags: ['a'] })).tasks.map(({ id }) => id),
      [b?.id],
    )
    for (const key of ['br:index', 'br:tag:a', 'br:tag:b'])
      assert.deepEqual(await redis.client.zrange(`${prefix}:tasks.nothing:${key}`, '0', '-1'), [`t-${b?.id}`])
  })

  /** Looked at when a task has run: what is done beside that goes on as long as any do. */
  async function until(isSo: () => Promise<boolean>, runner: ReturnType<typeof create>): Promise<void> {
    while (!(await isSo())) {
      const { id } = await runner.submit('child' as never, undefined as never)
      await runner.wait(id)
    }
  }
})

redis.describe('a limit that is set on a queue keeps that queue alone', () => {
  function createHolding() {
    const order: string[] = []
    const gates: (() => void)[] = []
    const runner = create({
      tasks: {
        limited: defineTask({
          run: (input: string) => {
            order.push(input)
            return input === 'holds' ? new Promise<void>((resolve) => gates.push(resolve)) : undefined
          },
        }),
        free: defineTask({ run: (input: string) => void order.push(input) }),
      },
    })
    return { runner, order, open: () => gates.forEach((gate) => void gate()) }
  }

  it('of how many run at once', async () => {
    const { runner, order, open } = createHolding()
    await queueOf('limited').setGlobalConcurrency(1)
    const started = new Promise((resolve) => runner.once('started', resolve))
    await runner.submit('limited', 'holds')
    await started
    const next = await runner.submit('limited', 'next', { priority: 1 }) // it would go before all others
    for (const input of ['a', 'b', 'c']) await (await runner.submit('free', input)).wait()
    assert.deepEqual(order, ['holds', 'a', 'b', 'c'])
    open()
    assert.equal((await next.wait()).state, 'succeeded')
  })

  it('of how many start in a time', async () => {
    const { runner, order } = createHolding()
    const queue = queueOf('limited')
    await queue.setGlobalRateLimit(1, 600_000)
    await (await runner.submit('limited', 'first')).wait()
    const next = await runner.submit('limited', 'next', { priority: 1 })
    for (const input of ['a', 'b', 'c']) await (await runner.submit('free', input)).wait()
    assert.deepEqual(order, ['first', 'a', 'b', 'c'])
    await queue.removeGlobalRateLimit()
    await runner.submit('free', 'd') // somebody looks
    assert.equal((await next.wait()).state, 'succeeded')
  })

  it('and when its time is over it goes on by itself, also while others run', async () => {
    const { runner, order, open } = createHolding()
    await queueOf('limited').setGlobalRateLimit(2, 300)
    await runner.submit('limited', 'holds')
    const rest = await runner.submitMany('limited', ['a', 'b', 'c'])
    for (const handle of rest) await handle.wait()
    assert.deepEqual(order, ['holds', 'a', 'b', 'c'])
    open()
  })
})

it.skipIf(redis.url === '')('many tasks that are due at once still come after what they come after', async () => {
  let ahead = 0
  const clock: Clock = {
    now: () => Date.now() + ahead,
    monotonic: () => performance.now(),
    setTimeout: (callback, ms) => setTimeout(callback, ms),
    clearTimeout: (handle) => clearTimeout(handle as NodeJS.Timeout),
  }
  const order: string[] = []
  let open = (): void => {}
  const gate = new Promise<void>((resolve) => {
    open = resolve
  })
  const run = (input: string) => {
    order.push(input)
    return input === 'holds' ? gate : undefined
  }
  const runner = create({ tasks: { one: defineTask({ run }), other: nothing }, clock, concurrency: 1 })
  const started = new Promise((resolve) => runner.once('started', resolve))
  await runner.submit('one', 'holds')
  await started
  const parent = await runner.submit('one', 'parent', { delay: '10d' })
  await runner.submit('one', 'first', { delay: '1h' })
  const inputs = Array.from({ length: 3_000 }, () => 'after')
  const children = await runner.submitMany('one', inputs, { after: [parent.id], delay: '1h' })
  const last = await runner.submit('one', 'last', { priority: -1, delay: '1h' })
  ahead = 7_200_000
  open() // with the verdict the next one is claimed, before anybody has looked
  await last.wait()
  assert.deepEqual(order, ['holds', 'first', 'last'])
  assert.deepEqual(
    [(await children[0]?.status())?.state, (await children[2_999]?.status())?.state],
    ['queued', 'queued'],
  )
})
