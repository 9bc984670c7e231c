/** What no engine has a part in: the optional peer, the context of what is fired, and what a deploy has changed. */
import assert from 'node:assert/strict'
import { AsyncLocalStorage } from 'node:async_hooks'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { BackgroundRunner, defineTask, memory } from 'background-runner'
import { sqlite } from 'background-runner/sqlite'
import { createTestRunner } from 'background-runner/testing'
import { afterAll, describe, expect, it, vi } from 'vitest'
import { z } from 'zod'
import { VirtualClock } from '../src/testing/virtual-clock.js'

// It is not installed.
vi.mock('croner', () => {
  throw Object.assign(new Error("Cannot find package 'croner'"), { code: 'ERR_MODULE_NOT_FOUND' })
})

const folder = mkdtempSync(join(tmpdir(), 'background-runner-'))
afterAll(() => rmSync(folder, { recursive: true }))

describe('schedules', () => {
  it('need croner for a pattern alone', async () => {
    await using t = createTestRunner({ tasks: { work: defineTask({ run: () => 1 }) } })
    await expect(t.runner.schedule('a', { task: 'work', cron: '* * * * *' })).rejects.toMatchObject({
      code: 'MISSING_DEPENDENCY',
      message: 'a schedule with a cron pattern needs the package croner: npm install croner',
    })
    await t.runner.schedule('b', { task: 'work', every: '1m' })
    assert.deepEqual(
      (await t.runner.schedules()).map(({ id }) => id),
      ['b'],
    )
  })

  it('submit in the context of the maker of the runner, not of who made the schedule', async () => {
    const request = new AsyncLocalStorage<string>()
    const seen: unknown[] = []
    await using t = createTestRunner({
      tasks: { work: defineTask({ run: (_: undefined, { metadata }) => void seen.push(metadata) }) },
      context: {
        capture: () => {
          seen.push(request.getStore() ?? 'none')
          return null
        },
      },
    })
    await request.run('a request', () => t.runner.schedule('a', { task: 'work', every: '1m' }))
    await t.clock.advance('2m')
    assert.deepEqual(seen, ['none', undefined, 'none', undefined])
  })

  it('keep no close waiting for a schema that never answers', async () => {
    let checks = 0
    const input = z.string().refine(() => (checks++ === 0 ? true : new Promise<boolean>(() => undefined)))
    const clock = new VirtualClock()
    const runner = new BackgroundRunner({ tasks: { work: defineTask({ input, run: () => {} }) }, clock })
    await runner.schedule('a', { task: 'work', input: 'text', every: '1m' })
    await clock.advance(60_000)
    assert.ok(checks > 1, 'it was asked as the occurrence came')
    await runner.close({ deadline: 0 })
  })

  it('are not kept waiting by the schema of another, which never answers', async () => {
    let answers = true
    const input = z.string().refine(() => answers || new Promise<boolean>(() => undefined))
    const seen: (readonly [unknown, number])[] = []
    const run = (of: string | undefined): void => void seen.push([of, (t.clock.now() - start) / 60_000])
    await using t = createTestRunner({ tasks: { hangs: defineTask({ input, run }), work: defineTask({ run }) } })
    const start = t.clock.now()
    await t.runner.schedule('a', { task: 'hangs', input: 'text', every: '1m' })
    await t.runner.schedule('b', { task: 'work', input: 'b', every: '1m' })
    answers = false
    await t.clock.advance('2m')
    answers = true
    await t.runner.schedule('a', { task: 'hangs', input: 'another', every: '1m' })
    await t.clock.advance('1m')
    assert.deepEqual(seen, [
      ['b', 1],
      ['b', 2],
      ['another', 3],
      ['b', 3],
    ])
  })

  it('hold the event loop for some ms at most, where very many are due at once', async () => {
    const clock = new VirtualClock()
    const tasks = { work: defineTask({ run: () => {} }) }
    await using runner = new BackgroundRunner({ tasks, clock, concurrency: 1 })
    await runner.pause()
    for (let n = 0; n < 1_000; n++) await runner.schedule(`s${n}`, { task: 'work', every: '1m' })
    let turns = 0
    let counting = true
    const turn = (): void => {
      turns++
      if (counting) setImmediate(turn)
    }
    const advancing = clock.advance(60_000)
    turn()
    while ((await runner.counts()).queued < 1_000) await new Promise(setImmediate)
    counting = false
    assert.ok(turns >= 10, `it turned ${turns} times`)
    await advancing
    await runner.close({ deadline: 0, drain: false })
  })

  it('count a next time anew again, where the clock was set back and the engine had a fault', async () => {
    const clock = new VirtualClock()
    const engine = memory()
    const fire = engine.fireSchedule?.bind(engine)
    let faults = 0
    engine.fireSchedule = (...args) => {
      if (faults-- > 0) throw new Error('a fault')
      return fire?.(...args) ?? false
    }
    const tasks = { work: defineTask({ run: () => {} }) }
    await using runner = new BackgroundRunner({ tasks, clock, engine })
    runner.on('error', () => {})
    await runner.schedule('a', { task: 'work', every: '1h' })
    await clock.advance(60_000)
    clock.setWall(clock.now() - 24 * 60 * 60_000)
    faults = 1
    await clock.advance(120_000)
    assert.equal(faults, -1, 'it was tried twice')
    const [a] = await runner.schedules()
    assert.ok(a !== undefined && a.next < clock.now() + 60 * 60_000)
  })

  it('pass over, and tell of, an input that a later definition refuses', async () => {
    const path = join(folder, 'deploy.db')
    const clock = new VirtualClock()
    const open = async <Input extends z.ZodType<unknown, unknown>>(input: Input) => {
      const errors: unknown[] = []
      const tasks = { work: defineTask({ input, run: () => {} }) }
      const runner = new BackgroundRunner({ tasks, clock, engine: sqlite({ path }) })
      runner.on('error', (error) => void errors.push(error))
      await runner.ready()
      return { runner, errors }
    }
    const before = await open(z.string())
    await before.runner.schedule('a', { task: 'work', input: 'text', every: '1m' } as never)
    await before.runner.close({ deadline: 0 })
    const { runner, errors } = await open(z.number())
    for (let minute = 0; minute < 3; minute++) {
      await clock.advance(60_000)
      await runner.schedules()
    }
    expect(errors).toHaveLength(1)
    expect(errors[0]).toMatchObject({ code: 'INVALID_INPUT' })
    expect((await runner.list()).tasks).toEqual([])
    const closing = runner.close({ deadline: 0 })
    await clock.advance(0)
    await closing
  })
})
