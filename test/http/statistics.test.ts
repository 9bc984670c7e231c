/** What ended over time, on a clock that stands still. */
import type { BackgroundRunner, TaskRecord } from 'background-runner'
import { describe, expect, it } from 'vitest'
import { Statistics } from '../../src/http/statistics.js'
import { VirtualClock } from '../../src/testing/virtual-clock.js'

/** What of a runner is asked, with tasks as the test wants them. */
class Source {
  readonly tasks = new Map<string, Partial<TaskRecord>>()
  #listener: ((ids: readonly string[]) => void) | undefined
  lookups = 0
  slow: (() => void) | undefined

  watch(listener: (ids: readonly string[]) => void): () => void {
    this.#listener = listener
    return () => {}
  }

  async status(id: string): Promise<Partial<TaskRecord> | undefined> {
    this.lookups++
    this.slow?.()
    return this.tasks.get(id)
  }

  tell(task: Partial<TaskRecord> & { id: string }): void {
    this.tasks.set(task.id, task)
    this.#listener?.([task.id])
  }
}

function counting(): { source: Source; clock: VirtualClock; statistics: Statistics } {
  const source = new Source()
  const clock = new VirtualClock()
  return { source, clock, statistics: new Statistics(source as unknown as BackgroundRunner, clock) }
}

const ended = (id: string, at: number, state: TaskRecord['state'] = 'succeeded', wait = 100, run = 1_000) => ({
  id,
  state,
  runAt: at - run - wait,
  startedAt: at - run,
  finishedAt: at,
})

describe('statistics', () => {
  it('counts each end once, in its bucket, with what it took', async () => {
    const { source, clock, statistics } = counting()
    const now = clock.now()
    source.tell(ended('a', now))
    source.tell(ended('b', now, 'failed'))
    source.tell({ id: 'c', state: 'running' })
    source.tell({ id: 'd', state: 'cancelled', finishedAt: now, runAt: now })
    await clock.advance(1_000)
    source.tell(ended('a', now))
    await clock.advance(1_000)
    const { points, since, sampled } = statistics.read('minutes')
    const point = points.find(({ at }) => at === now)
    expect(point).toMatchObject({ succeeded: 1, failed: 1, cancelled: 1 })
    expect(points.reduce((sum, { succeeded }) => sum + succeeded, 0)).toBe(1)
    // Within the width of a bin.
    expect(point?.wait?.p50).toBeGreaterThan(90)
    expect(point?.wait?.p50).toBeLessThan(110)
    expect(point?.run?.p95).toBeGreaterThan(900)
    expect(point?.run?.p95).toBeLessThan(1_100)
    expect([since, sampled]).toEqual([now, false])
    for (const range of ['hour', 'day'] as const) {
      expect(statistics.read(range).points.at(-1)).toMatchObject({ succeeded: 1, failed: 1, cancelled: 1 })
    }
  })

  it('counts a task again that was retried and has ended again', async () => {
    const { source, clock, statistics } = counting()
    source.tell(ended('a', clock.now(), 'failed'))
    await clock.advance(1_000)
    source.tell(ended('a', clock.now()))
    await clock.advance(1_000)
    expect(statistics.read('hour').points.at(-1)).toMatchObject({ succeeded: 1, failed: 1 })
  })

  it('does not take for news what ended long ago', async () => {
    const { source, clock, statistics } = counting()
    source.tell(ended('a', clock.now() - 120_000))
    await clock.advance(1_000)
    expect(statistics.read('hour').points.every(({ succeeded }) => succeeded === 0)).toBe(true)
  })

  it('looks a part up where much changes, and lets it stand for all', async () => {
    const { source, clock, statistics } = counting()
    for (let second = 0; second < 5; second++) {
      for (let at = 0; at < 2_000; at++)
        source.tell(ended(`${second}-${at}`, clock.now(), at % 4 === 0 ? 'failed' : 'succeeded'))
      await clock.advance(1_000)
    }
    expect(source.lookups).toBeLessThanOrEqual(5 * 250)
    const { points, sampled } = statistics.read('day')
    const { succeeded = 0, failed = 0 } = points.at(-1) ?? {}
    expect(sampled).toBe(true)
    expect(succeeded + failed).toBe(10_000)
    expect(succeeded / failed).toBeCloseTo(3, 0)
  })

  it('is not far off where more changes than can be told apart, each several times, and old ones go', async () => {
    const { source, clock, statistics } = counting()
    const ids = Array.from({ length: 20_000 }, (_, at) => `task-${at}`)
    for (const id of ids) source.tell({ id: `old-${id}`, state: 'succeeded', finishedAt: clock.now() - 3_600_000 })
    for (const id of ids) source.tell({ id, state: 'queued' })
    for (const id of ids) source.tell({ id, state: 'running' })
    for (const id of ids) source.tell(ended(id, clock.now()))
    await clock.advance(1_000)
    const { succeeded = 0 } = statistics.read('day').points.at(-1) ?? {}
    expect(source.lookups).toBe(100)
    // A hundred stand for all: within 30 % of the truth.
    expect(succeeded).toBeGreaterThan(14_000)
    expect(succeeded).toBeLessThan(26_000)
  })

  it('asks less of an engine that is slow', async () => {
    const { source, clock } = counting()
    let now = 0
    const monotonic = clock.monotonic.bind(clock)
    clock.monotonic = () => monotonic() + now
    source.slow = () => {
      now += 10
    }
    const perLook: number[] = []
    for (let second = 0; second < 6; second++) {
      for (let at = 0; at < 500; at++) source.tell(ended(`${second}-${at}`, clock.now()))
      const before = source.lookups
      await clock.advance(1_000)
      perLook.push(source.lookups - before)
    }
    expect(perLook).toEqual([100, 50, 25, 12, 10, 10])
  })

  it('sets no timer while nothing changes, and keeps no more than it shows', async () => {
    const { source, clock, statistics } = counting()
    await clock.advance(60_000)
    expect(clock.timers).toBe(0)
    for (let at = 0; at < 200; at++) {
      source.tell(ended(String(at), clock.now()))
      await clock.advance(5_000)
    }
    expect(clock.timers).toBe(0)
    const { points } = statistics.read('minutes')
    expect(points).toHaveLength(60)
    expect(points.filter(({ succeeded }) => succeeded === 1).length).toBeGreaterThanOrEqual(59)
  })
})
