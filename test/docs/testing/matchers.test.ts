import { defineTask } from 'background-runner'
import { createTestRunner, matchers, type TestRunnerMatchers } from 'background-runner/testing'
import { expect, it } from 'vitest'

expect.extend(matchers)
declare module 'vitest' {
  interface Matchers<T> extends TestRunnerMatchers<T> {}
}

it('greets', async () => {
  const greet = defineTask({ run: (name: string) => `Hello ${name}` })
  const t = createTestRunner({ tasks: { greet }, mode: 'inline' })
  await t.runner.submit('greet', 'Ada') // inline: has run when this answers
  expect(t).toHaveSubmitted('greet', 'Ada', { count: 1 })
  expect(t).toHaveSucceeded('greet', /^A/)
  expect(t).not.toHaveFailed('greet')
})
