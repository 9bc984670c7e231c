/** SEMANTICS.md, line 21: what log lines carry, and what they never carry. */
import assert from 'node:assert/strict'
import { defineTask, type Logger } from 'background-runner'
import { every, schema, type Topic, topic } from './world.js'

/** A logger that remembers its lines. */
function recorder(): { logger: Logger; lines: { level: string; fields: Record<string, unknown>; message: string }[] } {
  const lines: { level: string; fields: Record<string, unknown>; message: string }[] = []
  const line =
    (level: string) =>
    (fields: object, message: string): void =>
      void lines.push({ level, fields: { ...fields }, message })
  return {
    lines,
    logger: { debug: line('debug'), info: line('info'), warn: line('warn'), error: line('error') },
  }
}

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
    assert.ok(lines.some(({ fields }) => fields['code'] === 'ECONN' && fields['error'] === 'no luck'))
    assert.ok(lines.some(({ fields }) => fields['state'] === 'succeeded' && fields['duration'] === 250))
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
    assert.ok(lines.length > 10)
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
    const task = await runner.submit('work')
    const first = await work.call(1)
    first.reject(new Error('no luck'))
    await t.advance(0)
    ;(await work.call(2)).resolve('done')
    assert.equal(await task.result(), 'done')
    await runner.onIdle()
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
})
