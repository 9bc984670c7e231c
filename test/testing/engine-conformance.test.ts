/** The suite itself: what it does with skips, and that its names tell its tests apart. */
import assert from 'node:assert/strict'
import { type Engine, memory } from 'background-runner'
import { describe, it } from 'vitest'
import { ENGINE_TESTS, type EngineUnderTest, engineConformance } from '../../src/testing/conformance/engine.js'

/** Registers the suite with a framework that runs nothing: the tests by name. */
function registered(
  skip: NonNullable<EngineUnderTest['skip']>,
  create: () => Engine = memory,
): Map<string, () => Promise<void>> {
  const tests = new Map<string, () => Promise<void>>()
  engineConformance(
    {
      describe: (_name, body) => body(),
      it: (name, body) => void tests.set(name, body),
    },
    { name: 'memory', create, skip },
  )
  return tests
}

const CHECK = 'is what its author says, and every skip has a reason and names tests of the suite'
const SOME = ENGINE_TESTS[7] ?? ''

describe('engineConformance', () => {
  it('has a name of its own for every test', () => {
    assert.equal(new Set(ENGINE_TESTS).size, ENGINE_TESTS.length)
    for (const name of ENGINE_TESTS) assert.match(name, /\S \S/, 'a name is a sentence')
    assert.equal(registered([]).size, ENGINE_TESTS.length + 1)
  })

  it('leaves out what is skipped with a reason', async () => {
    const tests = registered([{ reason: 'it cannot', tests: [SOME] }])
    assert.ok(!tests.has(SOME))
    assert.equal(tests.size, ENGINE_TESTS.length)
    await tests.get(CHECK)?.()
  })

  it('fails on a skip without a reason, without a test, or of a test that does not exist', async () => {
    for (const skip of [
      { reason: ' ', tests: [SOME] },
      { reason: 'it cannot', tests: [] },
      { reason: 'it cannot', tests: ['a test that nobody wrote'] },
    ]) {
      const check = registered([skip]).get(CHECK)
      await assert.rejects(async () => check?.(), { name: 'AssertionError' })
    }
  })

  it('fails an engine that never runs anything', async () => {
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
    const tests = registered([], lazy)
    await assert.rejects(async () => tests.get('a task that succeeded has its output, its times and its attempt')?.(), {
      message: /it never came about/,
    })
  })
})
