/**
 * The assertions of a test runner as extensions of `expect`, for vitest and Jest.
 *
 *   import { matchers } from 'background-runner/testing'
 *   expect.extend(matchers)
 *   expect(t).toHaveSubmitted('email', { to: 'a@example.com' }, { count: 1 })
 *
 * Their types, in vitest:
 *
 *   import type { TestRunnerMatchers } from 'background-runner/testing'
 *   declare module 'vitest' { interface Matchers<T = any> extends TestRunnerMatchers<T> {} }
 *
 * and in Jest:
 *
 *   declare module 'expect' { interface Matchers<R> extends TestRunnerMatchers<R> {} }
 */
import type { LooseMatcher } from './match.js'
import { show } from './match.js'
import type { TestRunner } from './test-runner.js'

/** What `expect.extend(matchers)` adds, for the types of `expect`; see the lines above. */
export interface TestRunnerMatchers<Result = unknown> {
  /** As `assertSubmitted` of the test runner. */
  toHaveSubmitted(name: string, matcher?: LooseMatcher, options?: { readonly count?: number }): Result
  /** As `assertSucceeded` of the test runner. */
  toHaveSucceeded(name: string, matcher?: LooseMatcher): Result
  /** As `assertFailed` of the test runner. */
  toHaveFailed(name: string, matcher?: LooseMatcher, options?: { readonly code?: string }): Result
}

/** What `expect` is answered. */
export interface MatcherResult {
  readonly pass: boolean
  readonly message: () => string
  readonly actual?: unknown
  readonly expected?: unknown
}

type Asserted = 'assertSubmitted' | 'assertSucceeded' | 'assertFailed'

/** For `expect.extend`. */
export const matchers: {
  readonly [Name in keyof TestRunnerMatchers]: (
    received: unknown,
    ...args: Parameters<TestRunnerMatchers[Name]>
  ) => MatcherResult
} = {
  toHaveSubmitted: (received, ...args) => {
    const { count } = args[2] ?? {}
    const refuted = count === undefined ? undefined : `not exactly ${count} ${count === 1 ? 'task' : 'tasks'}`
    return judge(received, 'assertSubmitted', 'to have been submitted', args, refuted)
  },
  toHaveSucceeded: (received, ...args) => judge(received, 'assertSucceeded', 'to have succeeded', args),
  toHaveFailed: (received, ...args) => {
    const { code } = args[2] ?? {}
    return judge(
      received,
      'assertFailed',
      `to have failed${code === undefined ? '' : ` with the code '${code}'`}`,
      args,
    )
  },
}

/** @param refuted what `.not` expects, if that is not: no task, with how many there are */
function judge(
  received: unknown,
  verb: Asserted,
  what: string,
  [name, matcher, options]: readonly [name: string, matcher?: LooseMatcher, options?: object | undefined],
  refuted?: string,
): MatcherResult {
  const assertion = (received as TestRunner | undefined)?.[verb] as
    | ((name: string, matcher: unknown, options: unknown) => readonly unknown[])
    | undefined
  if (typeof assertion !== 'function')
    throw new TypeError(`expected what createTestRunner gives, got ${show(received)}`)
  try {
    const found = assertion(name, matcher, options)
    const like = matcher === undefined ? '' : ` whose input matches ${show(matcher)}`
    const there = refuted === undefined ? `; ${found.length} ${found.length === 1 ? 'has' : 'have'}` : ''
    return { pass: true, message: () => `expected ${refuted ?? 'no task'} '${name}'${like} ${what}${there}` }
  } catch (error) {
    // By its code: under Jest it is of another realm.
    const { code, message, actual, expected } = error as Error &
      Readonly<Record<'code' | 'actual' | 'expected', unknown>>
    if (code !== 'ERR_ASSERTION') throw error
    return { pass: false, message: () => message, actual, expected }
  }
}
