import assert, { AssertionError } from 'node:assert'
import { defineTask } from 'background-runner'
import { createTestRunner, type TestRunner } from 'background-runner/testing'
import { describe, it } from 'vitest'

interface Mail {
  readonly to: string
  readonly subject: string
  readonly tags?: readonly string[]
}

const tasks = {
  email: defineTask({
    retry: { attempts: 2, backoff: { type: 'fixed', delay: '5s' } },
    run: ({ to }: Mail) => {
      if (to.startsWith('bad')) throw Object.assign(new Error('no such mailbox'), { code: 'EENVELOPE' })
      return { accepted: to }
    },
  }),
  other: defineTask({ run: () => 1 }),
}

async function twoMails(): Promise<TestRunner<typeof tasks>> {
  const t = createTestRunner({ tasks })
  await t.runner.submit('email', { to: 'a@x', subject: 'Hi there' })
  await t.runner.submit('email', { to: 'bad@x', subject: 'Hello' })
  return t
}

/** The message with which `assertion` fails. */
function failureOf(assertion: () => unknown): AssertionError {
  try {
    assertion()
  } catch (error) {
    assert.ok(error instanceof AssertionError, String(error))
    return error
  }
  return assert.fail('it did not fail')
}

describe('assertSubmitted', () => {
  it('gives the tasks that match, as they are now', async () => {
    const t = await twoMails()
    assert.equal(t.assertSubmitted('email', { to: 'a@x', subject: /Hi/ })[0]?.state, 'queued')
    await t.drain()
    const [found, ...others] = t.assertSubmitted('email', { to: 'a@x' })
    assert.equal(others.length, 0)
    assert.equal(found?.input.subject, 'Hi there')
    assert.deepEqual(found?.output, { accepted: 'a@x' })
    assert.equal(t.assertSubmitted('email').length, 2)
  })

  it('fails when none matches, and shows where each differs', async () => {
    const t = await twoMails()
    const error = failureOf(() => t.assertSubmitted('email', { to: 'a@x', subject: /Bye/ }))
    assert.equal(
      error.message,
      `expected a task 'email' whose input matches { to: 'a@x', subject: /Bye/ }; 2 were submitted:
  1. queued: { to: 'a@x', subject: 'Hi there' }
     subject: expected /Bye/, got 'Hi there'
  2. queued: { to: 'bad@x', subject: 'Hello' }
     to: expected 'a@x', got 'bad@x'; subject: expected /Bye/, got 'Hello'`,
    )
    assert.deepEqual(error.actual, [
      { to: 'a@x', subject: 'Hi there' },
      { to: 'bad@x', subject: 'Hello' },
    ])
    assert.deepEqual(error.expected, [{ to: 'a@x', subject: /Bye/ }])
    assert.match(
      error.stack ?? '',
      /^[^\n]+\n(?: {5,}.*\n| {2}\d.*\n)*\s+at .*assertions\.test\.ts/,
      'the stack begins in the test',
    )
  })

  it('fails when nothing was submitted', () => {
    const t = createTestRunner({ tasks })
    assert.equal(failureOf(() => t.assertSubmitted('other')).message, "expected a task 'other'; none was submitted")
  })

  it('counts', async () => {
    const t = await twoMails()
    t.assertSubmitted('email', undefined, { count: 2 })
    t.assertSubmitted('email', { to: /x/ }, { count: 2 })
    t.assertSubmitted('email', { to: 'c@x' }, { count: 0 })
    const error = failureOf(() => t.assertSubmitted('email', { to: 'a@x' }, { count: 2 }))
    assert.equal(
      error.message,
      `expected 2 tasks 'email' whose input matches { to: 'a@x' }, and 1 does; 2 were submitted:
  1. queued: { to: 'a@x', subject: 'Hi there' }
  2. queued: { to: 'bad@x', subject: 'Hello' }
     to: expected 'a@x', got 'bad@x'`,
    )
    assert.match(
      failureOf(() => t.assertSubmitted('email', undefined, { count: 1 })).message,
      /^expected 1 task 'email'; 2 were submitted:/,
    )
  })

  it('takes predicates, at the root too', async () => {
    const t = await twoMails()
    t.assertSubmitted('email', ({ subject }) => subject.length === 5)
    t.assertSubmitted('email', { subject: (subject) => subject.endsWith('there') })
    failureOf(() => t.assertSubmitted('email', ({ subject }) => subject.length === 6))
  })

  it('refuses a name that the runner does not know', () => {
    const t = createTestRunner({ tasks })
    const wrong = (name: string): void => void t.assertSubmitted(name as 'email')
    assert.throws(() => wrong('emial'), {
      code: 'UNKNOWN_TASK',
      message: /"emial"; this runner knows: "email", "other"/,
    })
    assert.throws(() => wrong(undefined as unknown as string), { code: 'UNKNOWN_TASK' })
    assert.throws(() => t.refuteSubmitted('emial' as 'email'), { code: 'UNKNOWN_TASK' })
    assert.throws(() => t.submitted('emial' as 'email'), { code: 'UNKNOWN_TASK' })
  })
})

describe('refuteSubmitted', () => {
  it('passes where nothing matches', async () => {
    const t = await twoMails()
    t.refuteSubmitted('other')
    t.refuteSubmitted('email', { to: 'c@x' })
  })

  it('fails where something does, and shows it', async () => {
    const t = await twoMails()
    assert.equal(
      failureOf(() => t.refuteSubmitted('email', { to: 'a@x' })).message,
      `expected no task 'email' whose input matches { to: 'a@x' }; there is 1:
  1. queued: { to: 'a@x', subject: 'Hi there' }`,
    )
    assert.match(failureOf(() => t.refuteSubmitted('email')).message, /^expected no task 'email'; there are 2:\n/)
  })
})

describe('assertSucceeded', () => {
  it('gives the tasks that have succeeded', async () => {
    const t = await twoMails()
    await t.drain()
    assert.equal(t.assertSucceeded('email').length, 1)
    assert.equal(t.assertSucceeded('email', { subject: /^Hi/ })[0]?.output?.accepted, 'a@x')
  })

  it('fails with how the tasks are doing instead', async () => {
    const t = await twoMails()
    failureOf(() => t.assertSucceeded('email'))
    await t.drain()
    assert.equal(
      failureOf(() => t.assertSucceeded('email', { to: /^bad/ })).message,
      `expected a task 'email' whose input matches { to: /^bad/ } to have succeeded; 2 were submitted:
  1. succeeded, attempt 1: { to: 'a@x', subject: 'Hi there' }
     to: expected /^bad/, got 'a@x'
  2. scheduled, attempt 1 (EENVELOPE: no such mailbox): { to: 'bad@x', subject: 'Hello' }`,
    )
  })
})

describe('assertFailed', () => {
  it('gives the tasks that have failed for good, by code too', async () => {
    const t = await twoMails()
    await t.drain()
    failureOf(() => t.assertFailed('email'))
    await t.clock.advance('5s')
    assert.equal(t.assertFailed('email')[0]?.error?.message, 'no such mailbox')
    t.assertFailed('email', { to: 'bad@x' }, { code: 'EENVELOPE' })
  })

  it('fails with the codes that there are', async () => {
    const t = await twoMails()
    await t.clock.advance('5s')
    const error = failureOf(() => t.assertFailed('email', undefined, { code: 'ECONNREFUSED' }))
    assert.equal(
      error.message,
      `expected a task 'email' to have failed with the code 'ECONNREFUSED'; 2 were submitted:
  1. succeeded, attempt 1: { to: 'a@x', subject: 'Hi there' }
  2. failed, attempt 2 (EENVELOPE: no such mailbox): { to: 'bad@x', subject: 'Hello' }`,
    )
    assert.deepEqual([error.actual, error.expected], [['succeeded', 'EENVELOPE'], 'ECONNREFUSED'])
    failureOf(() => t.assertFailed('email', { to: 'a@x' }))
    assert.match(failureOf(() => t.assertFailed('other')).message, /none was submitted/)
  })
})

describe('submitted', () => {
  it('gives everything in the order of submission, also what the runner keeps no longer', async () => {
    const t = await twoMails()
    const other = await t.runner.submit('other')
    await t.drain()
    await other.status()
    assert.ok(await t.runner.remove(other.id))
    assert.deepEqual(
      t.submitted().map(({ name, state }) => `${name} ${state}`),
      ['email succeeded', 'email scheduled', 'other succeeded'],
    )
    assert.deepEqual(
      t.submitted('email').map(({ input }) => input.to),
      ['a@x', 'bad@x'],
    )
  })

  it('has a task that was deduplicated once', async () => {
    const t = createTestRunner({ tasks })
    await t.runner.submit('other', undefined, { key: 'k' })
    await t.runner.submit('other', undefined, { key: 'k' })
    t.assertSubmitted('other', undefined, { count: 1 })
  })

  it('shows what a verb has changed without an event', async () => {
    const t = createTestRunner({ tasks })
    const task = await t.runner.submit('other')
    await t.runner.setPriority(task.id, 7)
    assert.equal(t.submitted('other')[0]?.priority, 7)
  })

  it('is not changed by what a listener does to its record', async () => {
    const t = await twoMails()
    t.runner.on('succeeded', (record) => Object.assign(record, { state: 'failed' }))
    await t.drain()
    t.assertSucceeded('email')
  })
})
