/** Whether the runner is paused, as far as it can be told. */
import { BackgroundRunner, type Clock, defineTask } from 'background-runner'
import { expect, it, onTestFinished } from 'vitest'
import { Pausing } from '../../src/http/queue.js'
import { realTime } from '../../src/http/time.js'

it('is told by what waits; a pause that another process has ended, by what has begun since', async () => {
  const runner = new BackgroundRunner({ tasks: { note: defineTask({ run: async () => {} }) } })
  onTestFinished(async () => {
    await runner.close({ deadline: 0, drain: false })
  })
  let looks = 0
  // Each look is long after the last.
  const clock: Clock = { ...realTime, monotonic: () => looks++ * 1e6 }
  const pausing = new Pausing(clock)
  const look = (): Promise<boolean | null> => pausing.look(runner as unknown as BackgroundRunner)
  expect(await look()).toBe(null)
  // As another process would: nobody tells the one that looks.
  await runner.pause()
  expect(await look()).toBe(null)
  const { id } = await runner.submit('note')
  expect(await look()).toBe(true)
  await new Promise((resolve) => setTimeout(resolve, 5))
  await runner.resume()
  await runner.wait(id)
  expect(await look()).toBe(false)
  await new Promise((resolve) => setTimeout(resolve, 5))
  await runner.pause()
  pausing.set(true)
  expect(await look()).toBe(true)
})
