/** What the suites have in common: the test framework, and the rules of leaving something out. */
import assert from 'node:assert/strict'

/** The two functions that a suite needs of a test framework; vitest, Jest, mocha and node:test have them. */
export interface Framework {
  describe(name: string, body: () => void): unknown
  it(name: string, body: () => Promise<void>): unknown
}

/** Tests that are left out, by their full names, and why. */
export interface Skip {
  readonly reason: string
  readonly tests: readonly string[]
}

/** Fails on a skip without a reason, without tests, or of a test that the suite does not have. */
export function checkSkips(skips: readonly Skip[], all: readonly string[]): void {
  for (const { reason, tests } of skips) {
    assert.ok(tests.length > 0, `the skip "${reason}" names no test`)
    assert.ok(/\S/.test(reason ?? ''), `the skip of "${tests.join('", "')}" has no reason`)
    for (const test of tests) assert.ok(all.includes(test), `a skip names "${test}", and the suite has no such test`)
  }
}
