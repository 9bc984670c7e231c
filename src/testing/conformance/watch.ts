/** `watch`: ids that changed, anywhere the engine can see. */
import assert from 'node:assert/strict'
import { defineTask } from '../../index.js'
import { every, same } from './tools.js'
import { type Topic, topic } from './world.js'

export const watch: Topic = topic('watch', {
  'a listener of watch that ends itself and watches anew is called once for each change': async (t) => {
    const runner = await t.runner({ tasks: { work: defineTask({ run: t.handler().run }) }, work: false })
    let [told, calls] = [0, 0]
    runner.watch(() => void told++)
    const watch = (): void => {
      const unwatch = runner.watch(() => {
        unwatch()
        if (++calls < 1_000) watch()
      })
    }
    watch()
    const task = await runner.submit('work')
    await t.settle()
    await runner.setPriority(task.id, 3)
    await t.settle()
    assert.ok(told >= 2, 'both changes are told')
    same(calls, told, 'calls')
  },

  'a listener of watch that was ended by another is not called any more, and the others are': async (t) => {
    const runner = await t.runner({ tasks: { work: defineTask({ run: t.handler().run }) }, work: false })
    const called: string[] = []
    const ends: (() => void)[] = []
    runner.watch(() => {
      called.push('first')
      for (const end of ends.splice(0)) end()
    })
    ends.push(runner.watch(() => void called.push('ended')))
    runner.watch(() => void called.push('last'))
    await runner.submit('work')
    await t.until(() => called.includes('last'), 'the last one is told')
    await t.settle()
    assert.deepEqual([...new Set(called)], ['first', 'last'])
  },

  'watch tells the ids that changed, until it is ended': async (t) => {
    const work = t.handler()
    const runner = await t.runner({ tasks: { work: defineTask({ retry: every(1_000, 2), run: work.run }) } })
    let seen: string[] = []
    const unwatch = runner.watch((changed) => void seen.push(...changed))
    const changes = async (id: string, what: string): Promise<void> => {
      await t.until(() => seen.includes(id), `watch tells: ${what}`)
      await t.settle()
      seen = []
    }
    const task = await runner.submit('work')
    const call = await work.call(1)
    await changes(task.id, 'submitted and started')
    call.ctx.progress(1)
    await changes(task.id, 'progress')
    call.reject(new Error('no luck'))
    await changes(task.id, 'retrying')
    await runner.setPriority(task.id, 3)
    await changes(task.id, 'a new priority')
    await task.cancel()
    await changes(task.id, 'cancelled')
    await task.retry({ delay: 1_000 })
    await changes(task.id, 'retried')
    await t.advance(1_000)
    const second = await work.call(2)
    await changes(task.id, 'started')
    await task.cancel()
    await changes(task.id, 'cancel requested')
    second.resolve()
    await changes(task.id, 'succeeded')
    await runner.remove(task.id)
    await changes(task.id, 'removed')
    unwatch()
    unwatch()
    await runner.submit('work')
    await t.settle()
    assert.deepEqual(seen, [])
  },

  'watch tells of what was pruned': async (t) => {
    const runner = await t.runner({
      tasks: { work: defineTask({ run: () => 'done' }) },
      retention: { succeeded: 100 },
    })
    const task = await runner.submit('work')
    await task.wait()
    await t.settle()
    const seen: string[] = []
    runner.watch((changed) => void seen.push(...changed))
    await t.advance(2_000)
    await t.until(() => seen.includes(task.id), 'watch tells')
  },

  'a listener of watch that throws or rejects reaches error, and the others still run': async (t) => {
    const runner = await t.runner({
      tasks: { work: defineTask({ run: t.handler().run }) },
      work: false,
      faults: 'expected',
    })
    const seen: string[] = []
    await t.handlesAll(async () => {
      runner.watch(() => {
        throw new Error('watcher threw')
      })
      runner.watch((async () => {
        throw new Error('watcher rejected')
      }) as () => void)
      runner.watch((changed) => void seen.push(...changed))
      const task = await runner.submit('work')
      await t.until(() => seen.includes(task.id), 'the last one is told')
    })
    // An engine may tell more often than once.
    const reached = new Set(t.faults.map(({ error }) => (error as Error).message))
    assert.deepEqual([...reached].sort(), ['watcher rejected', 'watcher threw'])
  },
})
