/** SEMANTICS.md, line 2: what a value may be, and what it is on every way. (snapshots.ts: who owns it; limits.ts: its size.) */
import assert from 'node:assert/strict'
import { defineTask } from '../../index.js'
import { every, pathsOf, recordOf, refused, same } from './tools.js'
import { type Body, type Topic, topic } from './world.js'

class Point {
  readonly x = 1
}

const cycle: Record<string, unknown> = {}
cycle['self'] = cycle

/** What JSON would change or cannot hold. */
export const NOT_JSON: Readonly<Record<string, unknown>> = {
  'a Date': new Date(0),
  'a Map': new Map([['a', 1]]),
  'a Set': new Set([1]),
  'a RegExp': /a/,
  'an Error': new Error('no'),
  'a Buffer': Buffer.from('a'),
  'a typed array': new Float64Array(1),
  'a class instance': new Point(),
  'a promise': Promise.resolve(1),
  'a boxed string': Object('text'),
  NaN: Number.NaN,
  Infinity: Number.POSITIVE_INFINITY,
  'minus Infinity': Number.NEGATIVE_INFINITY,
  'minus zero': -0,
  'a BigInt': 1n,
  'a function': () => 1,
  'a symbol': Symbol('no'),
  'a cycle': cycle,
}

/** What it can hold, and what is sometimes lost on the way. */
export const JSON_VALUES: Readonly<Record<string, unknown>> = {
  'the numbers at the ends': [Number.MAX_SAFE_INTEGER, -Number.MAX_VALUE, 5e-324, 0.1 + 0.2, 1e21, -1.5],
  'control characters and quotes': ['\u0000', '\u001f', '\n', '"', '\\', '\u2028', '\u007f'],
  'characters beyond the basic plane': ['😀', 'é', '\ufeff', '\uffff'],
  'lone surrogates': ['\ud800', 'a\udc00b', '\udbff\ud800'],
  'the empty string as a key': { '': { '': [] } },
  'keys of Object.prototype': { constructor: 1, toString: 'a', hasOwnProperty: null, valueOf: { length: 0 } },
  'keys that look like numbers': { '10': 'a', '9': 'b', '-1': 'c', '1.5': 'd' },
  'empty containers': [{}, [], [[]], { a: {} }],
  null: [null, { a: null }],
  'a string that looks like something else': ['null', 'true', '1', '{}', '2030-01-01T00:00:00.000Z'],
}

function isRefused(value: unknown): Body {
  return async (t) => {
    const runner = await t.runner({ tasks: { work: defineTask({ run: t.handler().run }) }, work: false })
    assert.deepEqual(
      pathsOf(await refused(runner.submit('work', value), 'INVALID_INPUT')),
      [''].filter(() => value !== cycle).concat(value === cycle ? ['self'] : []),
    )
    const deep = await refused(runner.submit('work', { list: [1, { value }] }), 'INVALID_INPUT')
    assert.deepEqual(pathsOf(deep), [value === cycle ? 'list.1.value.self' : 'list.1.value'])
    const metadata = await refused(runner.submit('work', 1, { metadata: { value } }), 'INVALID_INPUT')
    assert.deepEqual(pathsOf(metadata), [value === cycle ? 'metadata.value.self' : 'metadata.value'])
    same((await runner.counts()).queued, 0, 'queued tasks')
  }
}

function survives(value: unknown): Body {
  return async (t) => {
    const seen: unknown[] = []
    const runner = await t.runner({
      tasks: {
        work: defineTask({
          run: async (input: unknown, { metadata, progress, save }) => {
            seen.push(input, metadata)
            progress(input)
            await save(input)
            if (seen.length === 2) throw new Error('once more')
            return input
          },
          retry: every(0),
        }),
        saved: defineTask({ run: (_input: unknown, { saved }) => saved }),
      },
    })
    const task = await runner.submit('work', value, { metadata: { value } })
    const record = await task.wait()
    same(seen.length, 4, 'what was seen')
    assert.deepStrictEqual(seen, [value, { value }, value, { value }])
    assert.deepStrictEqual(record.input, value)
    assert.deepStrictEqual(record.output, value)
    assert.deepStrictEqual(record.metadata, { value })
    assert.deepStrictEqual(record.progress, value)
    assert.deepStrictEqual(await task.result(), value)
  }
}

export const values: Topic = topic('values', {
  ...Object.fromEntries(
    Object.entries(NOT_JSON).map(([what, value]) => [`${what} is refused, with its path`, isRefused(value)]),
  ),
  ...Object.fromEntries(
    Object.entries(JSON_VALUES).map(([what, value]) => [`unchanged on every way: ${what}`, survives(value)]),
  ),

  'undefined and a hole in an array are refused, with their paths': async (t) => {
    const runner = await t.runner({ tasks: { work: defineTask({ run: t.handler().run }) }, work: false })
    const list: unknown[] = [1, undefined, 2]
    list[4] = 3
    assert.deepEqual(pathsOf(await refused(runner.submit('work', { list }), 'INVALID_INPUT')), ['list.1', 'list.3'])
  },

  'a property that is undefined counts as absent': async (t) => {
    const work = t.handler()
    const runner = await t.runner({ tasks: { work: defineTask({ run: work.run }) } })
    const task = await runner.submit('work', { a: undefined, b: { c: undefined, d: 1 } })
    const call = await work.call()
    assert.deepStrictEqual(call.input, { b: { d: 1 } })
    assert.deepStrictEqual((await recordOf(task)).input, { b: { d: 1 } })
    call.resolve({ e: undefined })
    assert.deepStrictEqual((await task.wait()).output, {})
  },

  'symbol keys are refused': async (t) => {
    const runner = await t.runner({ tasks: { work: defineTask({ run: t.handler().run }) }, work: false })
    const error = await refused(runner.submit('work', { a: { [Symbol('secret')]: 1 } }), 'INVALID_INPUT')
    assert.deepEqual(pathsOf(error), ['a'])
  },

  'an array with named properties is refused': async (t) => {
    const runner = await t.runner({ tasks: { work: defineTask({ run: t.handler().run }) }, work: false })
    const list = Object.assign([1], { name: 'x' })
    assert.deepEqual(pathsOf(await refused(runner.submit('work', { list }), 'INVALID_INPUT')), ['list'])
  },

  'a getter that throws is refused': async (t) => {
    const runner = await t.runner({ tasks: { work: defineTask({ run: t.handler().run }) }, work: false })
    const trap = {
      get a(): never {
        throw new Error('no')
      },
    }
    await refused(runner.submit('work', { trap }), 'INVALID_INPUT')
    await refused(runner.submit('work', { trap: new Proxy({}, { ownKeys: () => assert.fail('no') }) }), 'INVALID_INPUT')
  },

  'the same object twice is no cycle': async (t) => {
    const work = t.handler()
    const runner = await t.runner({ tasks: { work: defineTask({ run: work.run }) } })
    const shared = { a: 1 }
    await runner.submit('work', [shared, shared])
    assert.deepEqual((await work.call()).input, [{ a: 1 }, { a: 1 }])
  },

  'an object without a prototype is an object': async (t) => {
    const work = t.handler()
    const runner = await t.runner({ tasks: { work: defineTask({ run: work.run }) } })
    await runner.submit('work', Object.assign(Object.create(null), { a: 1 }))
    assert.deepEqual((await work.call()).input, { a: 1 })
  },

  '__proto__ as a key is data, never a prototype': async (t) => {
    const evil = (): unknown => JSON.parse('{"a":{"__proto__":{"admin":true}}}')
    const seen: unknown[] = []
    const runner = await t.runner({
      tasks: {
        work: defineTask({
          run: async (input: unknown, { metadata, saved, progress, save }) => {
            seen.push(input, metadata, ...(saved === undefined ? [] : [saved]))
            progress(evil())
            await save(evil())
            if (saved === undefined) throw new Error('once more')
            return evil()
          },
          retry: every(0),
        }),
      },
    })
    const { input, output, metadata, progress } = await (
      await runner.submit('work', evil(), { metadata: evil() })
    ).wait()
    seen.push(input, output, metadata, progress)
    same(seen.length, 9, 'what was seen')
    for (const each of seen) {
      const { a } = each as { a: { admin?: unknown } }
      assert.equal(Object.getPrototypeOf(a), Object.prototype)
      assert.equal(a.admin, undefined)
      assert.deepEqual(Object.keys(a), ['__proto__'])
      assert.deepStrictEqual(JSON.stringify(each), '{"a":{"__proto__":{"admin":true}}}')
    }
  },
})
