/** Numbers, spans and times on the dashboard. */
import { describe, expect, it } from 'vitest'
import {
  formatAgo,
  formatCount,
  formatRate,
  formatShare,
  formatShort,
  formatSpan,
  formatTime,
  isoTime,
  plural,
  progressShare,
} from '../../src/http/dashboard/format.js'

describe('a span', () => {
  it.each([
    [-5, '0 ms'],
    [0, '0 ms'],
    [840.4, '840 ms'],
    [1000, '1.0 s'],
    [3240, '3.2 s'],
    [45_000, '45 s'],
    [59_999, '59 s'],
    [60_000, '1 min'],
    [119_900, '1 min 59 s'],
    [250_000, '4 min 10 s'],
    [3_599_900, '59 min 59 s'],
    [3_600_000, '1 h'],
    [7_500_000, '2 h 5 min'],
    [86_400_000, '1 d'],
    [266_400_000, '3 d 2 h'],
  ])('%d ms is %s', (ms, text) => expect(formatSpan(ms)).toBe(text))
})

describe('a time from now', () => {
  const now = 1_000_000_000
  it.each([
    [0, 'now'],
    [-1000, 'now'],
    [12_000, '12 s ago'],
    [-12_000, 'in 12 s'],
    [59_999, '59 s ago'],
    [60_000, '1 min ago'],
    [-3_600_000, 'in 1 h'],
    [90_000_000, '25 h ago'],
    [200_000_000, '2 d ago'],
  ])('%d ms away is %s', (away, text) => expect(formatAgo(now - away, now)).toBe(text))

  it('has an attribute for machines and one to read', () => {
    expect(isoTime(0)).toBe('1970-01-01T00:00:00.000Z')
    expect(formatTime(0)).toMatch(/19(?:69|70)/)
  })

  it('may be no time at all', () => {
    for (const at of [Number.NaN, 1e20, Number.POSITIVE_INFINITY]) {
      expect(isoTime(at)).toBeUndefined()
      expect(formatTime(at)).toBe(String(at))
    }
  })
})

describe('a number', () => {
  it('is counted, shortened, a rate, a share', () => {
    expect(formatCount(1_234_567)).toBe('1,234,567')
    expect(formatShort(1_234_567)).toBe('1.2M')
    expect([0, 0.001, 0.25, 4.26, 123.4, 12_345].map(formatRate)).toEqual(['0', '<0.01', '0.25', '4.3', '123', '12.3K'])
    expect([0, 0.0004, 0.054, 0.5, 1].map(formatShare)).toEqual(['0%', '<0.1%', '5.4%', '50%', '100%'])
    expect(plural(1, 'task')).toBe('1 task')
    expect(plural(2, 'task comes', 'tasks come')).toBe('2 tasks come')
  })
})

describe('a progress', () => {
  it.each([
    [0.4, 0.4],
    [1, 1],
    [40, 0.4],
    [{ percent: 40 }, 0.4],
    [{ done: 2, total: 5 }, 0.4],
    [{ sent: 0, total: 5 }, 0],
  ])('%j is a bar', (value, share) => expect(progressShare(value)).toBeCloseTo(share))

  it.each([-1, 101, Number.NaN, 'half', null, [], {}, { done: 2 }, { done: 2, total: 0 }, { percent: '40' }])(
    '%j is none',
    (value) => expect(progressShare(value)).toBeUndefined(),
  )
})
