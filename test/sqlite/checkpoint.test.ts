/** What stands in the -wal file comes into the database while work goes on, and the -wal file begins anew. */
import assert from 'node:assert/strict'
import { statSync } from 'node:fs'
import { BackgroundRunner, defineTask } from 'background-runner'
import { sqlite } from 'background-runner/sqlite'
import { it, vi } from 'vitest'
import { place } from './support/place.js'

const seen = vi.hoisted(() => ({ checkpoints: 0, syncs: 0, syncing: false, early: 0, unsynced: false }))

vi.mock('node:fs/promises', async (original) => {
  const actual = await original<typeof import('node:fs/promises')>()
  return {
    ...actual,
    open: async (...args: Parameters<typeof actual.open>) => {
      const file = await actual.open(...args)
      if (!String(args[0]).endsWith('-wal')) return file
      if (seen.unsynced) {
        await file.close()
        throw new Error('not here')
      }
      const sync = file.datasync.bind(file)
      file.datasync = async () => {
        seen.syncs++
        seen.syncing = true
        await sync()
        seen.syncing = false
      }
      return file
    },
  }
})
vi.mock('../../src/sqlite/driver.js', async (original) => {
  const { wrappedDriver } = await import('./support/wrapped-driver.js')
  return wrappedDriver(await original<typeof import('../../src/sqlite/driver.js')>(), (sql, statement) => {
    if (!/wal_checkpoint\((?:PASSIVE|RESTART)/.test(sql)) return statement
    return {
      ...statement,
      get: (...values) => {
        seen.checkpoints++
        if (seen.syncing) seen.early++
        return statement.get(...values)
      },
    }
  })
})

const at = place()
const MB = 1_048_576

async function work(tasks: number): Promise<void> {
  const runner = new BackgroundRunner({
    tasks: { task: defineTask({ run: () => {} }) },
    engine: sqlite({ path: at.path }),
    concurrency: 4,
  })
  await Promise.all(Array.from({ length: tasks }, () => runner.submit('task', { text: 'x'.repeat(500) })))
  await runner.onIdle()
  const [database, wal] = [at.path, `${at.path}-wal`].map((path) => statSync(path).size) as [number, number]
  assert.ok(database > 0.5 * MB, `${database} bytes in the database`)
  assert.ok(wal < 16 * MB, `${wal} bytes in the -wal file`)
  await runner.close()
}

it('is copied when the system has it on the disk, which the event loop does not wait for', async () => {
  seen.checkpoints = 0
  await work(2_000)
  assert.ok(seen.checkpoints > 2, `${seen.checkpoints} checkpoints`)
  assert.ok(seen.syncs >= seen.checkpoints, `${seen.syncs} of ${seen.checkpoints}`)
  assert.equal(seen.early, 0)
})

it('is copied also where the -wal file cannot be opened beside SQLite', async () => {
  seen.checkpoints = 0
  seen.unsynced = true
  await work(2_000)
  assert.ok(seen.checkpoints > 2, `${seen.checkpoints} checkpoints`)
})
