/**
 * The times at which patterns come, under virtual time and over changes of the clocks, agree with a model that knows no
 * croner: a walk over the minutes, each with what a clock on the wall shows.
 */
import assert from 'node:assert/strict'
import { defineTask } from 'background-runner'
import { createTestRunner } from 'background-runner/testing'
import fc from 'fast-check'
import { it } from 'vitest'
import { parameters, TIMEOUT } from './history.js'

const RUNS = Number(process.env['RUNS'] ?? (process.env['CI'] === 'true' ? 500 : 60))
const MINUTE = 60_000
const HOUR = 60 * MINUTE

/** A day in each direction, in zones of all kinds: by an hour, by half of one, at midnight, in the south, and none. */
const CHANGES: readonly (readonly [zone: string, day: string])[] = [
  ['Europe/Berlin', '2030-03-31'],
  ['Europe/Berlin', '2030-10-27'],
  ['America/New_York', '2030-03-10'],
  ['America/New_York', '2030-11-03'],
  ['Australia/Lord_Howe', '2030-04-06'],
  ['Australia/Lord_Howe', '2030-10-05'],
  ['America/Havana', '2027-03-14'],
  ['America/Havana', '2027-11-07'],
  ['Asia/Kathmandu', '2030-03-31'],
]

const minutes = fc.constantFrom('0', '30', '0,30', '45', '15-17', '*/15', '10-50/20')
const hours = fc.constantFrom('*', '0', '1', '2', '3', '0,1,2,3', '1-3', '*/2', '1-3/2', '23')

/** What a clock on the wall shows, as if it were UTC. */
function wall(zone: string): (time: number) => number {
  const format = new Intl.DateTimeFormat('sv-SE', {
    timeZone: zone,
    dateStyle: 'short',
    timeStyle: 'short',
    hourCycle: 'h23',
  })
  return (time) => Date.parse(`${format.format(time).replace(' ', 'T')}Z`)
}

/** The numbers of a field of a pattern. */
function numbers(field: string, most: number): Set<number> {
  const found = new Set<number>()
  for (const part of field.split(',')) {
    const [range = '', step = '1'] = part.split('/')
    const [low = 0, high = low] = range === '*' ? [0, most] : range.split('-').map(Number)
    for (let n = low; n <= high; n += Number(step)) found.add(n)
  }
  return found
}

/** When a pattern comes after `from`, until `to`. */
function times(minute: string, hour: string, zone: string, from: number, to: number): number[] {
  const [ofHour, ofDay, shown] = [numbers(minute, 59), numbers(hour, 23), wall(zone)]
  const comes = (wall: number): boolean =>
    ofHour.has(new Date(wall).getUTCMinutes()) && ofDay.has(new Date(wall).getUTCHours())
  const isPace = /[*/]/.test(minute + hour)
  const found: number[] = []
  let latest = shown(from) // the latest that the wall has shown
  for (let time = from + MINUTE; time <= to; time += MINUTE) {
    const now = shown(time)
    let isTime = false
    if (isPace) isTime = comes(now)
    // A time of day comes as the wall shows it or a later one for the first time.
    else for (let each = latest + MINUTE; each <= now; each += MINUTE) isTime ||= comes(each)
    latest = Math.max(latest, now)
    if (isTime) found.push(time)
  }
  return found
}

it('random patterns come at the times of the model', { timeout: TIMEOUT }, async () => {
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...CHANGES), minutes, hours, async ([zone, day], minute, hour) => {
      const start = Date.parse(`${day}T00:00:00Z`) - 12 * HOUR
      const seen: number[] = []
      await using t = createTestRunner({
        tasks: { note: defineTask({ run: () => void seen.push(t.clock.now()) }) },
        now: start,
      })
      await t.runner.schedule('a', { task: 'note', cron: `${minute} ${hour} * * *`, timezone: zone })
      await t.clock.advance(48 * HOUR)
      const iso = (all: readonly number[]): string[] => all.map((time) => new Date(time).toISOString())
      assert.deepEqual(iso(seen), iso(times(minute, hour, zone, start, start + 48 * HOUR)))
    }),
    parameters(1, RUNS),
  )
})
