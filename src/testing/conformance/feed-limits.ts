/**
 * What a shared engine may promise beside: that `watch` tells of what other processes did (`feed`), and that the limit of a
 * definition holds in all processes together (`limits`).
 */
import assert from 'node:assert/strict'
import { defineTask } from '../../index.js'
import type { Handler } from './handler.js'
import { called, joined, pair, run } from './processes.js'
import { type Topic, topic, type World } from './world.js'

const feed = topic(
  'a shared engine whose feed tells all',
  {
    'watch tells of what another process did': async (t) => {
      const { web, worker, work } = await pair(t, { retention: { cancelled: 3_600_000 } })
      let seen: string[] = []
      web.watch((changed) => void seen.push(...changed))
      const tells = async (id: string, what: string): Promise<void> => {
        await t.news(() => seen.includes(id), `watch tells: ${what}`)
        await t.advance(1_000)
        seen = []
      }
      const task = await worker.submit('work')
      const call = await called(t, work)
      await tells(task.id, 'submitted and started')
      call.ctx.progress(1)
      await tells(task.id, 'progress')
      call.reject(new Error('no luck'))
      await tells(task.id, 'retrying')
      await worker.setPriority(task.id, 3)
      await tells(task.id, 'a new priority')
      await worker.cancel(task.id)
      await tells(task.id, 'cancelled')
      await worker.retry(task.id)
      ;(await called(t, work, 2)).resolve()
      await tells(task.id, 'retried and succeeded')
      await worker.remove(task.id)
      await tells(task.id, 'removed')
    },
  },
  { shared: true, feed: 'all' },
)

/** Two processes with five slots each, a definition of at most two, and six tasks of it. */
async function limited(t: World): Promise<Handler[]> {
  const works = [t.handler(), t.handler()]
  for (const { run } of works)
    await joined(t, run, { tasks: { work: defineTask({ concurrency: 2, run }) }, concurrency: 5 })
  const web = await joined(t, t.handler().run, { work: false })
  await web.submitMany('work', [1, 2, 3, 4, 5, 6])
  return works
}

const globally = topic(
  'a shared engine whose limits are global',
  {
    'the concurrency of a definition holds in all processes together': async (t) => {
      const works = await limited(t)
      for (let ended = 0; ended < 6; ended++) {
        await run(t, works, Math.min(2, 6 - ended))
        works.flatMap((work) => work.unsettled)[0]?.resolve()
      }
    },
  },
  { shared: true, limits: 'global' },
)

const perProcess = topic(
  'a shared engine whose limits are of the process',
  {
    'the concurrency of a definition holds in each process': async (t) => {
      const works = await limited(t)
      await run(t, works, 4)
      assert.deepEqual(
        works.map(({ running }) => running),
        [2, 2],
      )
    },
  },
  { shared: true, limits: 'process' },
)

export const feedAndLimits: readonly Topic[] = [feed, globally, perProcess]
