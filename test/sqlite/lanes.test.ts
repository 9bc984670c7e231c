/** Tasks under limits in the file: what becomes of them beside deaths and other processes. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { BackgroundRunner, defineTask, type TaskMap } from 'background-runner'
import { sqlite } from 'background-runner/sqlite'
import { afterAll, expect, it } from 'vitest'
import { systemClock } from '../../src/clock.js'
import type { NewTask } from '../../src/engine.js'
import { loadDriver } from '../../src/sqlite/driver.js'
import { SqliteStore } from '../../src/sqlite/sqlite-store.js'

const folder = mkdtempSync(join(tmpdir(), 'background-runner-'))
afterAll(() => rmSync(folder, { recursive: true }))

it('what a dead process was running comes back, also where nothing else of its key waits; and what comes after it', async () => {
  const path = join(folder, 'death.db')
  const tasks: TaskMap = {
    work: defineTask({ concurrency: { max: 1, by: String }, requires: { cpu: 1 }, run: () => {} }),
  }
  const open = (work: boolean): BackgroundRunner =>
    new BackgroundRunner({ engine: sqlite({ path, lease: 300 }), tasks, work, resources: { cpu: 1 } })
  const first = open(false)
  await first.submit('work', 'a', { id: 'parent' })
  await first.submit('work', 'b', { id: 'child', after: ['parent'] })
  await first.close()
  // As a worker leaves it that was killed while it ran the parent.
  const file = (await loadDriver())(path)
  file.exec(`
    INSERT INTO workers (id, pid, lease) VALUES (77, 1, 300);
    UPDATE tasks SET state = 2, worker = 77, attempt = 1, started_at = created_at WHERE id = 'parent';
    UPDATE lanes SET priority = NULL, run_at = NULL, first = NULL;
    UPDATE counts SET n = n - 1 WHERE state = 0;
    INSERT INTO counts (name, state, n) SELECT name, 2, 1 FROM tasks WHERE id = 'parent';
  `)
  file.close()
  const second = open(true)
  const faults: unknown[] = []
  second.on('error', (error) => faults.push(error))
  expect((await second.wait('child', { timeout: '10s' })).state).toBe('succeeded')
  expect((await second.status('parent'))?.attempts.map(({ outcome }) => outcome)).toEqual(['crashed', 'succeeded'])
  expect(faults).toEqual([])
  await second.close()
})

it('no more of a key run than may, after one was handed back and what was known of the file was not', async () => {
  const path = join(folder, 'released.db')
  const stores: SqliteStore[] = []
  const open = async (work: boolean): Promise<SqliteStore> => {
    const store = new SqliteStore({ path, durability: 'process', lease: 600_000 })
    stores.push(store)
    await store.open({
      clock: systemClock,
      random: () => 0.5,
      maxPending: 1_000,
      limits: new Map([['work', { slots: 1 }]]),
      resources: new Map(),
      names: ['work'],
      work,
      host: { changed: () => {}, cancelled: () => {}, lost: () => {}, recovered: () => {}, fault: expect.fail },
    })
    return store
  }
  let order = 0
  const task = (id: string, slot: string): NewTask => ({
    id,
    order: ++order,
    idIsNew: false,
    name: 'work',
    input: 1,
    priority: 0,
    delay: 0,
    runAt: undefined,
    maxAttempts: 3,
    extras: { slot },
  })
  const admission = { open: ['work'], take: () => {}, give: () => {} }
  const [store, other] = [await open(true), await open(false)]
  await store.insert([task('a', 'key'), task('b', 'key'), task('c', 'key')], 1_000)
  const first = await store.claim(admission, 1_001)
  if (first === undefined) expect.fail('nothing was claimed')
  await other.insert([task('x', 'other key')], 1_001) // another process has written: what is used is counted anew
  await store.settle(first, { type: 'released' }, 1_002)
  const claimed: unknown[] = []
  for (let n = 0; n < 4; n++) claimed.push((await store.claim(admission, 1_003))?.id)
  expect(claimed.filter((id) => id !== undefined).sort()).toEqual(['a', 'x'])
  for (const each of stores) await each.close([])
})
