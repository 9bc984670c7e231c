/** SEMANTICS.md, of line 2 (the limits on values) and line 3 (an output that cannot be kept undoes no work). */
import assert from 'node:assert/strict'
import { defineTask } from '../../index.js'
import { codeOf, lacks, recordOf, refused, same } from './tools.js'
import { NOT_JSON } from './values.js'
import { type Topic, topic } from './world.js'

const MIB = 1_048_576

export const limits: Topic = topic('limits and outputs', {
  'an input may have 1 MiB of JSON and no byte more': async (t) => {
    const runner = await t.runner({ tasks: { work: defineTask({ run: t.handler().run }) }, work: false })
    const fits = 'a'.repeat(MIB - 2) // and its two quotes
    assert.equal((await recordOf(await runner.submit('work', fits))).input, fits)
    await refused(runner.submit('work', `${fits}a`), 'INVALID_INPUT')
    await refused(runner.submit('work', '€'.repeat(MIB / 3)), 'INVALID_INPUT')
    await refused(runner.submit('work', '\u0001'.repeat(MIB / 6 + 1)), 'INVALID_INPUT')
    same((await runner.counts()).queued, 1, 'queued tasks')
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
    lacks(record, 'progress')
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
    lacks(over, 'output')
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
    lacks(record, 'output')
    assert.match(record.outputError?.message ?? '', /1048576/)
    same(t.faults.length, 1, 'faults that were told')
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
      lacks(record, 'output')
      lacks(record, 'error')
      assert.equal(record.outputError?.code, 'INVALID_INPUT')
      assert.match(record.outputError?.message ?? '', /deep/, 'it says where')
      assert.equal(record.attempts.length, 1)
      assert.equal(await task.result(), undefined)
    }
    same(t.faults.length, outputs.length, 'faults that were told')
    for (const { error } of t.faults) assert.equal(codeOf(error), 'INVALID_INPUT')
  },

  'an undefined output is no output': async (t) => {
    const runner = await t.runner({ tasks: { work: defineTask({ run: () => undefined }) } })
    const task = await runner.submit('work', 1)
    const record = await task.wait()
    lacks(record, 'output', 'outputError')
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
      assert.ok(
        message.startsWith('mmm') && message.length <= 4_000 && message.length > 3_900,
        `a message of ${message.length}`,
      )
      assert.ok(stack.startsWith('sss') && stack.length <= 8_000 && stack.length > 7_900, `a stack of ${stack.length}`)
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
      assert.ok((error?.message ?? '').length > 900, 'most of the message is kept')
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
    lacks(record, 'progress')
  },
})
