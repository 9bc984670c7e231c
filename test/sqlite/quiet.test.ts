/** Where nothing may start here, nothing is looked for over and over: a process that waits uses no processor. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { BackgroundRunner, defineTask, localEngine, type TaskMap } from 'background-runner'
import { sqlite } from 'background-runner/sqlite'
import { afterAll, afterEach, expect, it } from 'vitest'
import { loadDriver } from '../../src/sqlite/driver.js'
import { SqliteStore } from '../../src/sqlite/sqlite-store.js'

const folder = mkdtempSync(join(tmpdir(), 'background-runner-'))
afterAll(() => rmSync(folder, { recursive: true }))
const open: BackgroundRunner[] = []
afterEach(() => Promise.all(open.splice(0).map((runner) => runner.close({ deadline: 0 }))))

/** Counts how often it is asked what there is to do. */
class Watched extends SqliteStore {
  looks = 0

  override outlook(now: number): ReturnType<SqliteStore['outlook']> {
    this.looks++
    return super.outlook(now)
  }
}

const hangs = (_input: unknown, { signal }: { readonly signal: AbortSignal }): Promise<void> =>
  new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
const resources = { cpu: 4, gpu: 1 }

async function looksOf(store: Watched): Promise<number> {
  await setTimeout(100)
  const before = store.looks
  await setTimeout(300)
  return store.looks - before
}

it('what another process has reserved', async () => {
  const path = join(folder, 'reserved.db')
  const tasks: TaskMap = { work: defineTask({ run: hangs }) }
  const other = new BackgroundRunner({ engine: sqlite({ path }), tasks, resources, concurrency: 1 })
  open.push(other)
  const started = new Promise((resolve) => other.once('started', resolve))
  await other.submit('work', 1, { requires: { cpu: 3 } })
  await started
  await other.submit('work', 2, { requires: { cpu: 4 } })
  await other.submit('work', 3, { requires: { cpu: 1, gpu: 1 } })
  const store = new Watched({ path, durability: 'process', lease: 10_000 })
  const runner = new BackgroundRunner({ engine: localEngine(store), tasks, resources })
  open.push(runner)
  await runner.ready()
  expect(await looksOf(store)).toBeLessThan(20)
  expect(await runner.counts()).toMatchObject({ queued: 2, running: 1 })
})

it('a window, where there has been a suspect; and one that waits for it itself begins when there is room', async () => {
  const path = join(folder, 'suspect.db')
  const tasks: TaskMap = {
    work: defineTask({ rateLimit: { max: 1, interval: 1_000 }, run: () => {} }),
  }
  const first = new BackgroundRunner({ engine: sqlite({ path }), tasks, work: false })
  const { id } = await first.submit('work', 0, { id: 'suspect' })
  await first.close()
  // As two deaths leave it, and the calls that they may have made.
  const file = (await loadDriver())(path)
  file.prepare('UPDATE tasks SET suspect = 1, extras = ? WHERE id = ?').run(JSON.stringify({ rate: '', deaths: 2 }), id)
  file.exec('UPDATE lanes SET priority = NULL, run_at = NULL, first = NULL')
  const until = Date.now() + 1_200
  file.exec(
    `INSERT INTO calls (seq, attempt, name, rate, interval, until) SELECT 999, 1, name, '', 1000, ${until} FROM tasks`,
  )
  file.close()
  const store = new Watched({ path, durability: 'process', lease: 10_000 })
  const runner = new BackgroundRunner({ engine: localEngine(store), tasks })
  open.push(runner)
  await runner.ready()
  expect(await looksOf(store)).toBeLessThan(20)
  expect((await runner.status(id))?.state).toBe('queued')
  expect((await runner.wait(id, { timeout: '10s' })).state).toBe('succeeded')
  await runner.submit('work', 1)
  expect(await looksOf(store)).toBeLessThan(20)
})
