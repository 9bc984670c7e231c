/** SEMANTICS.md, line 21: what log lines carry, and what they never carry. */
import assert from 'node:assert/strict'
import { defineTask } from '../../index.js'
import { every, nth, recorder, same, schema } from './tools.js'
import { type Topic, topic } from './world.js'

export const privacy: Topic = topic('privacy', {
  'log lines carry id, name, state, attempt, duration, error code and message, and nothing else': async (t) => {
    const { logger, lines } = recorder()
    const work = t.handler()
    const runner = await t.runner({ tasks: { work: defineTask({ retry: every(1_000, 2), run: work.run }) }, logger })
    const task = await runner.submit('work')
    ;(await work.call(1)).reject(Object.assign(new Error('no luck'), { code: 'ECONN' }))
    await t.reaches(runner, task, 'scheduled')
    await t.advance(1_000)
    const second = await work.call(2)
    await t.advance(250)
    second.resolve()
    await task.wait()
    await t.settle()
    assert.ok(lines.length > 0, 'something is logged')
    const allowed = new Set(['id', 'name', 'state', 'attempt', 'duration', 'code', 'error'])
    for (const { fields } of lines)
      for (const field of Object.keys(fields)) assert.ok(allowed.has(field), `a line carries ${field}`)
    for (const { fields } of lines) assert.deepEqual([fields['id'], fields['name']], [task.id, 'work'])
    const one = (has: (fields: Record<string, unknown>) => boolean): boolean => lines.some(({ fields }) => has(fields))
    assert.ok(
      one(({ code, error }) => code === 'ECONN' && error === 'no luck'),
      'a line has the code and the message of the error',
    )
    assert.ok(
      one(({ state, duration }) => state === 'succeeded' && duration === 250),
      'a line has the duration of the success',
    )
  },

  'no line carries input, output, metadata, progress, saved state, context, tags or key': async (t) => {
    const { logger, lines } = recorder()
    const secret = (what: string): string => `SECRET-${what}`
    const runner = await t.runner({
      tasks: {
        work: defineTask({
          retry: every(0, 3),
          timeout: 10_000,
          run: async (input: { mode: string }, { progress, save, attempt, signal }) => {
            progress({ at: secret('progress') })
            await save({ at: secret('saved') })
            if (input.mode === 'fail') throw Object.assign(new Error('no luck'), { details: secret('details') })
            if (input.mode === 'retry' && attempt < 3) throw new Error('no luck')
            if (input.mode === 'bad output') return { at: secret('output'), when: new Date(0), n: Number.NaN }
            if (input.mode === 'wait')
              await new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
            return { at: secret('output') }
          },
        }),
        strict: defineTask({
          input: schema(() => ({ issues: [{ message: 'is wrong', path: ['password'] }] })),
          run: () => undefined,
        }),
      },
      logger,
      context: { capture: () => ({ at: secret('context') }) },
      faults: 'unheard',
    })
    runner.on('succeeded', () => {
      throw new Error('listener bug')
    })
    const options = { metadata: { at: secret('metadata') }, tags: [secret('tag')] }
    const modes = ['fine', 'fail', 'retry', 'bad output']
    for (const mode of modes) {
      const input = { mode, at: secret('input') }
      await (await runner.submit('work', input, { ...options, key: secret(mode) })).wait()
    }
    const waiting = await runner.submit('work', { mode: 'wait', at: secret('input') }, options)
    await t.reaches(runner, waiting, 'running')
    await t.settle()
    await waiting.cancel()
    await t.reaches(runner, waiting, 'cancelled')
    await runner.submit('strict', { password: secret('input') }).catch(() => undefined)
    await runner.submit('work', { password: secret('input'), at: new Date(0) }).catch(() => undefined)
    await t.settle()
    assert.ok(lines.length > 10, `there are lines to look at, not only ${lines.length}`)
    for (const line of lines) assert.ok(!JSON.stringify(line).includes('SECRET'), JSON.stringify(line))
  },

  'a logger that throws harms no task': async (t) => {
    const angry = (): never => {
      throw new Error('logger bug')
    }
    const work = t.handler()
    const runner = await t.runner({
      tasks: { work: defineTask({ retry: every(0, 2), run: work.run }) },
      logger: { debug: angry, info: angry, warn: angry, error: angry },
      faults: 'expected',
    })
    const warnings = await t.warnings(async () => {
      const task = await runner.submit('work')
      const first = await work.call(1)
      first.reject(new Error('no luck'))
      await t.advance(0)
      ;(await work.call(2)).resolve('done')
      assert.equal(await task.result(), 'done')
      await runner.onIdle()
      await t.settle()
    })
    assert.equal(warnings.length, 1, `it is told of once: ${warnings.join('; ')}`)
  },

  'a failure is an error, a retry a warning, a success information': async (t) => {
    const { logger, lines } = recorder()
    const runner = await t.runner({
      tasks: {
        work: defineTask({
          retry: every(0, 2),
          run: (input: unknown, { attempt }) => {
            if (input === 'fail' || attempt === 1) throw new Error('no luck')
          },
        }),
      },
      logger,
    })
    await (await runner.submit('work', 'fine')).wait()
    await (await runner.submit('work', 'fail')).wait()
    await t.settle()
    const levels = (state: string): string[] => [
      ...new Set(lines.filter(({ fields }) => fields['state'] === state).map(({ level }) => level)),
    ]
    assert.deepEqual(levels('failed'), ['error'])
    assert.deepEqual(levels('scheduled'), ['warn'])
    assert.deepEqual(levels('succeeded'), ['info'])
  },

  'a duration is never negative, whatever is done to the clock': async (t) => {
    const { logger, lines } = recorder()
    const work = t.handler()
    const runner = await t.runner({ tasks: { work: defineTask({ retry: { attempts: 1 }, run: work.run }) }, logger })
    for (const [n, how] of (['succeeded', 'failed', 'cancelled'] as const).entries()) {
      const task = await runner.submit('work')
      const call = await work.call(n + 1)
      t.clock.setWall(t.clock.now() - 3_600_000)
      if (how === 'cancelled') await task.cancel()
      if (how === 'succeeded') call.resolve()
      else call.reject(new Error('no luck'))
      await t.reaches(runner, task, how)
    }
    await t.settle()
    const ends = lines.filter(({ fields }) => ['succeeded', 'failed', 'cancelled'].includes(String(fields['state'])))
    same(ends.length, 3, 'lines that tell of an end')
    for (const { fields } of ends) assert.ok(Number(fields['duration'] ?? 0) >= 0, `${fields['duration']} ms`)
  },

  'a task that is cancelled while it waits has no duration': async (t) => {
    const { logger, lines } = recorder()
    const work = t.handler()
    const runner = await t.runner({ tasks: { work: defineTask({ retry: every(3_600_000), run: work.run }) }, logger })
    const fresh = await runner.submit('work', 1, { delay: '1h' })
    const tried = await runner.submit('work', 2)
    const call = await work.call()
    await t.advance(10)
    call.reject(new Error('no luck'))
    await t.reaches(runner, tried, 'scheduled')
    await t.advance(60_000)
    for (const task of [fresh, tried]) await task.cancel()
    await t.settle()
    const ends = lines.filter(({ fields }) => fields['state'] === 'cancelled')
    assert.deepEqual(
      ends.map(({ fields }) => [fields['id'], 'duration' in fields]),
      [
        [fresh.id, false],
        [tried.id, false],
      ],
    )
  },

  'what is refused is told without the names of its properties, and its issues have them': async (t) => {
    const { logger, lines } = recorder()
    const bad = { 'ada@example.org': [1n] }
    const caught: unknown[] = []
    const runner = await t.runner({
      tasks: {
        output: defineTask({ run: () => bad as unknown }),
        progress: defineTask({
          retry: { attempts: 1 },
          run: (_input: unknown, ctx) => {
            try {
              ctx.progress(bad)
            } catch (error) {
              caught.push(error)
              throw error
            }
          },
        }),
        saved: defineTask({
          retry: { attempts: 1 },
          run: async (_input: unknown, ctx) => {
            await ctx.save(bad).catch((error: unknown) => {
              caught.push(error)
              throw error
            })
          },
        }),
        context: defineTask({ run: () => 'done' }),
      },
      logger,
      context: { capture: () => (capturing ? (bad as never) : undefined) },
      faults: 'expected',
    })
    let capturing = false
    const records = []
    for (const name of ['output', 'progress', 'saved', 'context']) {
      capturing = name === 'context'
      records.push(await (await runner.submit(name)).wait())
    }
    await t.settle()
    assert.deepEqual(
      records.map(({ state }) => state),
      ['succeeded', 'failed', 'failed', 'succeeded'],
    )
    assert.ok(nth(records, 0).outputError !== undefined, 'the first record has an outputError')
    // An error is logged; what stands in `outputError` is not, and may say where.
    for (const { name, error, attempts } of records)
      assert.doesNotMatch(JSON.stringify([error, attempts]), /ada@/, name)
    for (const line of lines) assert.doesNotMatch(JSON.stringify(line), /ada@/)
    assert.deepEqual([caught.length, t.faults.length], [2, 2])
    for (const error of [...caught, ...t.faults.map((fault) => fault.error)]) {
      const { message, stack, issues } = error as Error & { issues: { path: unknown }[] }
      assert.doesNotMatch(`${message} ${stack}`, /ada@/)
      assert.match(message, /bigint/, 'it says what is wrong')
      assert.deepEqual(
        issues.map(({ path }) => path),
        [['ada@example.org', 0]],
      )
    }
  },

  'a fault that nobody hears is logged without the names of the properties of what was refused': async (t) => {
    const { logger, lines } = recorder()
    const bad = { 'ada@example.org': [1n] }
    const runner = await t.runner({
      tasks: { work: defineTask({ run: () => bad as unknown }) },
      logger,
      context: { capture: () => bad as never },
      faults: 'unheard',
    })
    assert.equal((await (await runner.submit('work')).wait()).state, 'succeeded')
    await t.until(() => lines.filter(({ level }) => level === 'error').length === 2, 'both faults are logged')
    for (const line of lines) assert.doesNotMatch(JSON.stringify(line), /ada@/)
  },
})
