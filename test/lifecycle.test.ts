/** The life of a task, where one process alone cannot show it: deaths, and arrows that are not there. */
import type { Outcome } from 'background-runner'
import { describe, expect, it } from 'vitest'
import { becomeDue, cancel, claim, crash, isSuspect, retry, settle } from '../src/lifecycle.js'
import { type StoredTask, type TaskState, toRecord } from '../src/record.js'

const NOW = Date.UTC(2030, 0, 1)

function task(state: TaskState = 'queued'): StoredTask {
  const born = {
    id: 't',
    name: 'work',
    state,
    input: undefined,
    output: undefined,
    error: undefined,
    extras: undefined,
  }
  return { ...born, attempt: 0, maxAttempts: 3, priority: 0, createdAt: NOW, runAt: NOW, startedAt: 0, finishedAt: 0 }
}

function dies(of: StoredTask, death: 'innocent' | 'counted' | 'alone'): string {
  claim(of, NOW)
  return crash(of, death, NOW)
}

describe('a task whose process dies', () => {
  it('goes back to the queue, and no attempt of its budget is used', () => {
    const mine = task()
    expect(dies(mine, 'counted')).toBe('stalled')
    expect(toRecord(mine)).toMatchObject({ state: 'queued', attempt: 1, maxAttempts: 4 })
    expect(toRecord(mine).attempts).toEqual([{ number: 1, startedAt: NOW, finishedAt: NOW, outcome: 'crashed' }])
    expect(isSuspect(mine)).toBe(false)
  })

  it('was handed back, and has not crashed, where its process is known to live or has given it up', () => {
    const mine = task()
    for (let n = 0; n < 5; n++) expect(dies(mine, 'innocent')).toBe('stalled')
    expect(toRecord(mine).attempts.map(({ outcome }) => outcome)).toEqual(Array(5).fill('released'))
    expect(isSuspect(mine)).toBe(false)
  })

  it('is a suspect after two deaths in a row, and CRASHED after a third as the only suspect', () => {
    const mine = task()
    dies(mine, 'counted')
    dies(mine, 'counted')
    expect(isSuspect(mine)).toBe(true)
    expect(dies(mine, 'counted')).toBe('stalled')
    expect(dies(mine, 'alone')).toBe('failed')
    expect(toRecord(mine)).toMatchObject({ state: 'failed', error: { code: 'CRASHED' }, attempt: 4 })
  })

  it('is cleared by any verdict, and by a manual retry', () => {
    const verdicts: readonly Outcome[] = [
      { type: 'released' },
      { type: 'retry', error: { name: 'Error', message: '' }, runAt: NOW, countsAsAttempt: false, maxAttempts: 3 },
      { type: 'failed', error: { name: 'Error', message: '' } },
    ]
    for (const verdict of verdicts) {
      const mine = task()
      dies(mine, 'counted')
      dies(mine, 'counted')
      claim(mine, NOW)
      settle(mine, verdict, NOW)
      expect(isSuspect(mine), verdict.type).toBe(false)
    }
    const crashed = task()
    for (let n = 0; n < 3; n++) dies(crashed, 'alone')
    expect(crashed.state).toBe('failed')
    retry(crashed, NOW, NOW)
    expect(isSuspect(crashed)).toBe(false)
    expect(dies(crashed, 'alone')).toBe('stalled')
  })

  it('counts no death where it was abandoned, or taken from a process that lives', () => {
    const mine = task()
    for (let n = 0; n < 5; n++) expect(dies(mine, 'innocent')).toBe('stalled')
    expect(isSuspect(mine)).toBe(false)
    expect(toRecord(mine)).toMatchObject({ attempt: 5, maxAttempts: 8 })
  })

  it('is cancelled where that was asked', () => {
    const mine = task()
    claim(mine, NOW)
    expect(cancel(mine, { reason: 'withdrawn' }, NOW)).toBe('asked')
    expect(crash(mine, 'counted', NOW)).toBe('cancelled')
    expect(toRecord(mine)).toMatchObject({
      state: 'cancelled',
      error: { message: 'the task was cancelled: withdrawn' },
    })
  })
})

describe('a verdict', () => {
  it.each(['retry', 'released', 'failed'] as const)(
    'of %s gives way to a cancel that was accepted before it',
    (type) => {
      const error = { name: 'Error', message: 'no' }
      const mine = task()
      claim(mine, NOW)
      cancel(mine, {}, NOW)
      const verdicts = {
        retry: { type, error, runAt: NOW, countsAsAttempt: true, maxAttempts: 3 },
        released: { type },
        failed: { type, error },
      }
      expect(settle(mine, verdicts[type] as Outcome, NOW)).toBe('cancelled')
      expect(mine.state).toBe('cancelled')
    },
  )

  it('of success stays a success', () => {
    const mine = task()
    claim(mine, NOW)
    cancel(mine, {}, NOW)
    expect(settle(mine, { type: 'succeeded', output: 1 }, NOW)).toBe('succeeded')
  })
})

it('an arrow that is not in the table cannot be walked, and changes nothing', () => {
  const succeeded = { type: 'succeeded', output: 1 } as const
  for (const state of ['queued', 'scheduled', 'succeeded', 'failed', 'cancelled'] as const) {
    const mine = task(state)
    expect(() => settle(mine, succeeded, NOW), state).toThrow(expect.objectContaining({ code: 'INVALID_STATE' }))
    expect(mine).toEqual(task(state))
  }
  expect(() => claim(task('scheduled'), NOW)).toThrow(/cannot claim/)
  expect(() => becomeDue(task('queued'))).toThrow(/cannot due/)
})
