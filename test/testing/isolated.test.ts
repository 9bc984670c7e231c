/** Isolated tasks under virtual time: inline, where nothing else is said, and truly in their workers. */
import { defineTask, InvalidInputError } from 'background-runner'
import { createTestRunner, runTask } from 'background-runner/testing'
import { describe, expect, it } from 'vitest'

type Places = typeof import('./modules/places.js')
const module = new URL('./modules/places.js', import.meta.url)

const tasksIn = (isolation: 'thread' | 'process') => ({
  run: defineTask<Places>({ isolation, module, retry: { attempts: 2, backoff: { type: 'fixed', delay: '1h' } } }),
  place: defineTask<Places, 'place'>({ isolation, module, export: 'place' }),
  work: defineTask<Places, 'work'>({ isolation, module, export: 'work', timeout: '10ms', retry: { attempts: 1 } }),
  wait: defineTask<Places, 'wait'>({ isolation, module, export: 'wait', timeout: '1h', retry: { attempts: 1 } }),
  tidy: defineTask<Places, 'tidy'>({ isolation, module, export: 'tidy', timeout: '1h', retry: { attempts: 1 } }),
  fail: defineTask<Places, 'fail'>({ isolation, module, export: 'fail', retry: { attempts: 2 } }),
  spin: defineTask<Places, 'spin'>({ isolation, module, export: 'spin', timeout: '1h' }),
})

describe('where nothing else is said, an isolated task runs inline', () => {
  const tasks = tasksIn('process')
  it('in a test runner', async () => {
    const { runner, drain, assertSucceeded } = createTestRunner({ tasks })
    await runner.submit('place')
    await drain()
    expect(assertSucceeded('place')[0]?.output).toMatchObject({ pid: process.pid })
  })

  it('in runTask', async () => {
    expect((await runTask(tasks.place)).outcome).toMatchObject({ output: { pid: process.pid } })
    const { progress, saved } = await runTask(tasks.run, 2)
    expect({ progress, saved }).toEqual({ progress: [1, { done: 1 }, 2, { done: 2 }], saved: 2 })
  })

  it('and its module is loaded before virtual time moves on', async () => {
    const fresh = new URL(`${module.href}?fresh`)
    const { outcome, elapsed } = await runTask(
      defineTask<Places, 'place'>({ isolation: 'thread', module: fresh, export: 'place', timeout: 1 }),
    )
    expect({ type: outcome.type, elapsed }).toEqual({ type: 'succeeded', elapsed: 0 })
  })
})

it('`isolated` is true or false', async () => {
  const options = { isolated: 'yes' as never }
  expect(() => createTestRunner({ tasks: {}, ...options })).toThrow(InvalidInputError)
  await expect(runTask(defineTask({ run: () => 1 }), undefined, options)).rejects.toThrow(
    'isolated: must be true or false',
  )
})

describe.each(['thread', 'process'] as const)('isolated, in a %s', (isolation) => {
  const tasks = tasksIn(isolation)
  const open = (options = {}) => createTestRunner({ tasks, isolated: true, ...options })

  it('tasks run where they belong, and their clock stands still meanwhile', async () => {
    await using t = open()
    const before = t.clock.now()
    await t.runner.submit('place')
    await t.runner.submit('work', 20) // longer than its timeout, in real time
    await t.drain()
    expect(t.assertSucceeded('place')[0]?.output).toEqual({
      pid: isolation === 'thread' ? process.pid : expect.not.toSatisfy((pid) => pid === process.pid),
      isMainThread: isolation === 'process',
    })
    t.assertSucceeded('work')
    expect(t.clock.now()).toBe(before)
  })

  it('a worker that has served others is waited for as well', async () => {
    const work = defineTask<Places, 'work'>({ isolation, module, export: 'work', timeout: 1, concurrency: 1 })
    await using t = createTestRunner({ tasks: { work }, isolated: true })
    await t.runner.submitMany('work', [5, 5, 5])
    await t.clock.advance('1h')
    t.assertSucceeded('work', 5)
    expect(t.submitted('work').map(({ state, attempt }) => `${state} ${attempt}`)).toEqual(Array(3).fill('succeeded 1'))
  })

  it('one that only waits for its signal is taken to its timeout', async () => {
    await using t = open()
    await t.runner.submit('wait')
    await t.clock.advance('59m')
    expect(t.submitted('wait')[0]?.state).toBe('running')
    await t.clock.advance('1m')
    expect(t.assertFailed('wait')[0]?.error?.code).toBe('TASK_TIMEOUT')
  })

  it('one that tidies up after its timeout has the real time that it takes', async () => {
    const { outcome, progress, saved, elapsed } = await runTask(tasks.tidy, 50, { isolated: true })
    expect(outcome).toMatchObject({ type: 'failed', error: { code: 'TASK_TIMEOUT' } })
    expect({ progress, saved, elapsed }).toEqual({ progress: ['tidied'], saved: 'tidied', elapsed: 3_600_000 })
  })

  it('runTask sees all that it tells, saves and logs', async () => {
    const result = await runTask(tasks.run, 3, { isolated: true, attempt: 2, saved: 1 })
    expect(result).toEqual({
      outcome: { type: 'succeeded', output: 'done' },
      progress: [2, { done: 2 }, 3, { done: 3 }],
      saved: 3,
      logs: [{ message: 'done', fields: {} }],
      elapsed: 0,
    })
  })

  it('backoffs and cancels happen at their time', async () => {
    await using t = open()
    const wait = await t.runner.submit('wait')
    await t.runner.submit('run', 13)
    await t.clock.advance('30m')
    await wait.cancel()
    await t.clock.advance('2h')
    expect(t.assertFailed('run')[0]).toMatchObject({ attempt: 2, error: { code: 'MISSING' } })
    expect(String(t.log)).toBe(
      [
        '+0ms       submitted   wait 1',
        '+0ms       submitted   run 2',
        '+0ms       started     wait 1, attempt 1',
        '+0ms       started     run 2, attempt 1',
        '+0ms       progress    run 2, attempt 1: 1',
        '+0ms       progress    run 2, attempt 1: {"done":12}',
        '+0ms       retrying    run 2, attempt 1, in 1h: MISSING step 13 is missing',
        '+30m       cancelled   wait 1, attempt 1: TASK_CANCELLED the task was cancelled',
        '+1h        started     run 2, attempt 2',
        '+1h        failed      run 2, attempt 2: MISSING step 13 is missing',
        '+1h        idle',
      ].join('\n'),
    )
  })

  it('in `inline` mode a submit answers when the task has ended', async () => {
    await using t = open({ mode: 'inline' })
    await t.runner.submit('fail')
    expect(t.assertFailed('fail')[0]?.attempt).toBe(2)
  })

  it('closing waits for the workers, and takes no virtual time', async () => {
    const t = open()
    await t.runner.submit('place')
    await t.drain()
    const before = t.clock.now()
    const report = await t.runner.close()
    expect(report.completed).toBe(0)
    expect(t.clock.now()).toBe(before)
  })

  it('one that never lets go of its worker is waited for, and fails the test', async () => {
    const running = runTask(tasks.spin, undefined, { isolated: true, realTimeout: 300 })
    await expect(running).rejects.toThrow(/the handler of task \(attempt 1\) has not settled within 300ms .*a worker/)
  })
})
