/** SEMANTICS.md, line 7: priority, then when it became due, then submission; and a retry is never early. */
import assert from 'node:assert/strict'
import { type BackgroundRunner, defineTask, RetryLaterError } from '../../index.js'
import { every, recordOf, refused } from './tools.js'
import { type Topic, topic, type World } from './world.js'

/** A runner with one slot whose handler notes the inputs in the order of the calls. */
async function queue(t: World): Promise<{ runner: BackgroundRunner; ran: unknown[] }> {
  const ran: unknown[] = []
  const work = defineTask({ run: (input: unknown) => void ran.push(input) })
  const runner = await t.runner({ tasks: { work, other: work }, concurrency: 1 })
  await runner.pause()
  return { runner, ran }
}

async function drained(t: World, runner: BackgroundRunner): Promise<void> {
  await runner.resume()
  await t.until(async () => {
    const { queued, running } = await runner.counts()
    return queued + running === 0
  }, 'the queue is empty')
}

export const order: Topic = topic('order', {
  'higher priorities go first, among equals those submitted first': async (t) => {
    const { runner, ran } = await queue(t)
    const priorities = [0, 5, -3, 5, 1_000_000, 0, -1_000_000, 1]
    for (const [i, priority] of priorities.entries()) await runner.submit('work', `${priority}/${i}`, { priority })
    await drained(t, runner)
    assert.deepEqual(ran, ['1000000/4', '5/1', '5/3', '1/7', '0/0', '0/5', '-3/2', '-1000000/6'])
  },

  'the order holds across names': async (t) => {
    const { runner, ran } = await queue(t)
    await runner.submit('work', 'a')
    await runner.submit('other', 'b', { priority: 1 })
    await runner.submit('other', 'c')
    await runner.submit('work', 'd', { priority: 1 })
    await runner.submit('work', 'e')
    await drained(t, runner)
    assert.deepEqual(ran, ['b', 'd', 'a', 'c', 'e'])
  },

  'inputs of one submitMany run in their order': async (t) => {
    const { runner, ran } = await queue(t)
    const inputs = Array.from({ length: 50 }, (_, i) => i)
    await runner.submitMany('work', inputs)
    await drained(t, runner)
    assert.deepEqual(ran, inputs)
  },

  'among equal priorities the one that became due first goes first': async (t) => {
    const { runner, ran } = await queue(t)
    await runner.submit('work', 'due at 3', { delay: 3_000 })
    await runner.submit('work', 'due at 1', { delay: 1_000 })
    await runner.submit('work', 'due at 0')
    await t.advance(2_000)
    await runner.submit('work', 'due at 2')
    await t.advance(2_000)
    await runner.submit('work', 'due at 4')
    await runner.submit('work', 'urgent', { priority: 1 })
    await drained(t, runner)
    assert.deepEqual(ran, ['urgent', 'due at 0', 'due at 1', 'due at 2', 'due at 3', 'due at 4'])
  },

  'tasks that become due at one moment run in the order of their submission': async (t) => {
    const { runner, ran } = await queue(t)
    const runAt = t.clock.now() + 1_000
    for (let i = 0; i < 10; i++) await runner.submit('work', i, { runAt })
    await t.advance(1_000)
    await drained(t, runner)
    assert.deepEqual(ran, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
  },

  'a higher priority that is not due yet keeps nobody waiting': async (t) => {
    const { runner, ran } = await queue(t)
    await runner.submit('work', 'later', { priority: 9, delay: 1_000 })
    await runner.submit('work', 'now')
    await drained(t, runner)
    assert.deepEqual(ran, ['now'])
    await t.advance(1_000)
    await t.until(() => ran.length === 2, 'the later one runs')
  },

  'a task that comes while others wait takes its place by priority': async (t) => {
    const work = t.handler()
    const runner = await t.runner({ tasks: { work: defineTask({ run: work.run }) }, concurrency: 1 })
    await runner.submit('work', 'first')
    const first = await work.call(1)
    await runner.submit('work', 'second')
    await runner.submit('work', 'urgent', { priority: 1 })
    first.resolve()
    ;(await work.call(2)).resolve()
    ;(await work.call(3)).resolve()
    assert.deepEqual(work.inputs, ['first', 'urgent', 'second'])
  },

  'setPriority moves a queued task': async (t) => {
    const { runner, ran } = await queue(t)
    const a = await runner.submit('work', 'a')
    const b = await runner.submit('work', 'b', { priority: 2 })
    await runner.submit('work', 'c')
    await runner.submit('work', 'd')
    assert.equal((await runner.setPriority(a.id, -1)).priority, -1)
    assert.equal((await runner.setPriority(b.id, 0)).priority, 0)
    await drained(t, runner)
    assert.deepEqual(ran, ['b', 'c', 'd', 'a'])
  },

  'setPriority of the only task of its priority loses neither it nor those that come after': async (t) => {
    const { runner, ran } = await queue(t)
    const a = await runner.submit('work', 'a')
    await runner.setPriority(a.id, 5)
    await runner.submit('work', 'b')
    await runner.submit('work', 'c', { priority: 5 })
    await drained(t, runner)
    assert.deepEqual(ran, ['a', 'c', 'b'])
  },

  'setPriority to a priority that others have puts the task among them': async (t) => {
    const { runner, ran } = await queue(t)
    await runner.submit('work', 'a', { priority: 5 })
    const b = await runner.submit('work', 'b', { priority: 1 })
    await runner.submit('work', 'c', { priority: 5 })
    await runner.setPriority(b.id, 5)
    await runner.submit('work', 'd', { priority: 1 })
    await drained(t, runner)
    assert.deepEqual(ran, ['a', 'b', 'c', 'd'])
  },

  'setPriority of a scheduled task counts when its time has come': async (t) => {
    const { runner, ran } = await queue(t)
    const late = await runner.submit('work', 'late', { delay: 1_000 })
    const record = await runner.setPriority(late.id, 7)
    assert.deepEqual([record.state, record.priority], ['scheduled', 7])
    await runner.submit('work', 'early')
    await t.advance(1_000)
    await drained(t, runner)
    assert.deepEqual(ran, ['late', 'early'])
  },

  'setPriority, again and again, loses no task': async (t) => {
    const { runner, ran } = await queue(t)
    const handles = await runner.submitMany(
      'work',
      Array.from({ length: 12 }, (_, i) => i),
      (_input, i) => ({ priority: i % 3 }),
    )
    const final = new Map<number, number>()
    for (let round = 0; round < 5; round++) {
      for (const [i, { id }] of handles.entries()) {
        const priority = ((i + 1) * (round + 3) * 7) % 5
        await runner.setPriority(id, priority)
        final.set(i, priority)
      }
    }
    await drained(t, runner)
    const expected = [...final].sort(([a, p], [b, q]) => q - p || a - b).map(([i]) => i)
    assert.deepEqual(ran, expected)
  },

  'a retry is never early, and has no precedence over what became due before it': async (t) => {
    const work = t.handler()
    const runner = await t.runner({
      tasks: { work: defineTask({ retry: every(1_000), run: work.run }) },
      concurrency: 1,
    })
    const task = await runner.submit('work', 'a')
    ;(await work.call(1)).reject(new Error('no luck'))
    await t.reaches(runner, task, 'scheduled')
    await t.advance(999)
    work.wasCalled(1)
    await runner.submit('work', 'b')
    const b = await work.call(2)
    await t.advance(500)
    await runner.submit('work', 'c')
    b.resolve()
    ;(await work.call(3)).resolve()
    ;(await work.call(4)).resolve()
    assert.deepEqual(work.inputs, ['a', 'b', 'a', 'c'])
  },

  'delays of any length below a timer tick keep their moment': async (t) => {
    const starts: [unknown, number][] = []
    const runner = await t.runner({
      tasks: { work: defineTask({ run: (input: unknown) => void starts.push([input, t.clock.now()]) }) },
    })
    const now = t.clock.now()
    const delays = [1, 2, 10, 59_999, 60_000, 60_001, 150_000, 100]
    for (const delay of delays) await runner.submit('work', delay, { delay })
    await t.advance(150_000)
    await t.until(() => starts.length === delays.length, 'all have run')
    for (const [delay, at] of starts) assert.equal(at - now, delay)
  },

  'RetryLaterError is never early': async (t) => {
    const work = t.handler()
    const runner = await t.runner({ tasks: { work: defineTask({ run: work.run }) } })
    const task = await runner.submit('work', 1)
    ;(await work.call(1)).reject(new RetryLaterError({ delay: '2m' }))
    await t.reaches(runner, task, 'scheduled')
    await t.advance(119_999)
    work.wasCalled(1)
    await t.advance(1)
    await work.call(2)
  },

  'setPriority refuses what is no priority': async (t) => {
    const { runner } = await queue(t)
    const task = await runner.submit('work', 1, { priority: 3 })
    for (const priority of [1.5, Number.NaN, 1_000_001, '1' as never, undefined as never])
      await refused(runner.setPriority(task.id, priority), 'INVALID_INPUT', priority)
    assert.equal((await recordOf(task)).priority, 3)
  },
})
