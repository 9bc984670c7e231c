/** SEMANTICS.md, of line 2: submit takes a snapshot, a handler gets its own copy, a record handed out changes nothing. */
import assert from 'node:assert/strict'
import { defineTask } from '../../index.js'
import { every, recordOf } from './tools.js'
import { type Topic, topic } from './world.js'

/** By JSON and not by `structuredClone`, whose objects are of another realm under Jest. */
const copied = (value: unknown): unknown => (value === undefined ? undefined : JSON.parse(JSON.stringify(value)))

export const snapshots: Topic = topic('snapshots and copies', {
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
            seen.push([input, metadata, saved].map(copied))
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
})
