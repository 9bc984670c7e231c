/** Numbers, spans and times as people read them. No DOM: what is here is tested in Node. */

const COUNT = new Intl.NumberFormat('en', { maximumFractionDigits: 0 })
const SHORT = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 })
const ABSOLUTE = new Intl.DateTimeFormat('en-CA', {
  year: 'numeric',
  month: '2-digit',
  day: '2-digit',
  hour: '2-digit',
  minute: '2-digit',
  second: '2-digit',
  hourCycle: 'h23',
  timeZoneName: 'short',
})
const CLOCK = new Intl.DateTimeFormat('en', { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' })
const CLOCK_SECONDS = new Intl.DateTimeFormat('en', {
  hour: '2-digit',
  minute: '2-digit',
  second: '2-digit',
  hourCycle: 'h23',
})

const SECOND = 1000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

/** 1234567 → `1,234,567`. */
export function formatCount(n: number): string {
  return COUNT.format(n)
}

/** 1234567 → `1.2M`: for where room is short. */
export function formatShort(n: number): string {
  return SHORT.format(n)
}

/** A rate per second, with as many digits as say something. */
export function formatRate(perSecond: number): string {
  if (perSecond === 0) return '0'
  if (perSecond < 0.01) return '<0.01'
  if (perSecond >= 1000) return formatShort(perSecond)
  return perSecond.toFixed(perSecond < 1 ? 2 : perSecond < 100 ? 1 : 0)
}

/** A share in [0, 1] as per cent. */
export function formatShare(share: number): string {
  if (share > 0 && share < 0.001) return '<0.1%'
  return `${(100 * share).toFixed(share > 0 && share < 0.1 ? 1 : 0)}%`
}

/** A span in ms in its two largest units: `840 ms`, `3.2 s`, `4 min 10 s`, `3 d 2 h`. */
export function formatSpan(ms: number): string {
  const span = Math.max(0, ms)
  if (span < SECOND) return `${Math.floor(span)} ms`
  // Rounded down, as all that is told of a time that goes on.
  if (span < 10 * SECOND) return `${(Math.floor(span / 100) / 10).toFixed(1)} s`
  if (span < MINUTE) return `${Math.floor(span / SECOND)} s`
  if (span < HOUR) return two(span, MINUTE, 'min', SECOND, 's')
  if (span < DAY) return two(span, HOUR, 'h', MINUTE, 'min')
  return two(span, DAY, 'd', HOUR, 'h')
}

function two(span: number, unit: number, name: string, lesser: number, lesserName: string): string {
  const rest = Math.floor((span % unit) / lesser)
  return `${Math.floor(span / unit)} ${name}${rest === 0 ? '' : ` ${rest} ${lesserName}`}`
}

/** How long ago, or how long until then: `now`, `12 s ago`, `in 3 min`. */
export function formatAgo(at: number, now: number): string {
  const span = now - at
  const size = Math.abs(span)
  if (size < 1500) return 'now'
  const text =
    size < MINUTE
      ? `${Math.floor(size / SECOND)} s`
      : size < HOUR
        ? `${Math.floor(size / MINUTE)} min`
        : size < 2 * DAY
          ? `${Math.floor(size / HOUR)} h`
          : `${Math.floor(size / DAY)} d`
  return span > 0 ? `${text} ago` : `in ${text}`
}

/** Date and time to the second with its zone, in the browser's zone. */
export function formatTime(at: number): string {
  return isTime(at) ? ABSOLUTE.format(at) : String(at)
}

/** The time of day, for an axis. */
export function formatClock(at: number, seconds = false): string {
  return (seconds ? CLOCK_SECONDS : CLOCK).format(at)
}

/** For the attribute `datetime`. */
export function isoTime(at: number): string | undefined {
  return isTime(at) ? new Date(at).toISOString() : undefined
}

function isTime(at: number): boolean {
  return Number.isFinite(at) && Math.abs(at) <= 8.64e15
}

/** `1 task`, `3 tasks`. */
export function plural(n: number, one: string, many: string = `${one}s`): string {
  return `${formatCount(n)} ${n === 1 ? one : many}`
}

/** What a handler reports as progress, as a share in [0, 1], where it looks like one: 0.4, 40, { percent: 40 }, { done: 2, total: 5 }. */
export function progressShare(progress: unknown): number | undefined {
  if (typeof progress === 'number') return share(progress <= 1 ? progress : progress / 100)
  if (typeof progress !== 'object' || progress === null) return undefined
  const { percent, done, current, sent, total } = progress as Record<string, unknown>
  if (typeof percent === 'number') return share(percent / 100)
  const part = [done, current, sent].find((value) => typeof value === 'number')
  return typeof part === 'number' && typeof total === 'number' && total > 0 ? share(part / total) : undefined
}

function share(value: number): number | undefined {
  return value >= 0 && value <= 1 ? value : undefined
}
