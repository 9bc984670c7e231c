/** The file through time: made, met by another version, migrated, by several at once, and by one that dies of it. */
import assert from 'node:assert/strict'
import { fork, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import {
  BackgroundRunner,
  defineTask,
  EngineError,
  type Hold,
  type ScheduleRecord,
  type TaskContext,
  type TaskCounts,
  type TaskRecord,
} from 'background-runner'
import { sqlite } from 'background-runner/sqlite'
import { beforeAll, beforeEach, describe, it } from 'vitest'
import { type Database, loadDriver, type Open } from '../../src/sqlite/driver.js'
import { APPLICATION_ID, VERSION } from '../../src/sqlite/schema.js'
import { bundle } from './support/bundle.js'
import { place } from './support/place.js'

const FIXTURES = fileURLToPath(new URL('../fixtures/sqlite/', import.meta.url))

const at = place()
let openDatabase: Open
beforeAll(async () => {
  openDatabase = await loadDriver()
})

function create(work: boolean, began: string[] = []) {
  const runner = new BackgroundRunner({
    tasks: {
      works: defineTask({ run: (input: { to: string }) => ({ sent: [input.to] }) }),
      fails: defineTask({ run: () => {} }),
      refuses: defineTask({ run: () => {} }),
      later: defineTask({ run: () => {} }),
      large: defineTask({ run: () => {} }),
      sick: defineTask({ run: (_input: unknown, ctx) => ctx.attempt }),
      limited: defineTask({
        concurrency: { max: 1, by: ({ tenant }) => tenant },
        rateLimit: { max: 10, interval: '1h' },
        requires: { cpu: 1.5 },
        run: (_input: { tenant: string }, ctx: TaskContext) => void began.push(`${ctx.id} ${ctx.attempt}`),
      }),
      runs: defineTask({ run: (_input: unknown, ctx) => ({ attempt: ctx.attempt, saved: ctx.saved ?? null }) }),
    },
    engine: sqlite({ path: at.path, lease: 300 }),
    resources: { cpu: 2 },
    work,
    retention: { succeeded: '9000d', failed: '9000d', cancelled: '9000d' },
  })
  at.after(() => runner.close({ deadline: 0 }))
  return runner
}

/** What stands in the file, by another connection. */
function look<Answer>(work: (database: Database) => Answer): Answer {
  const database = openDatabase(at.path)
  try {
    return work(database)
  } finally {
    database.close()
  }
}

const value = (sql: string): unknown => look((database) => Object.values(database.prepare(sql).get() ?? {})[0])
const exec = (sql: string): void => look((database) => database.exec(sql))

describe('a file that is made', () => {
  it('is ours, of this version, and STRICT throughout', async () => {
    await create(true).ready()
    assert.equal(value('PRAGMA application_id'), APPLICATION_ID)
    assert.equal(value('PRAGMA user_version'), VERSION)
    assert.equal(value('PRAGMA journal_mode'), 'wal')
    const loose = look((database) =>
      database.prepare("SELECT name FROM pragma_table_list WHERE NOT strict AND name NOT LIKE 'sqlite_%'").all(),
    )
    assert.deepEqual(loose, [])
  })

  it('can be made by several at once', async () => {
    const runners = Array.from({ length: 5 }, () => create(false))
    await Promise.all(runners.map((runner) => runner.ready()))
    await Promise.all(runners.map((runner) => runner.submit('works', { to: 'a' }, { key: 'one' })))
    assert.equal((await runners[0]?.counts())?.queued, 1)
  })

  it('can be made by several processes at once', { timeout: 30_000 }, async () => {
    const program = await bundle(new URL('support/fault-child.ts', import.meta.url))
    for (let round = 0; round < 3; round++) {
      at.path = join(at.folder, `${round}.db`)
      const children = await Promise.all(
        Array.from({ length: 4 }, async () => {
          const child = fork(program, [at.path])
          await once(child, 'message')
          return child
        }),
      )
      for (const command of [['open'], ['submit', 'x']]) {
        for (const child of children) child.send(command)
        for (const [answer] of await Promise.all(children.map((child) => once(child, 'message'))))
          assert.equal((answer as { error?: unknown }).error, undefined)
      }
      for (const child of children) {
        child.kill('SIGKILL')
        await once(child, 'exit')
      }
      const runner = create(false)
      const counts = await runner.counts()
      assert.equal(
        Object.values(counts).reduce((sum, n) => sum + n),
        4,
      )
      await runner.close()
      assert.equal(value('PRAGMA integrity_check'), 'ok')
    }
  })

  it('is whole or not at all, whenever its maker dies', { timeout: 30_000 }, async () => {
    const program = await bundle(new URL('support/half-migration.ts', import.meta.url))
    const ends = new Set<string>()
    for (const statements of [0, 1, 2, 5, 9, 14, 18, 20, 21, 23, 26, 30, 33, 35, 36, 37, 38, 50]) {
      at.path = join(at.folder, `${statements}.db`)
      const { signal, status } = spawnSync(process.execPath, [program, at.path, String(statements)])
      ends.add(String(signal ?? status))
      const runner = create(true)
      const handle = await runner.submit('works', { to: 'a' })
      assert.deepEqual(await handle.result(), { sent: ['a'] }, `after ${statements} statements`)
      await runner.close()
      assert.equal(value('PRAGMA integrity_check'), 'ok')
      assert.equal(value('PRAGMA user_version'), VERSION)
    }
    assert.deepEqual([...ends].toSorted(), ['0', 'SIGKILL'])
  })
})

describe('a stored file', () => {
  const stored = readdirSync(FIXTURES).filter((name) => name.endsWith('.db'))

  it('is migrated or left as it was, whenever the one who migrates it dies', { timeout: 30_000 }, async () => {
    const program = await bundle(new URL('support/half-migration.ts', import.meta.url))
    for (const statements of [1, 3, 5, 8, 11, 14, 17, 19, 20, 21]) {
      at.path = join(at.folder, `${statements}.db`)
      copyFileSync(join(FIXTURES, 'v1.db'), at.path)
      spawnSync(process.execPath, [program, at.path, String(statements)])
      const runner = create(true)
      await runner.resume()
      assert.equal((await (await runner.submit('limited', { tenant: 'a' })).wait()).state, 'succeeded')
      await runner.close()
      assert.equal(value('PRAGMA integrity_check'), 'ok')
      assert.equal(value('PRAGMA user_version'), VERSION)
    }
  })

  it('is there for each version', () => {
    assert.deepEqual(
      stored.toSorted(),
      Array.from({ length: VERSION }, (_, n) => `v${n + 1}.db`),
    )
  })

  for (const name of stored) {
    const expected = JSON.parse(readFileSync(join(FIXTURES, name.replace('.db', '.json')), 'utf8')) as {
      readonly counts: TaskCounts
      readonly tasks: readonly TaskRecord[]
      /** From the second version on. */
      readonly holds?: readonly Hold[]
      /** From the third version on. */
      readonly schedules?: readonly ScheduleRecord[]
    }

    it(`${name} is read as it was written`, async () => {
      copyFileSync(join(FIXTURES, name), at.path)
      const runner = create(false)
      assert.deepEqual(await runner.counts(), expected.counts)
      const { tasks } = await runner.list({ limit: 1_000 })
      assert.deepEqual(tasks, expected.tasks)
      assert.deepEqual(await runner.holds(), expected.holds ?? [])
      assert.deepEqual(await runner.schedules(), expected.schedules ?? [])
      for (const record of expected.tasks) assert.deepEqual(await runner.status(record.id), record)
      for (const [what, matches] of [
        [{ tags: ['mail'] }, (record: TaskRecord) => record.tags?.includes('mail')],
        [{ names: ['works'] }, (record: TaskRecord) => record.name === 'works'],
        [{ states: ['scheduled', 'failed'] }, ({ state }: TaskRecord) => state === 'scheduled' || state === 'failed'],
      ] as const) {
        const found = (await runner.list({ ...what } as object)).tasks.map(({ id }) => id)
        assert.deepEqual(
          found,
          expected.tasks.filter(matches).map(({ id }) => id),
        )
      }
      const again = await runner.submit('works', { to: 'x' }, { key: 'order 1' })
      assert.deepEqual([again.id, again.deduplicated], ['with-everything', true])
    })

    it(`${name} is worked on, and what its last process was running is taken over`, async () => {
      copyFileSync(join(FIXTURES, name), at.path)
      exec('UPDATE workers SET lease = 100')
      if (expected.holds !== undefined) exec('UPDATE holds SET until = 0')
      const began: string[] = []
      const runner = create(true, began)
      await runner.resume()
      for (const id of ['queued', 'queued-too']) assert.equal((await runner.wait(id)).state, 'succeeded')
      assert.deepEqual(await runner.result('running'), { attempt: 2, saved: { step: 'b' } })
      const cancelled = await runner.wait('running-and-cancelled')
      assert.equal(cancelled.state, 'cancelled')
      assert.match(String(cancelled.error?.message), /too slow/)
      if (expected.holds !== undefined) {
        assert.equal(await runner.result('probing'), 3, 'the probe died, and probes again')
        assert.equal(await runner.result('held'), 1)
      }
      assert.deepEqual(await runner.holds(), [])
      if (expected.schedules !== undefined)
        assert.deepEqual(await runner.result('after-another'), { sent: ['f@example.com'] })
      const limited = expected.tasks.filter(({ name }) => name === 'limited')
      for (const { id } of limited) assert.equal((await runner.wait(id)).state, 'succeeded')
      if (limited.length > 0) {
        const order = ['limited-and-urgent 1', 'limited-by-the-rate 1', 'limited-running 2', 'limited-by-its-key 1']
        assert.deepEqual(began, order, 'one after the other, when what the dead one held was given back')
      }
      assert.equal(value('SELECT count(*) FROM lanes'), 0)
      assert.equal(value('SELECT count(*) FROM calls'), limited.length === 0 ? 0 : 5, 'that of the dead one too')
      // What is under limits from now on is so in a file of any version.
      for (const tenant of ['a', 'a', 'b'])
        assert.equal((await (await runner.submit('limited', { tenant })).wait()).state, 'succeeded')
      await runner.retry('failed-twice')
      assert.equal((await runner.wait('failed-twice')).state, 'succeeded')
      assert.equal(await runner.remove('large-input'), true)
      await runner.close()
      assert.equal(value('PRAGMA user_version'), VERSION)
      assert.equal(value('PRAGMA integrity_check'), 'ok')
      assert.equal(value('SELECT count(*) FROM inputs'), 0, 'an input goes with its task')
    })
  }
})

describe('a file of a newer version', () => {
  const NEWER = VERSION + 1
  beforeEach(async () => {
    const runner = create(true)
    await (await runner.submit('works', { to: 'a' })).wait()
    await runner.close()
    exec('PRAGMA wal_checkpoint(TRUNCATE)')
  })

  it('that this one may still write is worked on, and never lowered', async () => {
    exec(`
      PRAGMA user_version = ${NEWER};
      ALTER TABLE tasks ADD COLUMN colour TEXT DEFAULT 'red';
      CREATE TABLE more (a);
      CREATE INDEX tasks_colour ON tasks (colour);
      INSERT INTO meta VALUES ('colour', 'red')`)
    const runner = create(true)
    assert.equal((await (await runner.submit('works', { to: 'b' })).wait()).state, 'succeeded')
    assert.equal((await runner.list()).tasks.length, 2)
    await runner.close()
    assert.equal(value('PRAGMA user_version'), NEWER)
    assert.equal(value("SELECT count(*) FROM tasks WHERE colour = 'red'"), 2)
  })

  it('that this one can no longer write is refused, and left as it is', async () => {
    exec(`PRAGMA user_version = ${NEWER}; UPDATE meta SET value = ${NEWER} WHERE key = 'readable_from'`)
    exec('PRAGMA wal_checkpoint(TRUNCATE)')
    const before = readFileSync(at.path)
    const runner = create(true)
    runner.on('error', () => {})
    await assert.rejects(runner.ready(), (error) => {
      assert.ok(error instanceof EngineError)
      assert.match(
        error.message,
        new RegExp(
          `${at.path} was written by a newer version of background-runner \\(schema ${NEWER}, this one knows ${VERSION}\\)`,
        ),
      )
      return true
    })
    await runner.close()
    assert.deepEqual(readFileSync(at.path), before)
  })

  it('that becomes one while it is open is written no more, from the next transaction on', async () => {
    const runner = create(true)
    runner.on('error', () => {})
    await runner.ready()
    exec(`
      BEGIN IMMEDIATE;
      UPDATE meta SET value = ${NEWER} WHERE key = 'readable_from';
      PRAGMA user_version = ${NEWER};
      COMMIT`)
    const before = value('SELECT count(*) FROM tasks')
    const refused = /a newer version of background-runner has migrated/
    await assert.rejects(runner.submit('works', { to: 'b' }), (error) => {
      assert.ok(error instanceof EngineError)
      assert.match(error.message, refused)
      return true
    })
    await assert.rejects(runner.counts(), refused)
    assert.equal(value('SELECT count(*) FROM tasks'), before)
    await runner.close()
  })

  it('that becomes one that this one may still write does not disturb it', async () => {
    const runner = create(true)
    await runner.ready()
    exec(
      `PRAGMA user_version = ${NEWER}; ALTER TABLE tasks ADD COLUMN colour TEXT; CREATE INDEX tasks_colour ON tasks (colour)`,
    )
    assert.equal((await (await runner.submit('works', { to: 'b' })).wait()).state, 'succeeded')
    assert.deepEqual(Object.keys((await runner.list()).tasks[0] ?? {}).includes('colour'), false)
  })
})
