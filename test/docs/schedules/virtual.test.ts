import { defineTask } from 'background-runner'
import { createTestRunner } from 'background-runner/testing'
import { expect, it } from 'vitest'

it('reports at four in the morning, in summer and winter', async () => {
  const times: string[] = []
  const report = defineTask({ run: () => void times.push(new Date(clock.now()).toISOString()) })
  const { runner, clock } = createTestRunner({ now: '2030-03-30T00:00:00Z', tasks: { report } })

  await runner.schedule('nightly', { task: 'report', cron: '0 4 * * *', timezone: 'Europe/Berlin' })
  await clock.advance('2d') // takes some ms

  expect(times).toEqual(['2030-03-30T03:00:00.000Z', '2030-03-31T02:00:00.000Z'])
})
