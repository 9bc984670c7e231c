import assert from 'node:assert/strict'
import { types } from 'node:util'
import { InvalidInputError, NonRetryableError, RetryLaterError } from 'background-runner'
import { describe, it } from 'vitest'
import { made } from '../../../src/testing/conformance/made.js'
import { pack, unpack } from './carry.js'

const carried = <Value>(value: Value): Value => unpack(pack(value)) as Value

describe('what a test hands to a worker', () => {
  it('is a primitive of any kind', () => {
    for (const value of [undefined, null, '', '\ud800', 0, -0, Number.NaN, 1n, true])
      assert.ok(Object.is(carried(value), value), String(value))
    assert.equal(carried(Symbol.for('background-runner.verdict')), Symbol.for('background-runner.verdict'))
    assert.equal(carried(Symbol('own')).description, 'own')
  })

  it('is data as it is, with what JSON and structured clone lose', () => {
    const shared = { a: undefined }
    const list: unknown[] = [shared, shared]
    list[3] = 3
    const arrivedList = carried(list)
    assert.deepEqual([arrivedList.length, 2 in arrivedList, 'a' in (arrivedList[0] as object)], [4, false, true])
    assert.ok(arrivedList[0] === arrivedList[1])
    assert.equal(Object.getPrototypeOf(carried(Object.create(null))), null)
    assert.ok(Object.isFrozen(carried(Object.freeze({ a: 1 }))))
    assert.deepEqual(carried(JSON.parse('{"__proto__":1}')), JSON.parse('{"__proto__":1}'))
    const cycle: Record<string, unknown> = { when: new Date(0), all: new Map([[{ a: 1 }, new Set([/a/g])]]) }
    cycle['self'] = cycle
    const arrived = carried(cycle)
    assert.ok(arrived['self'] === arrived)
    assert.deepEqual({ ...arrived, self: 0 }, { ...cycle, self: 0 })
    assert.ok(Buffer.isBuffer(carried(Buffer.from('a'))))
    assert.ok(types.isBoxedPrimitive(carried(Object('text'))))
  })

  it('is an error of its class, with all that it has', () => {
    class MailError extends Error {
      override readonly name = 'MailError'
      readonly code = 'EENVELOPE'
    }
    const error = carried(Object.freeze(new MailError('refused', { cause: new TypeError('because') })))
    assert.ok(types.isNativeError(error) && Object.isFrozen(error))
    assert.equal(error.constructor.name, 'MailError')
    assert.deepEqual([error.message, error.code, error.name], ['refused', 'EENVELOPE', 'MailError'])
    assert.ok(error.cause instanceof TypeError && /refused/.test(error.stack ?? ''))
    const fatal = carried(new NonRetryableError('no', { code: '550', details: [1] }))
    assert.ok(fatal instanceof NonRetryableError && Reflect.ownKeys(fatal).some((key) => typeof key === 'symbol'))
    assert.ok(carried(new RetryLaterError({ delay: 5 })) instanceof RetryLaterError)
    assert.ok(!Object.hasOwn(carried(new Error()), 'message'))
    const itself = new Error('round')
    itself.cause = itself
    const round = carried(itself)
    assert.ok(round.cause === round)
  })

  it('is code: functions, getters, classes, and what a maker makes', () => {
    assert.equal(carried((a: number) => a + 1)(1), 2)
    const getter = {
      get angry(): never {
        throw new Error('do not touch')
      },
    }
    assert.throws(() => carried(getter).angry, /do not touch/)
    class Point {
      readonly x = 1
      twice(): number {
        return this.x * 2
      }
    }
    const point = carried(new Point())
    assert.equal(point.twice(), 2)
    const proxy = carried({
      inside: made((name: string) => new Proxy({}, { get: () => name }) as { any: string }, 'a proxy'),
    })
    assert.equal(proxy.inside.any, 'a proxy')
  })

  it('is refused where it would arrive as something else', () => {
    const { proxy, revoke } = Proxy.revocable({}, {})
    revoke()
    for (const value of [proxy, [proxy], Promise.resolve(1), { promise: Promise.resolve(1) }, Math.max])
      assert.throws(() => pack(value), TypeError)
  })

  it('is the very same, where it came from there', () => {
    const error = new InvalidInputError('bad', [])
    const known = { numberOf: () => 7, find: () => error }
    assert.equal(unpack(pack(error, known), { find: (number) => (number === 7 ? error : undefined) }), error)
  })
})
