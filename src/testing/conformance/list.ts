/** SEMANTICS.md, line 16: `list`. */
import assert from 'node:assert/strict'
import { type BackgroundRunner, defineTask, type ListOptions } from '../../index.js'
import { ids, pathsOf, recordOf, refused } from './tools.js'
import { type Topic, topic, type World } from './world.js'

/** A runner that keeps what is submitted, and the ids of `count` tasks, newest first. */
async function filled(t: World, count: number): Promise<{ runner: BackgroundRunner; newest: string[] }> {
  const task = defineTask({ run: t.handler().run })
  const runner = await t.runner({ tasks: { work: task, other: task }, work: false })
  const handles =
    count === 0
      ? []
      : await runner.submitMany(
          'work',
          Array.from({ length: count }, (_, i) => i),
        )
  return { runner, newest: ids(handles).reverse() }
}

/** The ids of all pages. */
async function pages(runner: BackgroundRunner, options: ListOptions): Promise<string[][]> {
  const all: string[][] = []
  for (let cursor: string | undefined; ; ) {
    const page = await runner.list({ ...options, ...(cursor !== undefined && { cursor }) })
    all.push(ids(page.tasks))
    if (page.next === undefined) return all
    cursor = page.next
  }
}

export const list: Topic = topic('list', {
  'newest first, with the records as status gives them': async (t) => {
    const { runner, newest } = await filled(t, 5)
    await t.advance(10)
    const last = await runner.submit('other', 1, {
      key: 'k',
      tags: ['a'],
      metadata: { b: 1 },
      delay: 1_000,
      priority: 3,
    })
    const { tasks, next } = await runner.list()
    assert.deepEqual(ids(tasks), [last.id, ...newest])
    assert.equal(next, undefined)
    assert.deepEqual(tasks[0], await recordOf(last))
  },

  'an empty engine has an empty list': async (t) => {
    const { runner } = await filled(t, 0)
    assert.deepEqual(await runner.list(), { tasks: [] })
  },

  '50 by default, at most 1 000': async (t) => {
    const { runner, newest } = await filled(t, 1_001)
    const page = await runner.list()
    assert.deepEqual(ids(page.tasks), newest.slice(0, 50))
    assert.equal(typeof page.next, 'string')
    assert.equal((await runner.list({ limit: 1_000 })).tasks.length, 1_000)
    for (const limit of [0, 1_001, -1, 1.5, Number.NaN, '5' as never])
      assert.deepEqual(pathsOf(await refused(runner.list({ limit }), 'INVALID_INPUT', limit)), ['limit'])
  },

  'a cursor walks through everything once': async (t) => {
    const { runner, newest } = await filled(t, 25)
    assert.deepEqual((await pages(runner, { limit: 10 })).flat(), newest)
    assert.deepEqual(
      (await pages(runner, { limit: 10 })).map(({ length }) => length),
      [10, 10, 5],
    )
    assert.deepEqual(
      (await pages(runner, { limit: 25 })).map(({ length }) => length),
      [25],
      'a full last page has no next',
    )
    assert.deepEqual((await pages(runner, { limit: 1 })).flat(), newest)
  },

  'a cursor neither skips nor repeats what existed when it began, while tasks are added': async (t) => {
    const { runner, newest } = await filled(t, 20)
    const seen: string[] = []
    let page = await runner.list({ limit: 6 })
    for (;;) {
      seen.push(...ids(page.tasks))
      if (page.next === undefined) break
      await runner.submitMany('work', [1, 2, 3])
      page = await runner.list({ limit: 6, cursor: page.next })
    }
    assert.deepEqual(seen, newest)
  },

  'a cursor neither skips nor repeats while tasks are cancelled, removed and moved': async (t) => {
    const { runner, newest } = await filled(t, 20)
    const seen: string[] = []
    let page = await runner.list({ limit: 5 })
    for (;;) {
      seen.push(...ids(page.tasks))
      if (page.next === undefined) break
      for (const { id } of page.tasks.slice(2)) {
        await runner.cancel(id)
        await runner.remove(id)
      }
      const ahead = newest[seen.length]
      if (ahead !== undefined) await runner.setPriority(ahead, 9)
      page = await runner.list({ limit: 5, cursor: page.next })
    }
    assert.deepEqual(seen, newest)
  },

  'a cursor outlives the task that it was made from': async (t) => {
    const { runner, newest } = await filled(t, 6)
    const page = await runner.list({ limit: 3 })
    for (const { id } of page.tasks) {
      await runner.cancel(id)
      await runner.remove(id)
    }
    assert.deepEqual(ids((await runner.list({ cursor: page.next ?? '' })).tasks), newest.slice(3))
  },

  'what is no cursor is refused': async (t) => {
    const { runner } = await filled(t, 3)
    for (const cursor of ['', 'nonsense', '1', "' OR 1=1 --", 7 as never])
      assert.deepEqual(pathsOf(await refused(runner.list({ cursor }), 'INVALID_INPUT', cursor)), ['cursor'])
  },

  'states, names and tags choose; all of them together, and every tag': async (t) => {
    const task = defineTask({ run: t.handler().run })
    const runner = await t.runner({ tasks: { mail: task, resize: task }, work: false })
    const a = await runner.submit('mail', 1, { tags: ['x', 'y'] })
    const b = await runner.submit('mail', 1, { tags: ['x'], delay: 1_000 })
    const c = await runner.submit('resize', 1, { tags: ['y', 'x', 'z'] })
    const d = await runner.submit('resize', 1)
    await d.cancel()
    const found = async (options: ListOptions): Promise<string[]> => ids((await runner.list(options)).tasks)
    assert.deepEqual(await found({ states: ['queued'] }), [c.id, a.id])
    assert.deepEqual(await found({ states: ['scheduled', 'cancelled'] }), [d.id, b.id])
    assert.deepEqual(await found({ states: ['running', 'succeeded', 'failed'] }), [])
    assert.deepEqual(await found({ states: ['failed', 'cancelled'] }), [d.id])
    assert.deepEqual(await found({ names: ['mail'] }), [b.id, a.id])
    assert.deepEqual(await found({ names: ['mail', 'resize'] }), [d.id, c.id, b.id, a.id])
    assert.deepEqual(await found({ names: ['unknown'] }), [])
    assert.deepEqual(await found({ tags: ['x'] }), [c.id, b.id, a.id])
    assert.deepEqual(await found({ tags: ['x', 'y'] }), [c.id, a.id])
    assert.deepEqual(await found({ tags: ['%'] }), [])
    assert.deepEqual(await found({ tags: ['\ud800'] }), [])
    assert.deepEqual(await found({ names: ['\ud800'] }), [])
    assert.equal(await runner.status('\ud800'), undefined)
    assert.deepEqual(await found({ tags: ['x'], names: ['mail'], states: ['queued'] }), [a.id])
  },

  'a cursor keeps to its filter': async (t) => {
    const { runner, newest } = await filled(t, 12)
    const every3rd = newest.filter((_, i) => i % 3 === 0)
    for (const id of every3rd) await runner.cancel(id)
    assert.deepEqual((await pages(runner, { states: ['cancelled'], limit: 2 })).flat(), every3rd)
  },

  'wrong options are refused': async (t) => {
    const { runner } = await filled(t, 1)
    const bad: Record<string, unknown>[] = [
      { states: ['done'] },
      { states: 'queued' },
      { names: 'work' },
      { names: [1] },
      { tags: 'a' },
      { order: 'oldest' },
    ]
    for (const options of bad)
      assert.deepEqual(
        pathsOf(await refused(runner.list(options as never), 'INVALID_INPUT', options)),
        Object.keys(options),
      )
  },
})
