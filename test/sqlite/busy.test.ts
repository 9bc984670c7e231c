/** Another program holds the file in a long write transaction. */
import assert from 'node:assert/strict'
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { BackgroundRunner, defineTask } from 'background-runner'
import { sqlite } from 'background-runner/sqlite'
import { afterAll, afterEach, beforeAll, describe, it, vi } from 'vitest'
import { systemClock } from '../../src/clock.js'
import { bundle } from './support/bundle.js'
import { World } from './support/process.js'

const world = new World()
let program: string
beforeAll(async () => {
  program = await bundle(new URL('support/holder.ts', import.meta.url))
})
afterEach(() => vi.restoreAllMocks())
afterAll(() => world.end())

/** @param ms for which it holds the file; until it is told to let go where there are none */
async function holding(path: string, ...ms: number[]): Promise<ChildProcess> {
  const child = fork(program, [path, ...ms.map(String)], { execArgv: [] })
  const [said] = await once(child, 'message')
  assert.equal(said, 'held')
  return child
}

async function letGo(child: ChildProcess): Promise<void> {
  child.send('let go')
  await once(child, 'exit')
}

/** A runner whose handlers end when they are told. */
async function opened(path: string): Promise<{ runner: BackgroundRunner; end: () => void; called: Promise<void> }> {
  let end = (): void => {}
  let called = (): void => {}
  const wasCalled = new Promise<void>((resolve) => {
    called = resolve
  })
  const work = defineTask({
    run: () =>
      new Promise<string>((resolve) => {
        end = () => resolve('done')
        called()
      }),
  })
  const runner = new BackgroundRunner({ tasks: { work }, engine: sqlite({ path }), concurrency: 1 })
  runner.on('error', () => {}) // its sign of life is refused, too
  await runner.ready()
  return { runner, end: () => end(), called: wasCalled }
}

describe('while another program holds the file for 1.5 s', () => {
  it('the event loop turns, reads are answered, and what was asked for is done afterwards', async () => {
    const path = world.path()
    const { runner, called, end } = await opened(path)
    const first = await runner.submit('work')
    await called
    const child = await holding(path, 1_500)
    let held = true
    const freed = once(child, 'message').then(() => {
      held = false
    })
    const asked = [runner.submit('work'), first.cancel({ reason: 'no more' }), runner.pause()]
    end()
    let turns = 0
    let answers = 0
    while (held) {
      turns++
      await new Promise(setImmediate)
      if ((await runner.status(first.id))?.state === 'running') answers++
    }
    await freed
    assert.ok(turns > 100, `the event loop has turned ${turns} times`)
    assert.ok(answers > 100, `and ${answers} times it was known that the task still ran`)
    await Promise.all(asked)
    assert.equal((await first.wait()).state, 'succeeded')
    await runner.close()
  }, 30_000)
})

describe('while another program holds the file for longer than 10 s', () => {
  it('a verb is refused with a typed error, and a verdict waits until it can be written', async () => {
    const path = world.path()
    const { runner, called, end } = await opened(path)
    const first = await runner.submit('work')
    await called
    const child = await holding(path)
    end()
    const refused = assert.rejects(runner.submit('work'), { code: 'ENGINE_ERROR', message: /another process/ })
    for (let turns = 0; turns < 10; turns++) await new Promise(setImmediate) // the verdict, too, has been asked for
    const { monotonic } = systemClock
    vi.spyOn(systemClock, 'monotonic').mockImplementation(() => monotonic() + 10_001)
    await refused
    assert.equal((await runner.status(first.id))?.state, 'running')
    await letGo(child)
    assert.equal((await first.wait()).output, 'done')
    await (await runner.submit('work')).cancel()
    await runner.close({ deadline: 0 })
  }, 30_000)

  it('close ends all the same', async () => {
    const path = world.path()
    const { runner } = await opened(path)
    const child = await holding(path)
    await runner.close()
    await letGo(child)
  }, 30_000)
})
