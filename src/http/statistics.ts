/**
 * What ended over time, and how long it took: throughput, failures, percentiles of wait and run.
 *
 * Counted from what the runner tells of changes, whichever process made them, by looking tasks up once a second. The look
 * has a budget: where more tasks change than it may look up, a part stands for all (`sampled`). So it costs the same
 * whatever goes on.
 */
import type { BackgroundRunner, Clock, TaskRecord } from '../index.js'
import { later } from './time.js'

export type Range = 'minutes' | 'hour' | 'day'

export interface Percentiles {
  readonly p50: number
  readonly p95: number
}

export interface Point {
  /** The begin of its bucket, epoch ms. */
  readonly at: number
  readonly succeeded: number
  readonly failed: number
  readonly cancelled: number
  /** From when a task was due to its last attempt, ms; null: nothing ended. */
  readonly wait: Percentiles | null
  /** From the begin of its last attempt to its end, ms. */
  readonly run: Percentiles | null
}

export interface Series {
  readonly range: Range
  /** ms */
  readonly interval: number
  readonly now: number
  /** Since when it is counted, epoch ms. */
  readonly since: number
  /** Some of it is an estimate: more changed than was looked up. */
  readonly sampled: boolean
  readonly points: readonly Point[]
}

const RANGES: Readonly<Record<Range, { readonly interval: number; readonly count: number }>> = {
  minutes: { interval: 5_000, count: 60 },
  hour: { interval: 60_000, count: 60 },
  day: { interval: 1_800_000, count: 48 },
}

/** Between two looks, ms. */
const PACE = 1_000
/** Tasks that are looked up at once: at first, at least, and at most. */
const LOOKS = { first: 100, least: 10, most: 250 }
/** How long a look may take, ms; one that takes longer looks at fewer the next time. */
const BUDGET = 50
/** A task that ended before, ms, is told of for another reason. */
const LATE = 60_000
/** Ends that are known. */
const MOST_SEEN = 5_000

/** Each bin of a histogram is wider than the one before by this factor: a percentile is within 10 % of the truth. */
const WIDTH = 1.2

/** Spans by length, in bins of rising width. */
class Histogram {
  readonly #bins = new Map<number, number>()
  #total = 0

  add(ms: number, weight: number): void {
    const bin = Math.round(Math.log(Math.max(ms, 0) + 1) / Math.log(WIDTH))
    this.#bins.set(bin, (this.#bins.get(bin) ?? 0) + weight)
    this.#total += weight
  }

  read(): Percentiles | null {
    if (this.#total === 0) return null
    const bins = [...this.#bins].sort(([a], [b]) => a - b)
    const at = (part: number): number => {
      let below = 0
      for (const [bin, count] of bins) {
        below += count
        if (below >= part * this.#total) return Math.round(WIDTH ** bin - 1)
      }
      return 0
    }
    return { p50: at(0.5), p95: at(0.95) }
  }
}

class Bucket {
  succeeded = 0
  failed = 0
  cancelled = 0
  readonly wait = new Histogram()
  readonly run = new Histogram()

  add({ state, runAt, startedAt, finishedAt }: Ended, weight: number): void {
    this[state] += weight
    if (startedAt === undefined || startedAt > finishedAt) return
    this.wait.add(startedAt - runAt, weight)
    this.run.add(finishedAt - startedAt, weight)
  }
}

interface Ended extends TaskRecord {
  readonly state: 'succeeded' | 'failed' | 'cancelled'
  readonly finishedAt: number
}

export class Statistics {
  readonly #runner: BackgroundRunner
  readonly #clock: Clock
  readonly #since: number
  /** By range, and by the number of the interval. */
  readonly #buckets: Readonly<Record<Range, Map<number, Bucket>>> = {
    minutes: new Map(),
    hour: new Map(),
    day: new Map(),
  }
  /** id → its draw, of those that have changed; where they are too many, of those whose draw is below the limit. */
  readonly #changed = new Map<string, number>()
  /** Of how many ids one is kept: a power of two. */
  #oneOf = 1
  /** id → when it ended, of those that were counted. */
  readonly #seen = new Map<string, number>()
  #looks = LOOKS.first
  #sampled = false
  #look: (() => void) | undefined

  /** @throws {RunnerClosedError} */
  constructor(runner: BackgroundRunner, clock: Clock) {
    this.#runner = runner
    this.#clock = clock
    this.#since = clock.now()
    runner.watch((ids) => {
      for (const id of ids) this.#note(id)
      if (ids.length > 0) this.#arm()
    })
  }

  #note(id: string): void {
    const draw = drawOf(id)
    if (draw >= DRAWS / this.#oneOf) return
    this.#changed.set(id, draw)
    while (this.#changed.size > MOST_SEEN) {
      this.#oneOf *= 2
      for (const [each, its] of this.#changed) if (its >= DRAWS / this.#oneOf) this.#changed.delete(each)
    }
  }

  now(): number {
    return this.#clock.now()
  }

  read(range: Range): Series {
    const { interval, count } = RANGES[range]
    const now = this.#clock.now()
    const last = Math.floor(now / interval)
    const points = Array.from({ length: count }, (_, at): Point => {
      const number = last - count + 1 + at
      const bucket = this.#buckets[range].get(number)
      return {
        at: number * interval,
        succeeded: Math.round(bucket?.succeeded ?? 0),
        failed: Math.round(bucket?.failed ?? 0),
        cancelled: Math.round(bucket?.cancelled ?? 0),
        wait: bucket?.wait.read() ?? null,
        run: bucket?.run.read() ?? null,
      }
    })
    return { range, interval, now, since: this.#since, sampled: this.#sampled, points }
  }

  #arm(): void {
    this.#look ??= later(this.#clock, PACE, () => {
      this.#count()
        .catch(() => {
          // The engine is in trouble, and says so itself; or the runner is closed.
        })
        .finally(() => {
          this.#look = undefined
          if (this.#changed.size > 0) this.#arm()
        })
    })
  }

  async #count(): Promise<void> {
    const all = this.#changed.size * this.#oneOf
    // Not the first ones: what changes at the same time is of one kind, such as what is pruned.
    const drawn = [...this.#changed].sort(([, a], [, b]) => a - b).slice(0, this.#looks)
    const ids = drawn.map(([id]) => id)
    this.#changed.clear()
    this.#oneOf = 1
    const began = this.#clock.monotonic()
    const records = await Promise.all(ids.map((id) => this.#runner.status(id)))
    const took = this.#clock.monotonic() - began
    this.#looks = Math.max(LOOKS.least, took > BUDGET ? this.#looks >> 1 : Math.min(LOOKS.most, this.#looks * 2))
    const weight = all / ids.length
    if (weight > 1) this.#sampled = true
    const now = this.#clock.now()
    for (const record of records) if (record !== undefined && this.#isNews(record, now)) this.#add(record, weight)
  }

  #isNews(record: TaskRecord, now: number): record is Ended {
    const { id, finishedAt } = record
    if (finishedAt === undefined || finishedAt < now - LATE || this.#seen.get(id) === finishedAt) return false
    this.#seen.delete(id)
    this.#seen.set(id, finishedAt)
    if (this.#seen.size > MOST_SEEN) this.#seen.delete(this.#seen.keys().next().value as string)
    return true
  }

  #add(record: Ended, weight: number): void {
    for (const [range, { interval, count }] of Object.entries(RANGES) as [Range, (typeof RANGES)[Range]][]) {
      const buckets = this.#buckets[range]
      const number = Math.floor(record.finishedAt / interval)
      let bucket = buckets.get(number)
      if (bucket === undefined) {
        bucket = new Bucket()
        buckets.set(number, bucket)
        for (const old of buckets.keys()) if (old <= number - count) buckets.delete(old)
      }
      bucket.add(record, weight)
    }
  }
}

const DRAWS = 2 ** 32

/** A number below DRAWS that is always the same for an id, and tells nothing of it: FNV-1a, its bits mixed. */
function drawOf(id: string): number {
  let draw = 0x811c9dc5
  for (let at = 0; at < id.length; at++) draw = Math.imul(draw ^ id.charCodeAt(at), 0x01000193)
  draw = Math.imul(draw ^ (draw >>> 16), 0x85ebca6b)
  return (draw ^ (draw >>> 13)) >>> 0
}
