/** Schedules in true processes over one file, one of which dies. */
import assert from 'node:assert/strict'
import type { ListPage, ScheduleRecord } from 'background-runner'
import { afterAll, it } from 'vitest'
import { type Process, World } from './support/process.js'

const world = new World()
afterAll(() => world.end())

it('each occurrence runs once, though several processes have an alarm for it, and one of them dies', async () => {
  const path = world.path()
  const web = await world.process({ path, work: false })
  const first = await world.process({ path })
  const workers = [first, await world.process({ path }), await world.process({ path })]
  const calls = (from: readonly Process[] = workers): string[] =>
    from.flatMap((each) => each.tellings('called').map(({ id }) => id))
  const until = async (count: number, from: readonly Process[]): Promise<void> => {
    while (calls(from).length < count) await Promise.race(from.map((each) => each.news()))
  }
  await web.ask('schedule', 'span', { task: 'work', input: 'return', every: '1s', overlap: 'queue' })
  await web.ask('schedule', 'cron', { task: 'work', input: 'return', cron: '* * * * * *', overlap: 'queue' })
  await until(4, workers)
  await first.kill()
  const living = workers.slice(1)
  await until(calls(living).length + 4, living)
  const schedules = await web.ask<ScheduleRecord[]>('schedules')
  for (const { id } of schedules) assert.equal(await web.ask('unschedule', id), true)
  assert.deepEqual(await web.ask('schedules'), [])
  await web.ask('onIdle')

  const { tasks } = await web.ask<ListPage>('list', { limit: 1_000 })
  const known = tasks.map(({ id }) => id)
  assert.ok(known.length >= 6, `there were ${known.length}`) // of each schedule one may have run twice
  for (const { id, next } of schedules) {
    const times = known.filter((each) => each.startsWith(id)).map((each) => Number(each.split('-')[1]))
    for (const time of times) assert.equal((next - time) % 1_000, 0, `${id}: an occurrence at ${time}`)
  }
  // What ran as its process died runs again.
  assert.equal(new Set(calls(living)).size, calls(living).length)
  assert.deepEqual([...new Set(tasks.map(({ state }) => state))], ['succeeded'])
  assert.deepEqual(
    living.flatMap((each) => each.tellings('error').map(({ id }) => id)),
    [],
  )
})
