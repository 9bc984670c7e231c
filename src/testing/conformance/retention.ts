/** SEMANTICS.md, line 18: nothing grows without bound, and no status is lost early. */
import assert from 'node:assert/strict'
import { type BackgroundRunner, defineTask, type TaskHandle } from '../../index.js'
import { ids, recordOf, same } from './tools.js'
import { type Setup, type Topic, topic, type World } from './world.js'

const HOUR = 3_600_000

/** A runner whose task ends as its input says. */
async function ending(t: World, retention: Setup['retention']): Promise<BackgroundRunner> {
  return t.runner({
    tasks: {
      work: defineTask({
        retry: { attempts: 1 },
        run: (input: unknown) => {
          if (input === 'fail') throw new Error('no luck')
        },
      }),
    },
    ...(retention && { retention }),
  })
}

/** One task of each end: succeeded, failed, cancelled. */
async function oneOfEach(runner: BackgroundRunner): Promise<TaskHandle[]> {
  const good = await runner.submit('work', 'succeed')
  const bad = await runner.submit('work', 'fail')
  const gone = await runner.submit('work', 'cancel', { delay: '1h' })
  await gone.cancel()
  await good.wait()
  await bad.wait()
  return [good, bad, gone]
}

async function kept(tasks: readonly TaskHandle[]): Promise<boolean[]> {
  const records = await Promise.all(tasks.map((task) => task.status()))
  return records.map((record) => record !== undefined)
}

/** Ends a task, so that the engine looks at what it may let go, and gives it the 2 s that it has. */
async function touch(t: World, runner: BackgroundRunner): Promise<void> {
  await (await runner.submit('work', 'succeed')).wait()
  await t.advance(2_000)
}

export const retention: Topic = topic('retention', {
  'by default: succeeded and cancelled for 24 h, failed for 14 d': async (t) => {
    const runner = await ending(t, undefined)
    const tasks = await oneOfEach(runner)
    await t.clock.leap(24 * HOUR - 3_000)
    await touch(t, runner)
    assert.deepEqual(await kept(tasks), [true, true, true], 'no status is lost early')
    await t.advance(1_000)
    await touch(t, runner)
    assert.deepEqual(await kept(tasks), [false, true, false])
    await t.clock.leap(13 * 24 * HOUR - 10_000)
    await touch(t, runner)
    assert.deepEqual(await kept(tasks), [false, true, false])
    await t.clock.leap(10_000)
    await touch(t, runner)
    assert.deepEqual(await kept(tasks), [false, false, false])
  },

  'each end has its own age': async (t) => {
    const runner = await ending(t, { succeeded: '30s', failed: '10s', cancelled: '20s' })
    const tasks = await oneOfEach(runner)
    await t.advance(6_000)
    await touch(t, runner)
    assert.deepEqual(await kept(tasks), [true, true, true])
    await t.advance(4_000)
    await touch(t, runner)
    assert.deepEqual(await kept(tasks), [true, false, true])
    await t.advance(8_000)
    await touch(t, runner)
    assert.deepEqual(await kept(tasks), [true, false, false])
    await t.advance(8_000)
    await touch(t, runner)
    assert.deepEqual(await kept(tasks), [false, false, false])
  },

  'the age counts from the end, not from the submit': async (t) => {
    const runner = await ending(t, { succeeded: '10s' })
    const late = await runner.submit('work', 'succeed', { delay: '30s' })
    await t.advance(30_000)
    await late.wait()
    await t.advance(5_000)
    await touch(t, runner)
    assert.deepEqual(await kept([late]), [true])
    await t.advance(3_000)
    await touch(t, runner)
    assert.deepEqual(await kept([late]), [false])
  },

  'count bounds the finished tasks, and the oldest go first': async (t) => {
    const runner = await ending(t, { count: 3 })
    const tasks: TaskHandle[] = []
    for (let i = 0; i < 6; i++) {
      const task = await runner.submit('work', i % 2 === 0 ? 'succeed' : 'fail')
      await task.wait()
      tasks.push(task)
      await t.advance(10)
    }
    await t.advance(2_000)
    assert.deepEqual(await kept(tasks), [false, false, false, true, true, true])
    assert.deepEqual(ids((await runner.list()).tasks), ids(tasks.slice(3)).reverse())
    const { succeeded, failed } = await runner.counts()
    assert.equal(succeeded + failed, 3)
  },

  'unfinished tasks are never pruned, and count for nothing': async (t) => {
    const work = t.handler()
    const runner = await t.runner({
      tasks: { work: defineTask({ run: work.run }), quick: defineTask({ run: () => 'done' }) },
      retention: { succeeded: 0, cancelled: 0, failed: 0, count: 0 },
      concurrency: 2,
    })
    const running = await runner.submit('work', 1)
    await work.call()
    const scheduled = await runner.submit('work', 2, { delay: '90d' })
    await t.clock.leap(30 * 24 * HOUR)
    const quick = await runner.submit('quick')
    await t.until(async () => {
      const record = await quick.status()
      return record === undefined || record.state === 'succeeded'
    }, 'the quick one has ended')
    await t.advance(2_000)
    assert.equal(await quick.status(), undefined)
    assert.equal((await recordOf(running)).state, 'running')
    assert.equal((await recordOf(scheduled)).state, 'scheduled')
  },

  'a task that was retried is kept until it ends again': async (t) => {
    const runner = await ending(t, { failed: '10s', cancelled: '10s' })
    const task = await runner.submit('work', 'fail')
    await task.wait()
    await task.retry({ delay: '1h' })
    await t.advance(20_000)
    await touch(t, runner)
    assert.equal((await recordOf(task)).state, 'scheduled')
    await t.clock.leap(HOUR)
    await t.reaches(runner, task, 'failed')
    await t.advance(5_000)
    await touch(t, runner)
    assert.deepEqual(await kept([task]), [true])
    await t.advance(5_000)
    await touch(t, runner)
    assert.deepEqual(await kept([task]), [false])
  },

  'a pruned task frees its key and its id, and is gone everywhere': async (t) => {
    const runner = await ending(t, { succeeded: 100 })
    const task = await runner.submit('work', 'succeed', { id: 'mine', key: 'k' })
    await task.wait()
    await t.advance(2_000)
    assert.equal(await task.status(), undefined)
    same(await runner.remove('mine'), false, 'what remove answers')
    assert.deepEqual((await runner.list()).tasks, [])
    same((await runner.counts()).succeeded, 0, 'succeeded tasks')
    same((await runner.submit('work', 'succeed', { key: 'k' })).deduplicated, false, 'it is deduplicated')
    same((await runner.submit('work', 'succeed', { id: 'mine' })).deduplicated, false, 'it is deduplicated')
  },

  'far more than one step of what is over goes within 2 s': async (t) => {
    const runner = await ending(t, { count: 10 })
    await runner.submitMany(
      'work',
      Array.from({ length: 1_700 }, () => 'succeed'),
    )
    await runner.onIdle()
    await t.advance(2_000)
    await t.until(async () => (await runner.counts()).succeeded === 10, 'ten are left')
  },

  'a close in the middle of pruning is no fault': async (t) => {
    const runner = await ending(t, { count: 0 })
    const count = 2_600
    runner.on('succeeded', () => t.alive()) // however long it takes where each step waits for a disk
    await runner.submitMany(
      'work',
      Array.from({ length: count }, () => 'succeed'),
    )
    await runner.onIdle()
    const advancing = t.advance(2_000)
    await t.until(async () => (await runner.counts()).succeeded < count, 'pruning has begun')
    assert.deepEqual(await runner.close(), { completed: 0, returned: 0, abandoned: 0, pending: 0 })
    await advancing
  },
})
