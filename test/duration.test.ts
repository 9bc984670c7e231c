/** Spans of time. */
import { describe, expect, it } from 'vitest'
import { tryDuration } from '../src/duration.js'

describe('a duration', () => {
  it.each([
    [0, 0],
    [1500, 1500],
    ['500ms', 500],
    ['30s', 30_000],
    ['1.5s', 1_500],
    ['5m', 300_000],
    ['2h', 7_200_000],
    ['14d', 1_209_600_000],
    ['0.2ms', 1],
  ])('%s is %d ms', (value, ms) => expect(tryDuration(value)).toBe(ms))

  it.each([
    -1,
    Number.NaN,
    Number.POSITIVE_INFINITY,
    '',
    '5',
    '5 m',
    '-5s',
    '5w',
    'm',
    '1e3s',
    null,
    {},
    [],
    true,
    '99999999d',
  ])('%j is none', (value) => expect(tryDuration(value)).toBeUndefined())
})
