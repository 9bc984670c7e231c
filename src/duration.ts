/** Spans of time: milliseconds as a number, or a string such as `'500ms'`, `'30s'`, `'5m'`, `'2h'`, `'14d'`. */
/** A span of time: milliseconds, or a number with its unit. */
export type Duration = number | `${number}${'ms' | 's' | 'm' | 'h' | 'd'}`

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** Up to here a point in time plus a span is still a valid Date. */
const LONGEST = 100 * 365 * 86_400_000

/** `value` in whole ms, rounded up (nothing is early), or undefined if it is no duration. */
export function tryDuration(value: unknown): number | undefined {
  let ms = Number.NaN
  if (typeof value === 'number') ms = value
  else if (typeof value === 'string') {
    const match = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(value)
    if (match !== null) ms = Number(match[1]) * (UNITS[match[2] ?? ''] ?? Number.NaN)
  }
  return ms >= 0 && ms <= LONGEST ? Math.ceil(ms) : undefined
}

export const durationExpected = "must be milliseconds or a duration such as '30s' (at least 0, at most 100 years)"
