/** Tasks under limits in the file: what becomes of them beside deaths and other processes. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { BackgroundRunner, defineTask, type TaskMap } from 'background-runner'
import { sqlite } from 'background-runner/sqlite'
import { afterAll, expect, it } from 'vitest'
import { loadDriver } from '../../src/sqlite/driver.js'

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
