/**
 * Schedules: each occurrence submits its task once, at its time, whoever is there; and what is changed, ended, missed or
 * still at work.
 */
import assert from 'node:assert/strict'
import {
  type BackgroundRunner,
  defineTask,
  type NewTask,
  type RunnerOptions,
  type ScheduleRecord,
  type TaskMap,
  type TaskRecord,
} from '../../index.js'
import type { Handler } from './handler.js'
import { codeOf, pathsOf, refused, schema } from './tools.js'
import { type Setup, type Topic, topic, type World } from './world.js'

const MINUTE = 60_000
const HOUR = 3_600_000
const DAY = 24 * HOUR

/** A runner with `work`, whose calls the test settles. */
async function working(
  t: World,
  options: Partial<Setup> = {},
  work: Handler = t.handler(),
): Promise<{ runner: BackgroundRunner; work: Handler }> {
  const runner = await t.runner({ tasks: { work: defineTask({ retry: { attempts: 1 }, run: work.run }) }, ...options })
  return { runner, work }
}

/** A runner whose handler notes when it was called. */
async function noting(t: World, options: Partial<RunnerOptions<TaskMap>> & { storage?: string } = {}) {
  const times: string[] = []
  const run = (): void => void times.push(iso(t.clock.now()))
  const runner = await t.runner({ tasks: { work: defineTask({ run }) }, ...options })
  return { runner, times }
}

const iso = (time: number): string => new Date(time).toISOString().replace('.000Z', 'Z')

/** The only schedule that there is. */
async function only(runner: BackgroundRunner): Promise<ScheduleRecord> {
  const all = await runner.schedules()
  assert.equal(all.length, 1, 'there is one schedule')
  return all[0] as ScheduleRecord
}

const TASK: Omit<NewTask, 'id' | 'order'> = {
  idIsNew: false,
  name: 'work',
  input: undefined,
  priority: 0,
  delay: 0,
  runAt: undefined,
  maxAttempts: 1,
  extras: undefined,
}

/** All tasks, in the order of their submission. */
async function submitted(runner: BackgroundRunner): Promise<readonly TaskRecord[]> {
  return [...(await runner.list({ limit: 1_000 })).tasks].reverse()
}

const ids = (tasks: readonly TaskRecord[]): string[] => tasks.map(({ id }) => id)

/** Whether croner is installed, without which a pattern is refused; the cases of patterns look no further then. */
async function readsCron(runner: BackgroundRunner): Promise<boolean> {
  try {
    await runner.schedule('probe', { task: 'work', cron: '0 0 1 1 *' })
  } catch (error) {
    assert.equal(codeOf(error), 'MISSING_DEPENDENCY')
    return false
  }
  return runner.unschedule('probe')
}

export const schedules: readonly Topic[] = [
  topic(
    'schedules',
    {
      'a task is submitted every so often, from the call on, and the schedule tells of it': async (t) => {
        const { runner, work } = await working(t, {}, t.handler())
        const start = t.clock.now()
        await runner.schedule('tick', { task: 'work', input: { a: [1] }, every: '1m' })
        const tick = { id: 'tick', task: 'work', input: { a: [1] }, every: MINUTE, overlap: 'skip' }
        assert.deepEqual(await runner.schedules(), [{ ...tick, next: start + MINUTE }])
        await t.advance(MINUTE - 1)
        work.wasCalled(0)
        await t.advance(1)
        ;(await work.call(1)).resolve()
        const [first] = await submitted(runner)
        assert.equal(first?.id, `tick-${start + MINUTE}`)
        assert.deepEqual(await runner.schedules(), [
          { ...tick, next: start + 2 * MINUTE, last: start + MINUTE, lastTask: first?.id },
        ])
        await t.advance(MINUTE)
        ;(await work.call(2)).resolve()
        assert.deepEqual(work.inputs, [{ a: [1] }, { a: [1] }])
        await t.settle()
      },

      'a schedule is no task: counts, list and onIdle know nothing of it': async (t) => {
        const { runner } = await working(t)
        await runner.schedule('tick', { task: 'work', every: '1m' })
        assert.deepEqual(await submitted(runner), [])
        assert.equal((await runner.counts()).scheduled, 0)
        await runner.onIdle()
      },

      'a cron pattern is read in UTC, where no zone is given, with or without seconds': async (t) => {
        const { runner, times } = await noting(t)
        if (!(await readsCron(runner))) return
        await runner.schedule('a', { task: 'work', cron: '30 2 * * *' })
        assert.equal((await only(runner)).timezone, 'UTC')
        await t.advance(27 * HOUR)
        assert.deepEqual(times, ['2030-01-01T02:30:00Z', '2030-01-02T02:30:00Z'])
        await runner.schedule('a', { task: 'work', cron: '*/20 * * * * *' })
        await t.advance(MINUTE)
        assert.deepEqual(times.slice(2), ['2030-01-02T03:00:20Z', '2030-01-02T03:00:40Z', '2030-01-02T03:01:00Z'])
      },

      'where the clocks go forward, a time that they skip comes as the gap ends': async (t) => {
        t.clock.setWall(Date.UTC(2030, 2, 30, 0, 30))
        const { runner, times } = await noting(t)
        if (!(await readsCron(runner))) return
        await runner.schedule('night', { task: 'work', cron: '30 2 * * *', timezone: 'Europe/Berlin' })
        await t.advance(50 * HOUR)
        assert.deepEqual(times, ['2030-03-30T01:30:00Z', '2030-03-31T01:00:00Z', '2030-04-01T00:30:00Z'])
      },

      'where the clocks go back, a time that they repeat comes once, and an hourly one each hour': async (t) => {
        t.clock.setWall(Date.UTC(2030, 9, 26, 22, 15))
        const { runner, times } = await noting(t)
        if (!(await readsCron(runner))) return
        await runner.schedule('night', { task: 'work', cron: '30 2 * * *', timezone: 'Europe/Berlin' })
        await t.advance(28 * HOUR)
        assert.deepEqual(times, ['2030-10-27T00:30:00Z', '2030-10-28T01:30:00Z'])
        await runner.unschedule('night')
        t.clock.setWall(Date.UTC(2030, 9, 26, 23, 45))
        await runner.schedule('hourly', { task: 'work', cron: '0 * * * *', timezone: 'Europe/Berlin' })
        await t.advance(3 * HOUR)
        assert.deepEqual(times.slice(2), ['2030-10-27T00:00:00Z', '2030-10-27T01:00:00Z', '2030-10-27T02:00:00Z'])
      },

      'every counts real time, whatever the clocks do': async (t) => {
        t.clock.setWall(Date.UTC(2030, 2, 30, 12))
        const { runner, times } = await noting(t)
        await runner.schedule('day', { task: 'work', every: '1d' })
        await t.advance(48 * HOUR)
        assert.deepEqual(times, ['2030-03-31T12:00:00Z', '2030-04-01T12:00:00Z'])
      },

      'scheduled again as it was, it changes nothing; changed, it counts from now, and keeps what was last': async (
        t,
      ) => {
        const { runner, work } = await working(t)
        const start = t.clock.now()
        await runner.schedule('tick', { task: 'work', input: 1, every: '1m', overlap: 'queue' })
        await t.advance(90_000)
        ;(await work.call(1)).resolve()
        await t.settle()
        const before = await only(runner)
        await runner.schedule('tick', { task: 'work', input: 1, every: 60_000, overlap: 'queue' })
        assert.deepEqual(await only(runner), before)
        await runner.schedule('tick', { task: 'work', input: 2, every: '2m' })
        const changed = await only(runner)
        assert.equal(changed.next, start + 90_000 + 2 * MINUTE)
        assert.deepEqual([changed.last, changed.lastTask], [before.last, before.lastTask])
        await t.advance(2 * MINUTE)
        ;(await work.call(2)).resolve()
        assert.deepEqual(work.inputs, [1, 2])
        await t.settle()
        assert.equal((await submitted(runner)).length, 2, 'nothing came of what it was before')
      },

      'unscheduled, it fires no more, and what it has submitted goes on': async (t) => {
        const { runner, work } = await working(t)
        await runner.schedule('tick', { task: 'work', every: '1m' })
        await t.advance(MINUTE)
        const call = await work.call(1)
        assert.equal(await runner.unschedule('tick'), true)
        assert.equal(await runner.unschedule('tick'), false)
        assert.deepEqual(await runner.schedules(), [])
        await t.advance(5 * MINUTE)
        work.wasCalled(1)
        call.resolve()
        await t.settle()
        assert.equal((await submitted(runner))[0]?.state, 'succeeded')
      },

      'an id may be the name of what every object has': async (t) => {
        const { runner, times } = await noting(t)
        for (const id of ['__proto__', 'constructor', 'toString']) {
          assert.equal(await runner.unschedule(id), false)
          await runner.schedule(id, { task: 'work', every: '1m' })
        }
        await t.advance(MINUTE)
        assert.equal(times.length, 3)
        for (const id of ['__proto__', 'constructor', 'toString']) assert.equal(await runner.unschedule(id), true)
        assert.deepEqual(await runner.schedules(), [])
      },

      'an occurrence is passed over while the task of the last one has not ended': async (t) => {
        const { runner, work } = await working(t)
        const start = t.clock.now()
        await runner.schedule('tick', { task: 'work', every: '1m' })
        await t.advance(3 * MINUTE + 1)
        work.wasCalled(1)
        assert.equal((await submitted(runner)).length, 1)
        const { next, last } = await only(runner)
        assert.deepEqual([next, last], [start + 4 * MINUTE, start + MINUTE])
        work.calls[0]?.resolve()
        await t.settle()
        await t.advance(MINUTE)
        await work.call(2)
        assert.deepEqual(ids(await submitted(runner)), [`tick-${start + MINUTE}`, `tick-${start + 4 * MINUTE}`])
      },

      "with overlap: 'queue' each is submitted": async (t) => {
        const { runner, work } = await working(t, { concurrency: 1 })
        await runner.schedule('tick', { task: 'work', every: '1m', overlap: 'queue' })
        await t.advance(3 * MINUTE)
        await work.call(1)
        assert.equal((await submitted(runner)).length, 3)
        work.wasCalled(1)
      },

      'what was missed comes once, and then it goes on at its pace': async (t) => {
        const { runner, times } = await noting(t)
        const start = t.clock.now()
        await runner.schedule('tick', { task: 'work', every: '1m', overlap: 'queue' })
        await t.clock.leap(10 * MINUTE + 1_000)
        assert.deepEqual(times, ['2030-01-01T00:10:01Z'])
        const { next, last } = await only(runner)
        assert.deepEqual([next, last], [start + 11 * MINUTE, start + MINUTE])
        await t.advance(59_000)
        assert.deepEqual(times, ['2030-01-01T00:10:01Z', '2030-01-01T00:11:00Z'])
      },

      'a clock that was far ahead and is set back stops no schedule': async (t) => {
        const { runner, times } = await noting(t)
        const start = t.clock.now()
        await runner.schedule('tick', { task: 'work', every: '1h' })
        if (await readsCron(runner)) await runner.schedule('cron', { task: 'work', cron: '30 * * * *' })
        const expected = (await runner.schedules()).length
        t.clock.setWall(start + 400 * DAY)
        await t.advance(MINUTE) // it is noticed by then
        assert.equal(times.length, expected, 'what fell due meanwhile came late')
        t.clock.setWall(start)
        await t.advance(MINUTE)
        assert.ok(
          (await runner.schedules()).every(({ next }) => next <= start + HOUR + MINUTE),
          'the next times are of the clock as it is',
        )
        await t.advance(2 * HOUR)
        // Of the pattern the first one is the task that is there.
        assert.equal(times.length, expected + 2 + (expected - 1))
      },

      'what a full queue refuses is told, and comes when there is room': async (t) => {
        const { runner, work } = await working(t, { concurrency: 1, maxPending: 1, faults: 'expected' })
        await runner.submitMany('work', ['running'])
        await work.call(1)
        await runner.submit('work', 'waiting')
        await runner.schedule('tick', { task: 'work', input: 'tick', every: '1m' })
        await t.advance(MINUTE + 25_000)
        assert.deepEqual(
          t.faults.map(({ error }) => (error as { code?: string }).code),
          ['QUEUE_FULL'],
          'it is told once',
        )
        work.calls[0]?.resolve()
        ;(await work.call(2)).resolve()
        await t.advance(10_000)
        await work.call(3)
        assert.deepEqual(work.inputs, ['running', 'waiting', 'tick'])
      },

      'a close ends it, and a runner that closes takes no more': async (t) => {
        const { runner, work } = await working(t)
        await runner.schedule('tick', { task: 'work', every: '1m' })
        await t.closed(runner)
        assert.equal(t.clock.holding, 0, 'timers that hold the process')
        await t.advance(5 * MINUTE)
        work.wasCalled(0)
        await refused(runner.schedule('tock', { task: 'work', every: '1m' }), 'RUNNER_CLOSED')
        await refused(runner.unschedule('tick'), 'RUNNER_CLOSED')
        await refused(runner.schedules(), 'RUNNER_CLOSED')
      },

      'a wrong schedule is refused with all that is wrong, and nothing is stored': async (t) => {
        const { runner } = await working(t)
        const wrong: readonly (readonly [unknown, unknown, ...string[]])[] = [
          ['a b', { task: 'work', every: 1_000 }, 'id'],
          ['', { task: 'work', every: 1_000 }, 'id'],
          ['x'.repeat(101), { task: 'work', every: 1_000 }, 'id'],
          [undefined, { task: 'work', every: 1_000 }, 'id'],
          ['a', undefined, ''],
          ['a', { every: '1m' }, 'task'],
          ['a', { task: 'work' }, 'cron'],
          ['a', { task: 'work', every: '1m', cron: '* * * * *' }, 'every'],
          ['a', { task: 'work', every: '1m', timezone: 'UTC' }, 'timezone'],
          ['a', { task: 'work', every: 0 }, 'every'],
          ['a', { task: 'work', every: '999ms' }, 'every'],
          ['a', { task: 'work', every: 'often', overlap: 'maybe', when: 1 }, 'every', 'overlap', 'when'],
          ['a', { task: 'work', cron: 5, timezone: 'Europe/Atlantis' }, 'cron', 'timezone'],
          ['a', { task: 'work', cron: '0 3 * * *', timezone: '+02:00' }, 'timezone'],
        ]
        const patterns = ['often', '60 * * * *', '* * * *', '2030-01-01T00:00:00', '0 0 30 2 *']
        for (const cron of (await readsCron(runner)) ? patterns : [])
          await refused(runner.schedule('a', { task: 'work', cron }), 'INVALID_INPUT', cron)
        for (const [id, options, ...paths] of wrong) {
          const error = await refused(runner.schedule(id as never, options as never), 'INVALID_INPUT', id, options)
          assert.deepEqual(pathsOf(error), [...paths].sort(), JSON.stringify(options))
        }
        await refused(runner.schedule('a', { task: 'nobody', every: 1_000 } as never), 'UNKNOWN_TASK')
        assert.deepEqual(await runner.schedules(), [])
      },

      'its input is checked by the schema of the task, and kept as it was then': async (t) => {
        const work = t.handler()
        const input = schema((value) =>
          typeof (value as { n?: unknown } | undefined)?.n === 'number'
            ? { value }
            : { issues: [{ message: 'no number', path: ['n'] }] },
        )
        const runner = await t.runner({ tasks: { work: defineTask({ input, run: work.run }) } })
        for (const bad of [undefined, {}, { n: 'one' }]) {
          const error = await refused(runner.schedule('a', { task: 'work', input: bad, every: 1_000 }), 'INVALID_INPUT')
          assert.deepEqual(pathsOf(error), ['n'])
        }
        await refused(runner.schedule('a', { task: 'work', input: { n: () => 1 }, every: 1_000 }), 'INVALID_INPUT')
        const given = { n: 1 }
        await runner.schedule('a', { task: 'work', input: given, every: 1_000 })
        given.n = 2
        ;((await only(runner)).input as { n: number }).n = 3
        await t.advance(1_000)
        await work.call(1)
        assert.deepEqual(work.inputs, [{ n: 1 }])
      },

      'fireSchedule of one that has fired, has changed or is gone since it was read does nothing': async (t) => {
        const engine = await t.engine()
        const work = defineTask({ run: () => {} })
        const runner = await t.opening({ tasks: { work }, work: false }, engine)
        await runner.ready()
        const task = (id: string): NewTask => ({ ...TASK, id, order: id.charCodeAt(0) })
        const fire = async (schedule: ScheduleRecord, id?: string): Promise<boolean | undefined> =>
          engine.fireSchedule?.(schedule, schedule.next + MINUTE, id === undefined ? undefined : task(id))
        await runner.schedule('tick', { task: 'work', every: '1m' })
        const first = await only(runner)
        assert.equal(await fire(first, 'a'), true)
        assert.equal(await fire(first, 'b'), false, 'it has fired')
        const second = await only(runner)
        assert.deepEqual(second, { ...first, next: first.next + MINUTE, last: first.next, lastTask: 'a' })
        assert.equal(await fire(second), true)
        const third = await only(runner)
        assert.deepEqual(third, { ...second, next: second.next + MINUTE }, 'it was passed over')
        await engine.putSchedule?.({ ...third, input: 'other' })
        assert.equal(await fire(third, 'c'), false, 'it has changed, its time has not')
        const fourth = await only(runner)
        await runner.unschedule('tick')
        assert.equal(await fire(fourth, 'd'), false, 'it is gone')
        assert.deepEqual(ids(await submitted(runner)), ['a'])
      },

      'they are told in the order of their ids': async (t) => {
        const { runner } = await working(t)
        for (const id of ['b', 'c', 'a']) await runner.schedule(id, { task: 'work', every: '1h' })
        assert.deepEqual(
          (await runner.schedules()).map(({ id }) => id),
          ['a', 'b', 'c'],
        )
      },

      'a task that has the id of an occurrence already is not submitted again': async (t) => {
        const { runner, work } = await working(t)
        const start = t.clock.now()
        await runner.submit('work', 'mine', { id: `tick-${start + MINUTE}` })
        ;(await work.call(1)).resolve()
        await runner.schedule('tick', { task: 'work', input: 'tick', every: '1m' })
        await t.advance(2 * MINUTE)
        await work.call(2)
        assert.deepEqual(work.inputs, ['mine', 'tick'])
      },
    },
    { schedules: true },
  ),

  topic(
    'schedules over restarts',
    {
      'they are there again, go on at their pace, and what was missed comes once': async (t) => {
        const first = await working(t, { storage: 'kept' })
        const start = t.clock.now()
        await first.runner.schedule('tick', { task: 'work', input: 'tick', every: '1m' })
        const night = (await readsCron(first.runner))
          ? { cron: '0 3 * * *', timezone: 'Europe/Berlin' }
          : { every: DAY }
        await first.runner.schedule('cron', { task: 'work', input: 'cron', ...night })
        const before = await first.runner.schedules()
        await t.closed(first.runner)
        const second = await working(t, { storage: 'kept' })
        assert.deepEqual(await second.runner.schedules(), before)
        await t.advance(start + MINUTE - t.clock.now())
        ;(await second.work.call(1)).resolve()
        await t.settle()
        await t.closed(second.runner)
        await t.advance(10 * MINUTE)
        const third = await working(t, { storage: 'kept' })
        ;(await third.work.call(1)).resolve()
        await t.settle()
        const [, tick] = await third.runner.schedules()
        assert.deepEqual([tick?.last, tick?.next], [start + 2 * MINUTE, start + 12 * MINUTE])
        await t.advance(start + 12 * MINUTE - t.clock.now())
        await third.work.call(2)
      },

      'a deploy that schedules all again changes nothing': async (t) => {
        const first = await working(t, { storage: 'kept' })
        const night = (await readsCron(first.runner)) ? { cron: '0 3 * * *' } : { every: DAY }
        const options = { task: 'work', input: { b: 1, a: [null] }, ...night }
        await first.runner.schedule('night', options)
        const before = await first.runner.schedules()
        await t.closed(first.runner)
        const second = await working(t, { storage: 'kept' })
        await second.runner.schedule('night', options)
        assert.deepEqual(await second.runner.schedules(), before)
      },

      'made by a clock that was far ahead, they come by the clock as it is': async (t) => {
        const start = t.clock.now()
        t.clock.setWall(start + 400 * DAY)
        const first = await working(t, { storage: 'kept' })
        await first.runner.schedule('tick', { task: 'work', every: '1h' })
        await t.closed(first.runner)
        t.clock.setWall(start)
        const second = await working(t, { storage: 'kept' })
        await t.settle()
        second.work.wasCalled(0)
        await t.advance(HOUR)
        await second.work.call(1)
      },

      'one whose task is not known is left to those who know it': async (t) => {
        const first = await working(t, { storage: 'kept' })
        await first.runner.schedule('tick', { task: 'work', every: '1m' })
        await t.closed(first.runner)
        const other = await t.runner({ tasks: { other: defineTask({ run: () => {} }) }, storage: 'kept' })
        await t.advance(5 * MINUTE)
        assert.deepEqual(await submitted(other), [])
        const { work } = await working(t, { storage: 'kept' })
        await work.call(1)
      },
    },
    { schedules: true, durable: true },
  ),

  topic(
    'schedules of several processes',
    {
      'each occurrence fires once': async (t) => {
        const all = [await noting(t, { storage: 'common' })]
        all.push(await noting(t, { storage: 'common' }), await noting(t, { storage: 'common' }))
        const start = t.clock.now()
        for (const { runner } of all) await runner.schedule('tick', { task: 'work', every: '1m', overlap: 'queue' })
        await t.settle()
        for (let n = 1; n <= 5; n++) {
          await t.advance(start + n * MINUTE - t.clock.now())
          await t.until(() => all.flatMap(({ times }) => times).length >= n, `occurrence ${n} runs somewhere`)
        }
        await t.settle()
        const { runner } = all[0] as (typeof all)[0]
        assert.deepEqual(
          ids(await submitted(runner)),
          [1, 2, 3, 4, 5].map((n) => `tick-${start + n * MINUTE}`),
        )
        assert.equal(all.flatMap(({ times }) => times).length, 5)
      },

      'what one that only submits schedules, changes and ends, another one hears of': async (t) => {
        const web = await working(t, { storage: 'common', work: false })
        const worker = await working(t, { storage: 'common' })
        await web.runner.schedule('tick', { task: 'work', input: 1, every: '3s' })
        const first = await t.news(() => worker.work.calls[0], 'it fires')
        first.resolve()
        await web.runner.schedule('tick', { task: 'work', input: 2, every: '2s' })
        const second = await t.news(() => worker.work.calls.find(({ input }) => input === 2), 'the changed one fires')
        second.resolve()
        await web.runner.unschedule('tick')
        await t.settle()
        const { length } = worker.work.calls
        await t.advance(30_000)
        worker.work.wasCalled(length)
        web.work.wasCalled(0)
      },
    },
    { schedules: true, shared: true },
  ),

  topic(
    'no schedules',
    {
      'an engine that keeps none refuses them with UnsupportedByEngineError': async (t) => {
        const { runner } = await working(t)
        await refused(runner.schedule('tick', { task: 'work', every: '1m' }), 'UNSUPPORTED_BY_ENGINE')
        await refused(runner.unschedule('tick'), 'UNSUPPORTED_BY_ENGINE')
        await refused(runner.schedules(), 'UNSUPPORTED_BY_ENGINE')
      },
    },
    { schedules: false },
  ),
]
