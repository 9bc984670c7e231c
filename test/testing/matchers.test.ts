import assert from 'node:assert/strict'
import { defineTask } from 'background-runner'
import { createTestRunner, matchers, type TestRunner, type TestRunnerMatchers } from 'background-runner/testing'
import { describe, expect, it } from 'vitest'

declare module 'vitest' {
  // biome-ignore lint/suspicious/noExplicitAny: as vitest declares it
  interface Matchers<T = any> extends TestRunnerMatchers<T> {}
}
expect.extend(matchers)

const tasks = {
  email: defineTask({
    retry: { attempts: 1 },
    run: ({ to }: { to: string }) => {
      if (to === 'bad') throw Object.assign(new Error('no such mailbox'), { code: 'EENVELOPE' })
    },
  }),
}

async function drained(): Promise<TestRunner<typeof tasks>> {
  const t = createTestRunner({ tasks })
  await t.runner.submitMany('email', [{ to: 'a@x' }, { to: 'bad' }])
  await t.drain()
  return t
}

/** The message with which `expectation` fails. */
function messageOf(expectation: () => unknown): string {
  try {
    expectation()
  } catch (error) {
    return (error as Error).message
  }
  return assert.fail('it did not fail')
}

describe('the extensions of expect', () => {
  it('pass and fail as the assertions do', async () => {
    const t = await drained()
    expect(t).toHaveSubmitted('email', { to: /@/ }, { count: 1 })
    expect(t).toHaveSubmitted('email', { to: expect.any(String) }, { count: 2 })
    expect(t).toHaveSucceeded('email', { to: 'a@x' })
    expect(t).toHaveFailed('email', { to: 'bad' }, { code: 'EENVELOPE' })
    assert.equal(
      messageOf(() => expect(t).toHaveSubmitted('email', { to: 'c@x' })),
      messageOf(() => t.assertSubmitted('email', { to: 'c@x' })),
    )
    assert.equal(
      messageOf(() => expect(t).toHaveSucceeded('email', { to: 'bad' })),
      messageOf(() => t.assertSucceeded('email', { to: 'bad' })),
    )
    assert.equal(
      messageOf(() => expect(t).toHaveFailed('email', undefined, { code: 'X' })),
      messageOf(() => t.assertFailed('email', undefined, { code: 'X' })),
    )
  })

  it('may be negated', async () => {
    const t = await drained()
    expect(t).not.toHaveSubmitted('email', { to: 'c@x' })
    expect(t).not.toHaveSubmitted('email', undefined, { count: 3 })
    expect(t).not.toHaveSucceeded('email', { to: 'bad' })
    expect(t).not.toHaveFailed('email', { to: 'a@x' })
    assert.equal(
      messageOf(() => expect(t).not.toHaveSubmitted('email', { to: /@/ })),
      "expected no task 'email' whose input matches { to: /@/ } to have been submitted; 1 has",
    )
    assert.equal(
      messageOf(() => expect(t).not.toHaveSubmitted('email', undefined, { count: 2 })),
      "expected not exactly 2 tasks 'email' to have been submitted",
    )
    assert.equal(
      messageOf(() => expect(t).not.toHaveSucceeded('email')),
      "expected no task 'email' to have succeeded; 1 has",
    )
    assert.equal(
      messageOf(() => expect(t).not.toHaveFailed('email', { to: 'bad' }, { code: 'EENVELOPE' })),
      "expected no task 'email' whose input matches { to: 'bad' } to have failed with the code 'EENVELOPE'; 1 has",
    )
  })

  it('refuse a wrong name and a wrong subject, negated too', async () => {
    const t = await drained()
    assert.match(
      messageOf(() => expect(t).toHaveSubmitted('emial')),
      /no task is defined under the name "emial"/,
    )
    assert.match(
      messageOf(() => expect(t).not.toHaveFailed('emial')),
      /no task is defined under the name "emial"/,
    )
    assert.match(
      messageOf(() => expect(t.runner.counts).not.toHaveSubmitted('email')),
      /expected what createTestRunner gives/,
    )
    assert.match(
      messageOf(() => expect(undefined).toHaveSucceeded('email')),
      /expected what createTestRunner gives, got undefined/,
    )
  })
})
