import assert from 'node:assert/strict'
import { AsyncLocalStorage } from 'node:async_hooks'
import { describe, it } from 'vitest'
import { VirtualClock } from '../../src/testing/virtual-clock.js'

describe('the virtual clock', () => {
  it('rings timers in the order of their times, and those of one time in the order in which they were set', async () => {
    const clock = new VirtualClock()
    const rang: string[] = []
    for (const [name, ms] of Object.entries({ c: 30, a: 10, d: 30, b: 20, e: 30, z: 31 }))
      clock.setTimeout(() => void rang.push(name), ms)
    await clock.advance(30)
    assert.deepEqual(rang, ['a', 'b', 'c', 'd', 'e'])
    assert.equal(clock.next, 1)
  })

  it('forgets a timer that is cleared, and no other', () => {
    const clock = new VirtualClock()
    const handles = [5, 1, 5, 3].map((ms) => clock.setTimeout(() => {}, ms))
    clock.clearTimeout(handles[2])
    clock.clearTimeout(handles[2])
    clock.clearTimeout(undefined)
    assert.equal(clock.timers, 3)
    clock.clearTimeout(handles[1])
    assert.equal(clock.next, 3)
    clock.clearTimeout(handles[3])
    assert.equal(clock.next, 5)
    clock.clearTimeout(handles[0])
    assert.equal(clock.next, undefined)
    assert.equal(clock.ring(), false)
  })

  it('counts the timers that would hold a process open', () => {
    const clock = new VirtualClock()
    clock.setTimeout(() => {}, 5)
    ;(clock.setTimeout(() => {}, 5) as NodeJS.Timeout).unref()
    assert.deepEqual([clock.timers, clock.holding], [2, 1])
  })

  it('tells of a long sleep that goes on from whatever else a timer does', () => {
    const clock = new VirtualClock()
    const sleep = (): void => void clock.setTimeout(sleep, 60_000)
    clock.setTimeout(sleep, 60_000)
    assert.equal(clock.ring(), true)
    const poll = (): void => void clock.setTimeout(poll, 250)
    clock.setTimeout(poll, 250)
    assert.equal(clock.ring(), false, 'a poll')
    const two = (): void => {
      clock.setTimeout(() => {}, 1)
      clock.setTimeout(two, 60_000)
    }
    const busy = new VirtualClock()
    busy.setTimeout(() => {
      busy.setTimeout(() => {}, 60_000)
    }, 60_000)
    assert.equal(busy.ring(), false, 'another timer')
    clock.setTimeout(two, 0)
    assert.equal(clock.ring(), false, 'two timers')
  })

  it('rings in the async context in which the timer was set, also one that sets itself again', () => {
    const clock = new VirtualClock()
    const scope = new AsyncLocalStorage<string>()
    const seen: unknown[] = []
    const again = (): void => {
      seen.push(scope.getStore())
      clock.setTimeout(again, 1)
    }
    scope.run('mine', () => clock.setTimeout(again, 1))
    scope.run('yours', () => {
      clock.ring()
      clock.ring()
    })
    assert.deepEqual(seen, ['mine', 'mine'])
  })
})
