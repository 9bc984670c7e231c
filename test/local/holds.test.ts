/** What holds cost the local engine: it sleeps until their time, and asks its store no more than it must. */
import assert from 'node:assert/strict'
import { BackgroundRunner, defineTask, localEngine, RetryLaterError, type Store } from 'background-runner'
import { createTestRunner } from 'background-runner/testing'
import { describe, it } from 'vitest'
import { MemoryStore } from '../../src/local/memory-store.js'
import { turns } from '../../src/testing/real-time.js'
import { VirtualClock } from '../../src/testing/virtual-clock.js'

const HOUR = 3_600_000

/** Throws in the first attempts of the first task, as often as it is told. */
function sickly(times: number, delay: number | string = HOUR) {
  let left = times
  return defineTask({
    run: (_input: unknown) => {
      if (left-- > 0) throw new RetryLaterError({ delay, hold: true, cause: new Error('the login was refused') })
      return 'sent'
    },
  })
}

describe('the local engine, while a name is held', () => {
  it('wakes for it when its time has come, and asks the store for nothing before', async () => {
    const asked = { outlook: 0, claim: 0 }
    const store: Store = new MemoryStore() as never
    const { outlook, claim } = store
    store.outlook = (now) => {
      asked.outlook++
      return outlook.call(store, now)
    }
    store.claim = (admission, now) => {
      asked.claim++
      return claim.call(store, admission, now)
    }
    const clock = new VirtualClock(() => turns(3))
    const runner = new BackgroundRunner({
      clock,
      engine: localEngine(store),
      concurrency: 5,
      tasks: { mail: sickly(1), other: defineTask({ run: () => {} }) },
    })
    const begun = clock.now()
    const tasks = await runner.submitMany('mail', Array(100).fill(1))
    await clock.advance(1_000)
    const before = { ...asked }
    await clock.advance(HOUR - 1_001)
    assert.deepEqual(asked, before)
    const { id } = await runner.submit('other', 1)
    await runner.wait(id)
    await clock.advance(0)
    assert.ok(asked.outlook - before.outlook <= 3 && asked.claim - before.claim <= 3, JSON.stringify([before, asked]))
    await clock.advance(1)
    for (const task of tasks) assert.equal((await task.wait()).state, 'succeeded')
    assert.equal(clock.now() - begun, HOUR)
    await runner.close()
  })
})

describe('a test runner', () => {
  it('drains what can start, and logs what is held', async () => {
    const { runner, drain, clock, log } = createTestRunner({ tasks: { mail: sickly(2, '1m') } })
    await runner.submit('mail', 1)
    await runner.submit('mail', 2)
    runner.concurrency = 1
    assert.equal((await drain()).length, 1)
    assert.equal((await drain()).length, 0)
    await clock.advance('1m')
    assert.equal((await runner.holds()).length, 1)
    await clock.advance('1m')
    assert.equal(
      String(log),
      `\
+0ms       submitted   mail 1
+0ms       submitted   mail 2
+0ms       started     mail 1, attempt 1
+0ms       retrying    mail 1, attempt 1, in 1m: RETRY_LATER to be run again in 1m: the login was refused
+0ms       held        mail, in 1m: RETRY_LATER to be run again in 1m: the login was refused
+1m        started     mail 2, attempt 1
+1m        retrying    mail 2, attempt 1, in 1m: RETRY_LATER to be run again in 1m: the login was refused
+1m        held        mail, in 1m: RETRY_LATER to be run again in 1m: the login was refused
+2m        started     mail 1, attempt 2
+2m        succeeded   mail 1, attempt 2
+2m        unheld      mail
+2m        started     mail 2, attempt 2
+2m        succeeded   mail 2, attempt 2
+2m        idle`,
    )
    await runner.close()
  })

  it('takes what is submitted inline over its hold', async () => {
    const { runner, clock } = createTestRunner({ tasks: { mail: sickly(3, '1m') }, mode: 'inline' })
    const start = clock.now()
    const { id } = await runner.submit('mail', 1)
    assert.equal((await runner.status(id))?.state, 'succeeded')
    assert.equal(clock.now() - start, 180_000)
    await runner.close()
  })
})
