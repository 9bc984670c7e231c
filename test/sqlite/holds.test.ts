/** Holds in a file: probes whose process dies, transactions that come to nothing, and what other connections write. */
import assert from 'node:assert/strict'
import { BackgroundRunner, defineTask, type Hold, RetryLaterError } from 'background-runner'
import { sqlite } from 'background-runner/sqlite'
import { afterAll, describe, it } from 'vitest'
import { VirtualClock } from '../../src/testing/virtual-clock.js'
import { connect } from './support/connection.js'
import { eventually } from './support/fault-world.js'
import { place } from './support/place.js'
import { World } from './support/process.js'

const world = new World()
afterAll(() => world.end())
const at = place()

const SLOW = 30_000

describe('a name that is held, and several processes', () => {
  it(
    'a probe whose process dies leaves the hold, and the next one comes from another process',
    async () => {
      const path = world.path()
      const settings = { path, lease: 1_500 }
      const web = await world.process({ ...settings, work: false })
      const first = await world.process(settings)
      const sick = await web.submit('sick')
      await first.tells('held', 'work')
      const [one, other] = [await web.submit('hold'), await web.submit('hold')]
      await first.tells('called', one)
      await first.kill()
      const second = await world.process(settings)
      await second.tells('called', one)
      const [hold, ...more] = await web.ask<Hold[]>('holds')
      assert.deepEqual([hold?.name, more], ['work', []])
      assert.equal((await second.ask<{ running: number }>('counts')).running, 1)
      assert.equal(second.tellings('called', other).length, 0, 'the probe has not answered')
      await second.ask('release', one, 'done')
      await second.tells('called', other)
      await second.tells('unheld', 'work')
      await second.ask('release', other, 'done')
      assert.equal((await web.ask('wait', sick)).state, 'succeeded')
      assert.deepEqual(await web.ask('holds'), [])
      assert.deepEqual([...web.told, ...second.told].filter(({ event }) => event === 'held').length, 0)
    },
    SLOW,
  )
})

/** A runner by a virtual clock whose task throws what it is told to; and what is told of holds. */
async function opened() {
  const clock = new VirtualClock()
  const calls: { id: string; end: (error?: Error) => void }[] = []
  const runner = new BackgroundRunner({
    clock,
    concurrency: 5,
    tasks: {
      work: defineTask({
        run: (_input: unknown, { id }) =>
          new Promise<void>((resolve, reject) => {
            calls.push({ id, end: (error) => (error === undefined ? resolve() : reject(error)) })
          }),
      }),
    },
    engine: sqlite({ path: at.path }),
  })
  const told: string[] = []
  runner.on('held', () => void told.push('held'))
  runner.on('unheld', () => void told.push('unheld'))
  at.after(async () => {
    const closing = runner.close({ deadline: 0 })
    for (const { end } of calls) end()
    await clock.advance(2_000)
    await closing
  })
  await runner.ready()
  const called = (n: number): Promise<void> => eventually(`call ${n}`, () => calls.length >= n)
  const end = (n: number, error?: Error): void => calls[n - 1]?.end(error)
  return { runner, clock, told, called, end, calls }
}

const sick = (delay: number): Error => new RetryLaterError({ delay, hold: true })

describe('a hold', () => {
  it('is told once, and only when it is committed, however often the transaction was tried', async () => {
    const { runner, told, called, end } = await opened()
    const database = await connect(at.path)
    const refuse = (change: string): void =>
      database.exec(`CREATE TRIGGER refused BEFORE ${change} ON holds BEGIN SELECT RAISE(ABORT, 'not now'); END`)
    const { id } = await runner.submit('work')
    await called(1)
    refuse('INSERT')
    end(1, sick(1_000))
    // The same group, tried again without the one at fault.
    await runner.submit('work', undefined, { delay: '1d' })
    assert.deepEqual([(await runner.status(id))?.state, await runner.holds(), told], ['running', [], []])
    database.exec('DROP TRIGGER refused')
    await eventually('the verdict is written', async () => (await runner.holds()).length === 1)
    await eventually('the hold is told', () => told.length > 0)
    assert.deepEqual([(await runner.status(id))?.state, told], ['scheduled', ['held']])
    database.close()
  })

  it('that another connection has taken away, prolonged or given a probe is as that has left it', async () => {
    const { runner, clock, told, called, end, calls } = await opened()
    await runner.submit('work')
    await called(1)
    end(1, sick(1_000))
    await eventually('it is told', () => told.length > 0)
    const [hold] = await runner.holds()
    const database = await connect(at.path)
    database.exec('UPDATE holds SET until = until + 5000')
    assert.deepEqual(await runner.holds(), [{ ...hold, until: (hold?.until ?? 0) + 5_000 }])
    await runner.submitMany('work', [2, 3, 4])
    await clock.advance(5_999)
    await runner.counts()
    assert.equal(calls.length, 1, 'it is held for longer')
    await clock.advance(1)
    await called(2)
    // As an older program does that has taken this process for dead: it knows of no hold.
    database.exec(`BEGIN; UPDATE tasks SET state = 0, worker = NULL WHERE state = 2;
      UPDATE counts SET n = n + CASE state WHEN 0 THEN 1 ELSE -1 END WHERE state IN (0, 2); COMMIT`)
    await called(3)
    assert.equal(calls[2]?.id, calls[1]?.id, 'the best one probes again')
    // And now it runs it itself: that is no probe.
    database.exec('UPDATE tasks SET attempt = attempt + 1, worker = 99 WHERE state = 2')
    await called(4)
    assert.notEqual(calls[3]?.id, calls[1]?.id, 'another one probes')
    await runner.counts()
    assert.equal(calls.length, 4)
    database.exec('DELETE FROM holds')
    await called(5)
    assert.deepEqual([await runner.holds(), told], [[], ['held']])
    for (const n of [2, 3, 4, 5]) end(n)
    database.close()
  })
})
