/** The engine suite itself: what it does with skips, with capabilities, and with engines that break their word. */
import assert from 'node:assert/strict'
import { type Capabilities, type Engine, memory } from 'background-runner'
import { describe, it } from 'vitest'
import { durable } from '../../src/testing/conformance/durable.js'
import { ENGINE_TESTS, type EngineUnderTest, engineConformance } from '../../src/testing/conformance/engine.js'
import { heldForAll, heldOverRestarts } from '../../src/testing/conformance/holds.js'
import { shared } from '../../src/testing/conformance/shared.js'
import { sharedMemory } from '../engines/shared-memory.js'

/** Registers the suite with a framework that runs nothing: the tests by name. */
function registered(under: Partial<EngineUnderTest> = {}): Map<string, () => Promise<void>> {
  const tests = new Map<string, () => Promise<void>>()
  engineConformance(
    { describe: (_name, body) => body(), it: (name, body) => void tests.set(name, body) },
    { name: 'memory', create: () => memory(), ...under },
  )
  return tests
}

/** Engines that promise more than they keep. */
function boasting(
  capabilities: Partial<Capabilities>,
  create: (storage: string) => Engine = memory,
): (storage: string) => Engine {
  return (storage) => {
    const engine = create(storage)
    return Object.assign(engine, { capabilities: { ...engine.capabilities, ...capabilities } })
  }
}

/** Runs all of `names` at once, each in a world of its own; gives those that passed. */
async function passing(create: (storage: string) => Engine, names: readonly string[]): Promise<string[]> {
  const tests = registered({ create })
  const passed = names.map(async (name) => {
    const test = tests.get(name)
    assert.ok(test !== undefined, `there is a test "${name}"`)
    return test().then(
      () => [name],
      () => [],
    )
  })
  return (await Promise.all(passed)).flat()
}

const CHECK = 'is what its author says, and every skip has a reason and names tests of the suite'
const SOME = ENGINE_TESTS[7] ?? ''
const DURABLE = Object.keys({ ...durable.tests, ...heldOverRestarts.tests })
const SHARED = Object.keys({ ...shared.tests, ...heldForAll.tests })
const FEED = 'watch tells of what another process did'
const GLOBAL = 'the concurrency of a definition holds in all processes together'
const PER_PROCESS = 'the concurrency of a definition holds in each process'
const DRAIN = 'drain is not the default of close, where tasks outlive the process'

describe('engineConformance', () => {
  it('has a name of its own for every test', () => {
    assert.equal(new Set(ENGINE_TESTS).size, ENGINE_TESTS.length)
    for (const name of ENGINE_TESTS) assert.match(name, /\S \S/, 'a name is a sentence')
    assert.equal(registered().size, ENGINE_TESTS.length + 1)
  })

  it('leaves out what is skipped with a reason', async () => {
    const tests = registered({ skip: [{ reason: 'it cannot', tests: [SOME] }] })
    assert.ok(!tests.has(SOME))
    assert.equal(tests.size, ENGINE_TESTS.length)
    await tests.get(CHECK)?.()
  })

  it('fails on a skip without a reason, without a test, or of a test that does not exist', async () => {
    for (const skip of [
      { reason: ' ', tests: [SOME] },
      { reason: undefined as never, tests: [SOME] },
      { reason: 'it cannot', tests: [] },
      { reason: 'it cannot', tests: ['a test that nobody wrote'] },
    ]) {
      const check = registered({ skip: [skip] }).get(CHECK)
      await assert.rejects(async () => check?.(), { name: 'AssertionError' })
    }
  })

  it('lists just the tests of what is promised, and those of what is not', () => {
    const { capabilities } = memory()
    const ofMemory = registered({ capabilities })
    for (const name of [...DURABLE, ...SHARED, FEED, GLOBAL, PER_PROCESS]) assert.ok(!ofMemory.has(name), name)
    assert.ok(ofMemory.has('drain is the default of close, where tasks do not outlive the process'))
    assert.ok(ofMemory.has('an idle runner spins no timer'))
    const ofShared = registered({ capabilities: { durable: true, shared: true, feed: 'local', limits: 'global' } })
    for (const name of [...DURABLE, ...SHARED, GLOBAL]) assert.ok(ofShared.has(name), name)
    for (const name of [FEED, PER_PROCESS]) assert.ok(!ofShared.has(name), name)
    assert.ok(!ofShared.has('an idle runner spins no timer'))
  })

  it('asks the engine itself for a capability that its author does not name', async () => {
    await registered().get(DRAIN)?.()
    assert.deepEqual(await passing(boasting({ durable: true }), [DRAIN, DURABLE[0] ?? '']), [DRAIN])
  })

  it('fails an engine that declares other capabilities than its author says', async () => {
    for (const capabilities of [{ durable: true }, { shared: true }, { feed: 'local' }, { limits: 'process' }] as const)
      await assert.rejects(async () => registered({ capabilities }).get(CHECK)?.(), /declares/)
  })

  it.concurrent('fails an engine that only says that it is durable, in every test of that promise', async () => {
    const passed = await passing(boasting({ durable: true }), DURABLE)
    assert.deepEqual(passed, [DRAIN], 'what the runner sees to')
  }, 20_000)

  it.concurrent('fails an engine that only says that it is shared, in every test of that promise', async () => {
    assert.deepEqual(await passing(boasting({ shared: true }), [...SHARED, FEED, GLOBAL]), [])
  }, 20_000)

  it.concurrent('fails an engine that tells nobody what other processes did', async () => {
    const create = (storage: string): Engine => Object.assign(kept(storage), { watch: () => () => {} })
    const kept = sharedMemory('process')
    assert.deepEqual(await passing(create, [FEED]), [])
  }, 20_000)

  it.concurrent('fails an engine whose limits are not what it says', async () => {
    const [global, process] = [
      boasting({ limits: 'global' }, sharedMemory('process')),
      boasting({ limits: 'process' }, sharedMemory('global')),
    ]
    assert.deepEqual(await passing(global, [GLOBAL]), [])
    assert.deepEqual(await passing(process, [PER_PROCESS]), [])
    assert.deepEqual(await passing(sharedMemory('process'), [PER_PROCESS]), [PER_PROCESS])
  }, 20_000)

  it('fails an engine that keeps what it does not promise to keep', async () => {
    const kept = boasting({ durable: false, shared: false }, sharedMemory('process'))
    const names = [
      'an engine over a storage that another one has left begins empty',
      'a second engine over a storage in use is refused with UnsupportedByEngineError, or keeps to itself',
    ]
    assert.deepEqual(await passing(kept, names), [])
  })

  it.concurrent('fails an engine that never runs anything, and tells what it has', async () => {
    const lazy = (): Engine => {
      const engine = memory()
      const { enqueue } = engine
      engine.enqueue = (tasks) =>
        enqueue.call(
          engine,
          tasks.map((task) => ({ ...task, delay: 86_400_000 })),
        )
      return engine
    }
    const test = registered({ create: lazy }).get('a task that succeeded has its output, its times and its attempt')
    await assert.rejects(async () => test?.(), {
      message: 'it never came about: call 1 of a handler; it was called 0 times; it has 1 scheduled',
    })
  })

  it.concurrent('fails an engine that never answers, before the framework gives up', async () => {
    const silent = (): Engine => Object.assign(memory(), { get: () => new Promise(() => {}) })
    const test = registered({ create: silent }).get('a task is queued when it is submitted')
    await assert.rejects(async () => test?.(), {
      message: 'a promise of a runner or an engine never settled; it has 1 queued',
    })
  }, 10_000)
})
