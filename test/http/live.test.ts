/** The stream of what changes, on a clock that stands still. */
import { BackgroundRunner, defineTask } from 'background-runner'
import { afterEach, describe, expect, it } from 'vitest'
import { Live } from '../../src/http/live.js'
import { turns } from '../../src/testing/real-time.js'
import { VirtualClock } from '../../src/testing/virtual-clock.js'
import { EventReader, type SentEvent } from './support/events.js'

const tasks = {
  note: defineTask({ run: async (text: string) => text }),
  big: defineTask({ run: async () => 'x'.repeat(20_000) }),
}

let undo: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const each of undo.reverse()) await each()
  undo = []
})

function lively(): {
  runner: BackgroundRunner<typeof tasks>
  clock: VirtualClock
  live: Live
  open: (options?: { last?: string; tasks?: string[]; signal?: AbortSignal }) => EventReader
} {
  const runner = new BackgroundRunner({ tasks })
  undo.push(() => runner.close({ deadline: 0 }))
  const clock = new VirtualClock()
  const live = new Live(runner as unknown as BackgroundRunner, (value) => value, clock)
  const open: ReturnType<typeof lively>['open'] = ({ last, tasks, signal } = {}) => {
    const headers = last === undefined ? {} : { 'Last-Event-ID': last }
    return new EventReader(live.open(new Request('http://x/events', { headers, ...(signal && { signal }) }), tasks))
  }
  return { runner, clock, live, open }
}

const isTask = ({ event }: SentEvent): boolean => event === 'task'

describe('live events', () => {
  it('tells a task once in a look, as it is then', async () => {
    const { runner, clock, open } = lively()
    const events = open()
    const { id } = await runner.submit('note', 'x')
    await runner.wait(id)
    await clock.advance(250)
    expect(await events.next()).toMatchObject({ event: 'task', data: { id, state: 'succeeded' } })
    expect(await events.next()).toMatchObject({ event: 'counts', data: { succeeded: 1 } })
    await runner.remove(id)
    await clock.advance(250)
    expect(await events.next()).toMatchObject({ event: 'removed', data: { id } })
  })

  it('asks nothing of the runner while nothing changes, and nothing at all when nobody is there for long', async () => {
    const { runner, clock, live, open } = lively()
    let watches = 0
    const watch = runner.watch.bind(runner)
    runner.watch = (listener) => {
      watches++
      const unwatch = watch(listener)
      return () => {
        watches--
        unwatch()
      }
    }
    const stop = new AbortController()
    open({ signal: stop.signal })
    await clock.advance(1_000)
    // The heartbeat.
    expect([clock.timers, live.readers, watches]).toEqual([1, 1, 1])
    stop.abort()
    await turns()
    expect(live.readers).toBe(0)
    await clock.advance(30_000)
    expect([clock.timers, watches]).toEqual([0, 0])
  })

  it('goes on where a reader was; one who was away for too long reads again', async () => {
    const { runner, clock, open } = lively()
    const first = open()
    await runner.submit('note', 'a', { delay: '1h', id: 'a' })
    await clock.advance(250)
    const { id: seen } = (await first.next()) as SentEvent
    await first.close()
    await runner.submit('note', 'b', { delay: '1h', id: 'b' })
    await clock.advance(250)
    const second = open({ last: seen })
    expect(await second.next()).toMatchObject({ event: 'task', data: { id: 'b' } })
    await second.close()
    await clock.advance(31_000)
    expect(await open({ last: seen }).next()).toMatchObject({ event: 'reset' })
    expect(await open({ last: 'other-1' }).next()).toMatchObject({ event: 'reset' })
    expect(await open({ last: 'nonsense' }).next()).toMatchObject({ event: 'reset' })
  })

  it('keeps a bounded part of what has been told', async () => {
    const { runner, clock, open } = lively()
    const first = open()
    let seen: string | undefined
    for (let look = 0; look < 14; look++) {
      await runner.submitMany('note', new Array<string>(80).fill('x'), { delay: '1h' })
      await clock.advance(250)
      seen ??= (await first.next())?.id
    }
    await first.close()
    expect(await open({ last: seen as string }).next()).toMatchObject({ event: 'reset' })
  })

  it('looks nothing up when too much changes: all read again, once a second at most', async () => {
    const { runner, clock, open } = lively()
    let lookups = 0
    const status = runner.status.bind(runner)
    runner.status = (id) => {
      lookups++
      return status(id)
    }
    const events = open()
    for (let second = 0; second < 4; second++) {
      for (let look = 0; look < 4; look++) {
        await runner.submitMany(
          'note',
          Array.from({ length: 150 }, () => 'x'),
          { delay: '1h' },
        )
        await clock.advance(250)
      }
    }
    expect(lookups).toBe(0)
    const kinds: string[] = []
    while (kinds.length < 8) kinds.push(((await events.next()) as SentEvent).event)
    expect(kinds).toEqual(['reset', 'counts', 'reset', 'counts', 'reset', 'counts', 'reset', 'counts'])
    expect(events.raw).not.toContain('event: task')
  })

  it('tells a task that was asked for by its id also then', async () => {
    const { runner, clock, open } = lively()
    const { id } = await runner.submit('note', 'mine', { delay: '1h' })
    const events = open({ tasks: [id] })
    await clock.advance(250)
    expect(await events.next()).toMatchObject({ event: 'task', data: { id, input: 'mine', state: 'scheduled' } })
    await runner.submitMany(
      'note',
      Array.from({ length: 1_500 }, () => 'x'),
      { delay: '1h' },
    )
    await runner.cancel(id)
    await clock.advance(250)
    expect((await events.next())?.data).toMatchObject({ id, state: 'cancelled', attempts: [] })
  })

  it('looks again for a task that was asked for by its id when any may have changed, and when a look has failed', async () => {
    const { runner, clock, open } = lively()
    let any: (() => void) | undefined
    const watch = runner.watch.bind(runner)
    runner.watch = (listener) => {
      any ??= () => listener([])
      return watch(listener)
    }
    const { id } = await runner.submit('note', 'mine', { delay: '1h' })
    const events = open({ tasks: [id] })
    await clock.advance(250)
    expect((await events.next())?.data).toMatchObject({ id, priority: 0 })
    any?.()
    await clock.advance(250)
    expect((await events.next())?.data).toMatchObject({ id, priority: 0 })
    const status = runner.status.bind(runner)
    runner.status = async () => {
      throw new Error('the disk is away')
    }
    await runner.setPriority(id, 7)
    await clock.advance(250)
    runner.status = status
    await clock.advance(250)
    expect((await events.next())?.data).toMatchObject({ id, priority: 7 })
  })

  it('keeps little for one who does not read, who begins again with a reset', async () => {
    const { runner, clock, live } = lively()
    const response = live.open(new Request('http://x/events'), undefined)
    const texts = Array.from({ length: 90 }, (_, at) => ({ tags: ['t'.repeat(60), String(at)] }))
    for (let round = 0; round < 40; round++) {
      for (const { tags } of texts) await runner.submit('note', 'x', { tags, delay: '1h' })
      await clock.advance(250)
    }
    const events = new EventReader(response)
    await runner.submit('note', 'last', { id: 'last', delay: '1h' })
    let told = 0
    for (;;) {
      const event = (await events.next()) as SentEvent
      if (event.event === 'reset') break
      told++
    }
    // 65 536 bytes, and what one event is over.
    expect(events.raw.length).toBeLessThan(70_000)
    expect(told).toBeGreaterThan(50)
    await clock.advance(250)
    expect((await events.until(isTask)).data).toMatchObject({ id: 'last' })
  })

  it('gives up one who has read nothing for two minutes', async () => {
    const { runner, clock, live } = lively()
    live.open(new Request('http://x/events'), undefined)
    const { id } = await runner.submit('big')
    await runner.wait(id)
    const one = live.open(
      new Request('http://x/events'),
      Array.from({ length: 100 }, (_, at) => (at === 0 ? id : `${at}`)),
    )
    await clock.advance(250)
    for (let at = 0; at < 5; at++) {
      await runner.retry(id).catch(() => {})
      await runner.submit('note', 'x', { id: `${at + 1}`, delay: '1h', metadata: 'x'.repeat(60_000) })
      await clock.advance(1_000)
    }
    expect(live.readers).toBe(2)
    await clock.advance(8 * 15_000)
    expect(live.readers).toBe(1)
    await one.body?.cancel()
  })

  it('ends when the runner is closed', async () => {
    const { runner, clock, live, open } = lively()
    const events = open()
    await runner.close({ deadline: 0 })
    await clock.advance(1_000)
    expect(await events.next()).toBeUndefined()
    expect([live.readers, clock.timers]).toEqual([0, 0])
    expect(() => open()).toThrow(expect.objectContaining({ code: 'RUNNER_CLOSED' }))
  })

  it('takes no more readers than it can serve', async () => {
    const { live, open } = lively()
    for (let at = 0; at < 1_000; at++) open()
    expect(() => open()).toThrow(expect.objectContaining({ status: 503, code: 'TOO_MANY_READERS' }))
    expect(live.readers).toBe(1_000)
  })
})
