/** SEMANTICS.md, line 2 (what a value may be, snapshots, limits) and line 3 (an output that is not JSON). */
import assert from 'node:assert/strict'
import { defineTask } from '../../index.js'
import { type Body, codeOf, every, pathsOf, recordOf, refused, type Topic, topic } from './world.js'

class Point {
  readonly x = 1
}

const cycle: Record<string, unknown> = {}
cycle['self'] = cycle

/** What JSON would change or cannot hold. */
const NOT_JSON: Readonly<Record<string, unknown>> = {
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
const JSON_VALUES: Readonly<Record<string, unknown>> = {
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
    assert.equal((await runner.counts()).queued, 0)
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
    assert.equal(seen.length, 4)
    assert.deepStrictEqual(seen, [value, { value }, value, { value }])
    assert.deepStrictEqual(record.input, value)
    assert.deepStrictEqual(record.output, value)
    assert.deepStrictEqual(record.metadata, { value })
    assert.deepStrictEqual(record.progress, value)
    assert.deepStrictEqual(await task.result(), value)
  }
}

const MIB = 1_048_576

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
    assert.equal(seen.length, 9)
    for (const each of seen) {
      const { a } = each as { a: { admin?: unknown } }
      assert.equal(Object.getPrototypeOf(a), Object.prototype)
      assert.equal(a.admin, undefined)
      assert.deepEqual(Object.keys(a), ['__proto__'])
      assert.deepStrictEqual(JSON.stringify(each), '{"a":{"__proto__":{"admin":true}}}')
    }
  },

  'submit takes a snapshot: what the caller changes later changes nothing': async (t) => {
    const work = t.handler()
    const runner = await t.runner({ tasks: { work: defineTask({ run: work.run }) } })
    const input = { to: ['ada'] }
    const metadata = { tags: ['a'] }
    const tags = ['one']
    const submitting = runner.submit('work', input, { metadata, tags })
    input.to.push('eve')
    metadata.tags.push('b')
    tags.push('two')
    const task = await submitting
    input.to.push('mallory')
    const record = await recordOf(task)
    assert.deepEqual([record.input, record.metadata, record.tags], [{ to: ['ada'] }, { tags: ['a'] }, ['one']])
    assert.deepEqual((await work.call()).input, { to: ['ada'] })
  },

  'a handler gets its own copies: what it changes changes nothing, also in the next attempt': async (t) => {
    const seen: unknown[] = []
    const runner = await t.runner({
      tasks: {
        work: defineTask({
          run: async (input: { list: number[] }, { metadata, saved, save, attempt }) => {
            seen.push(structuredClone([input, metadata, saved]))
            input.list.push(99)
            ;(metadata as { list: number[] }).list.push(99)
            ;(saved as { list: number[] } | undefined)?.list.push(99)
            if (attempt === 1) await save({ list: [3] })
            if (attempt < 3) throw new Error('once more')
          },
          retry: every(0),
        }),
      },
    })
    const record = await (await runner.submit('work', { list: [1] }, { metadata: { list: [2] } })).wait()
    assert.equal(record.state, 'succeeded')
    assert.deepEqual(seen, [
      [{ list: [1] }, { list: [2] }, undefined],
      [{ list: [1] }, { list: [2] }, { list: [3] }],
      [{ list: [1] }, { list: [2] }, { list: [3] }],
    ])
    assert.deepEqual([record.input, record.metadata], [{ list: [1] }, { list: [2] }])
  },

  'what a handler gives away is copied: what it changes later changes nothing': async (t) => {
    const output = { list: [1] }
    const progressed = { list: [1] }
    const saved = { list: [1] }
    const runner = await t.runner({
      tasks: {
        work: defineTask({
          run: async (_input: unknown, { progress, save }) => {
            progress(progressed)
            const saving = save(saved)
            progressed.list.push(2)
            saved.list.push(2)
            await saving
            return output
          },
        }),
      },
    })
    const task = await runner.submit('work', 1)
    await task.wait()
    output.list.push(2)
    const record = await recordOf(task)
    assert.deepEqual([record.output, record.progress], [{ list: [1] }, { list: [1] }])
  },

  'a record that was handed out changes nothing': async (t) => {
    const runner = await t.runner({
      tasks: {
        work: defineTask({
          run: (_input: unknown, { progress }) => {
            progress({ list: [1] })
            return { list: [1] }
          },
        }),
      },
    })
    const spoil = (record: unknown): void => {
      const open = record as Record<string, { list: unknown[] }> & { attempts: { number: number }[]; tags: unknown[] }
      for (const field of ['input', 'output', 'metadata', 'progress']) open[field]?.list.push('spoilt')
      open.tags.push('spoilt')
      for (const attempt of open.attempts) attempt.number = 99
      open.attempts.length = 0
      ;(open as Record<string, unknown>)['state'] = 'spoilt'
    }
    for (const event of ['submitted', 'started', 'progress', 'succeeded'] as const) runner.on(event, spoil)
    const task = await runner.submit('work', { list: [1] }, { metadata: { list: [1] }, tags: ['a'] })
    spoil(await task.wait())
    spoil(await task.status())
    const output = (await task.result()) as { list: unknown[] }
    output.list.push('spoilt')
    const { tasks } = await runner.list()
    spoil(tasks[0])
    const record = await recordOf(task)
    assert.equal(record.state, 'succeeded')
    assert.equal(record.attempts.length, 1)
    assert.equal(record.attempts[0]?.number, 1)
    assert.deepEqual(record.tags, ['a'])
    for (const field of ['input', 'output', 'metadata', 'progress'] as const)
      assert.deepEqual(record[field], { list: [1] }, field)
  },

  'two who wait get a record each': async (t) => {
    const runner = await t.runner({ tasks: { work: defineTask({ run: () => ({ list: [1] }) }) } })
    const task = await runner.submit('work', 1)
    const [one, two] = await Promise.all([task.wait(), task.wait()])
    ;(one.output as unknown as { list: number[] }).list.push(2)
    assert.deepEqual(two.output, { list: [1] })
  },

  'an input may have 1 MiB of JSON and no byte more': async (t) => {
    const runner = await t.runner({ tasks: { work: defineTask({ run: t.handler().run }) }, work: false })
    const fits = 'a'.repeat(MIB - 2) // and its two quotes
    assert.equal((await recordOf(await runner.submit('work', fits))).input, fits)
    await refused(runner.submit('work', `${fits}a`), 'INVALID_INPUT')
    await refused(runner.submit('work', '€'.repeat(MIB / 3)), 'INVALID_INPUT')
    await refused(runner.submit('work', '\u0001'.repeat(MIB / 6 + 1)), 'INVALID_INPUT')
    assert.equal((await runner.counts()).queued, 1)
  },

  'an input, a progress, a state of 2 MB is refused': async (t) => {
    const big = 'a'.repeat(2_000_000)
    const errors: unknown[] = []
    const runner = await t.runner({
      tasks: {
        work: defineTask({
          run: async (_input: unknown, { progress, save }) => {
            try {
              progress({ big })
            } catch (error) {
              errors.push(error)
            }
            await save({ big }).catch((error) => errors.push(error))
          },
        }),
      },
    })
    await refused(runner.submit('work', { big }), 'INVALID_INPUT')
    await refused(
      runner.submit(
        'work',
        Array.from({ length: 1_000_000 }, () => 1),
      ),
      'INVALID_INPUT',
    )
    await refused(runner.submit('work', 1, { metadata: { big } }), 'INVALID_INPUT')
    const record = await (await runner.submit('work', 1)).wait()
    assert.equal(record.state, 'succeeded')
    assert.ok(!('progress' in record))
    assert.deepEqual(
      errors.map((error) => codeOf(error)),
      ['INVALID_INPUT', 'INVALID_INPUT'],
    )
  },

  'the limits can be set': async (t) => {
    const runner = await t.runner({
      tasks: { work: defineTask({ run: (input: string) => input.repeat(3) }) },
      limits: { input: 10, output: 20 },
      faults: 'expected',
    })
    await refused(runner.submit('work', 'a'.repeat(9)), 'INVALID_INPUT')
    assert.equal((await (await runner.submit('work', 'a'.repeat(6))).wait()).output, 'a'.repeat(18))
    const over = await (await runner.submit('work', 'a'.repeat(8))).wait()
    assert.ok(!('output' in over))
    assert.equal(over.outputError?.code, 'INVALID_INPUT')
  },

  'an output of 1 MiB is kept, a larger one is not, and the task has succeeded': async (t) => {
    const runner = await t.runner({
      tasks: { work: defineTask({ run: (length: number) => 'a'.repeat(length) }) },
      faults: 'expected',
    })
    assert.equal(((await (await runner.submit('work', MIB - 2)).wait()).output as string).length, MIB - 2)
    const record = await (await runner.submit('work', MIB - 1)).wait()
    assert.equal(record.state, 'succeeded')
    assert.ok(!('output' in record))
    assert.match(record.outputError?.message ?? '', /1048576/)
    assert.equal(t.faults.length, 1)
  },

  'an output that is not JSON undoes nothing: succeeded, no output, outputError, and error is told': async (t) => {
    const outputs = Object.values(NOT_JSON).filter((each) => !(each instanceof Promise))
    const runner = await t.runner({
      tasks: { work: defineTask({ run: (index: number) => ({ deep: outputs[index] }) }) },
      faults: 'expected',
    })
    for (const index of outputs.keys()) {
      const task = await runner.submit('work', index)
      const record = await task.wait()
      assert.equal(record.state, 'succeeded')
      assert.ok(!('output' in record))
      assert.ok(!('error' in record))
      assert.equal(record.outputError?.code, 'INVALID_INPUT')
      assert.match(record.outputError?.message ?? '', /deep/, 'it says where')
      assert.equal(record.attempts.length, 1)
      assert.equal(await task.result(), undefined)
    }
    assert.equal(t.faults.length, outputs.length)
    for (const { error } of t.faults) assert.equal(codeOf(error), 'INVALID_INPUT')
  },

  'an undefined output is no output': async (t) => {
    const runner = await t.runner({ tasks: { work: defineTask({ run: () => undefined }) } })
    const task = await runner.submit('work', 1)
    const record = await task.wait()
    assert.ok(!('output' in record) && !('outputError' in record))
    assert.equal(await task.result(), undefined)
  },

  'the message of an error is kept to 4 kB and its stack to 8 kB': async (t) => {
    const runner = await t.runner({
      tasks: {
        work: defineTask({
          retry: { attempts: 1 },
          run: () => {
            const error = new Error('m'.repeat(10_000))
            error.stack = 's'.repeat(20_000)
            throw error
          },
        }),
      },
    })
    const { error, attempts } = await (await runner.submit('work', 1)).wait()
    for (const each of [error, attempts[0]?.error]) {
      const message = each?.message ?? ''
      const stack = each?.stack ?? ''
      assert.ok(message.startsWith('mmm') && message.length <= 4_000 && message.length > 3_900, `${message.length}`)
      assert.ok(stack.startsWith('sss') && stack.length <= 8_000 && stack.length > 7_900, `${stack.length}`)
    }
  },

  'the message of an error is not cut through a character': async (t) => {
    const runner = await t.runner({
      tasks: {
        work: defineTask({
          retry: { attempts: 1 },
          run: (padding: string) => Promise.reject(new Error(padding + '😀'.repeat(5_000))),
        }),
      },
    })
    for (const padding of ['', 'a', 'ab', 'abc']) {
      const { error } = await (await runner.submit('work', padding)).wait()
      assert.ok((error?.message ?? '').length > 900)
      assert.doesNotThrow(() => encodeURIComponent(error?.message ?? ''), 'there is no half of a character')
    }
  },

  'progress and saved state that are not JSON are refused, and the handler may go on': async (t) => {
    const codes: unknown[] = []
    const runner = await t.runner({
      tasks: {
        work: defineTask({
          run: async (_input: unknown, { progress, save }) => {
            for (const value of [undefined, Number.NaN, { a: new Date(0) }]) {
              try {
                progress(value)
              } catch (error) {
                codes.push(codeOf(error))
              }
              await save(value).catch((error) => codes.push(codeOf(error)))
            }
            return 'fine'
          },
        }),
      },
    })
    const record = await (await runner.submit('work', 1)).wait()
    assert.equal(record.output, 'fine')
    assert.deepEqual(codes, Array(6).fill('INVALID_INPUT'))
    assert.ok(!('progress' in record))
  },
})
