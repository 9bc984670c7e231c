/** SEMANTICS.md, line 9: handlers may throw anything; their own task fails, with a readable error. */
import assert from 'node:assert/strict'
import { defineTask, NonRetryableError } from '../../index.js'
import { made } from './made.js'
import { same } from './tools.js'
import { type Body, type Topic, topic } from './world.js'

const revoked = (): object => {
  const { proxy, revoke } = Proxy.revocable({}, {})
  revoke()
  return proxy
}

const angry = (): never => {
  throw new Error('do not touch')
}

const circular = (): Error => {
  const error = new Error('round and round')
  error.cause = error
  return error
}

const THROWN: Readonly<Record<string, () => unknown>> = {
  undefined: () => undefined,
  null: () => null,
  'the empty string': () => '',
  'a number': () => 42,
  NaN: () => Number.NaN,
  'minus zero': () => -0,
  false: () => false,
  'a BigInt': () => 10n,
  'a symbol': () => Symbol('s'),
  'a function': () => () => 1,
  'an empty object': () => ({}),
  'an object without a prototype': () => Object.create(null),
  'an array': () => [1, 2],
  'a frozen error': () => Object.freeze(new Error('frozen')),
  'an error whose message is no string': () => Object.assign(new Error('x'), { message: { a: 1 } }),
  'an error without a message': () => new Error(),
  'an object whose getters throw': () =>
    Object.defineProperties(
      {},
      Object.fromEntries(
        ['name', 'message', 'stack', 'code', 'cause', 'details', 'constructor', 'toJSON'].map((field) => [
          field,
          { get: angry },
        ]),
      ),
    ),
  'a proxy whose every trap throws': () =>
    made(() => {
      const angry = (): never => {
        throw new Error('do not touch')
      }
      const traps = { get: angry, has: angry, ownKeys: angry, getPrototypeOf: angry, getOwnPropertyDescriptor: angry }
      return new Proxy({}, traps)
    }),
  'a revoked proxy': () => made(revoked),
  'an error that is its own cause': circular,
  'an error with a details cycle': () => {
    const details: Record<string, unknown> = {}
    details['self'] = details
    return new NonRetryableError('details', { details })
  },
  'an error with a stack that is no string': () => Object.assign(new Error('x'), { stack: 7 }),
  'an error whose cause is a revoked proxy': () => new Error('x', { cause: made(revoked) }),
  'a Date': () => new Date(Number.NaN),
  'a promise': () => made(() => Promise.resolve(1)),
}

function fails(make: () => unknown): Body {
  return async (t) => {
    const runner = await t.runner({
      tasks: {
        thrower: defineTask({
          retry: { attempts: 1 },
          run: () => {
            throw make()
          },
        }),
        rejecter: defineTask({ retry: { attempts: 1 }, run: () => Promise.reject(make()) }),
        neighbour: defineTask({ run: () => 'fine' }),
      },
      concurrency: 1,
    })
    const told = t.listen(runner)
    for (const name of ['thrower', 'rejecter']) {
      const task = await runner.submit(name)
      const neighbour = await runner.submit('neighbour')
      const record = await task.wait()
      assert.equal(record.state, 'failed')
      for (const error of [record.error, record.attempts[0]?.error]) {
        assert.equal(typeof error?.name, 'string')
        assert.equal(typeof error?.message, 'string')
        assert.notEqual(error?.name, '')
        assert.notEqual(error?.message, '', 'the error is readable')
      }
      assert.deepEqual(JSON.parse(JSON.stringify(record)), record, 'the record is JSON')
      assert.equal(await neighbour.result(), 'fine')
    }
    same(told.filter(({ event }) => event === 'failed').length, 2, 'such events that were told')
  }
}

export const thrown: Topic = topic('what handlers throw', {
  ...Object.fromEntries(
    Object.entries(THROWN).map(([what, make]) => [
      `a handler that throws ${what} fails its own task only`,
      fails(make),
    ]),
  ),

  'an error is kept with its name, message, code, stack, cause and details': async (t) => {
    class MailError extends Error {
      override readonly name = 'MailError'
      readonly code = 'EENVELOPE'
      readonly details = { rejected: ['a@example.org'] }
    }
    const runner = await t.runner({
      tasks: {
        work: defineTask({
          retry: { attempts: 1 },
          run: () => {
            throw new MailError('all refused', { cause: new TypeError('because') })
          },
        }),
      },
    })
    const { error } = await (await runner.submit('work')).wait()
    assert.equal(error?.name, 'MailError')
    assert.equal(error?.message, 'all refused')
    assert.equal(error?.code, 'EENVELOPE')
    assert.match(error?.stack ?? '', /all refused/)
    assert.deepEqual([error?.cause?.name, error?.cause?.message], ['TypeError', 'because'])
    assert.deepEqual(error?.details, { rejected: ['a@example.org'] })
  },

  'a thrown string is its message': async (t) => {
    const runner = await t.runner({
      tasks: { work: defineTask({ retry: { attempts: 1 }, run: () => Promise.reject('no such file') }) },
    })
    assert.equal((await (await runner.submit('work')).wait()).error?.message, 'no such file')
  },

  'a handler may be synchronous, asynchronous, or give a thenable': async (t) => {
    const thenable = (how: 'resolve' | 'reject'): PromiseLike<string> =>
      made(
        (way): PromiseLike<string> =>
          ({
            // biome-ignore lint/suspicious/noThenProperty: a thenable is what is tested
            then: (resolve: (value: string) => void, reject: (error: unknown) => void) =>
              way === 'resolve' ? resolve('fine') : reject(new Error('not fine')),
          }) as never,
        how,
      )
    const runner = await t.runner({
      tasks: {
        sync: defineTask({ run: () => 'fine' }),
        async: defineTask({ run: async () => 'fine' }),
        thenable: defineTask({ run: () => thenable('resolve') as Promise<string> }),
        bad: defineTask({ retry: { attempts: 1 }, run: () => thenable('reject') as Promise<string> }),
        trap: defineTask({
          retry: { attempts: 1 },
          run: () =>
            Object.defineProperty({}, 'then', {
              get: angry,
            }),
        }),
      },
    })
    for (const name of ['sync', 'async', 'thenable']) assert.equal(await (await runner.submit(name)).result(), 'fine')
    assert.equal((await (await runner.submit('bad')).wait()).error?.message, 'not fine')
    assert.equal((await (await runner.submit('trap')).wait()).state, 'failed')
  },
})
