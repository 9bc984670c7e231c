/**
 * What each statement of the engine costs, however many tasks there are: which index it goes by, and how many statements
 * and rows each thing that is asked of it takes. Counted, since time says more of the machine.
 */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { BackgroundRunner, defineTask, type ListOptions, type TaskContext } from 'background-runner'
import { sqlite } from 'background-runner/sqlite'
import { describe, it, onTestFinished, vi } from 'vitest'
import type { Database, Row, Statement, Value } from '../../src/sqlite/driver.js'
import type { SqliteTask } from '../../src/sqlite/rows.js'
import { sleep, turns } from '../../src/testing/real-time.js'
import { place } from './support/place.js'

/** What went through the driver. */
const seen = vi.hoisted(() => ({
  /** Statements that were prepared. */
  prepared: new Set<string>(),
  statements: 0,
  /** Those that read or write holds. */
  ofHolds: 0,
  rows: 0,
  strange: [] as unknown[],
}))

vi.mock('../../src/sqlite/driver.js', async (original) => {
  const { wrappedDriver } = await import('./support/wrapped-driver.js')
  const counted = (sql: string, statement: Statement): Statement => {
    // What goes on by the clock is not what is measured.
    const counts = !/^PRAGMA|workers|feed/.test(sql)
    const rows = <Answer>(answer: Answer, count: (answer: Answer) => number): Answer => {
      if (!counts) return answer
      seen.statements++
      if (/\bholds\b/.test(sql)) seen.ofHolds++
      seen.rows += count(answer)
      return answer
    }
    const checked = (values: Value[]): Value[] => {
      for (const value of values)
        if (value !== null && typeof value !== 'string' && !Number.isSafeInteger(value)) seen.strange.push(value)
      if (values.length === 1 && values[0] === null) seen.strange.push('a null alone')
      return values
    }
    return {
      run: (...values) => rows(statement.run(...checked(values)), ({ changes }) => changes),
      get: (...values) => rows(statement.get(...checked(values)), (row) => (row === undefined ? 0 : 1)),
      all: (...values) => rows(statement.all(...checked(values)), (all: Row[]) => all.length),
    }
  }
  return wrappedDriver(await original<typeof import('../../src/sqlite/driver.js')>(), (sql, statement) => {
    seen.prepared.add(sql)
    return counted(sql, statement)
  })
})
const { loadDriver } = await vi.importActual<typeof import('../../src/sqlite/driver.js')>('../../src/sqlite/driver.js')

const at = place()

interface Limited {
  readonly key: string
  readonly cpu: number
}

function create(retention: object = {}, work = true) {
  return new BackgroundRunner({
    tasks: {
      work: defineTask({
        run: async (input: string, ctx) => {
          ctx.progress(1)
          await ctx.save(2)
          if (input === 'fails') throw new Error(input)
        },
      }),
      other: defineTask({ run: () => {} }),
      limited: defineTask({
        concurrency: { max: 1, by: ({ key }) => key },
        rateLimit: { max: 6, interval: 50, by: ({ key }) => key.length },
        requires: ({ cpu }) => ({ cpu }),
        run: ({ key }: Limited, { signal }: TaskContext) =>
          new Promise<void>((resolve, reject) => {
            if (key.startsWith('q')) resolve()
            signal.addEventListener('abort', () => reject(signal.reason), { once: true })
          }),
      }),
    },
    resources: { cpu: 3 },
    // No beat of its heart falls into what is measured.
    engine: sqlite({ path: at.path, lease: 600_000 }),
    defaults: { retry: { attempts: 1 } },
    work,
    retention,
  })
}

async function direct<Answer>(work: (database: Database) => Answer): Promise<Answer> {
  const database = (await loadDriver())(at.path)
  try {
    return work(database)
  } finally {
    database.close()
  }
}

const FILTERS: Record<string, ListOptions> = {
  'the newest': {},
  'those in a state': { states: ['failed'] },
  'those that wait': { states: ['queued', 'scheduled'] },
  'those of a name': { names: ['work'] },
  'those of a name in a state': { names: ['work'], states: ['succeeded'] },
  'those with a tag': { tags: ['mail'] },
  'those of a name with a tag in a state': { names: ['work'], tags: ['mail'], states: ['succeeded'] },
  'those with two tags': { tags: ['mail', 'news'] },
}

describe('each statement of the engine', () => {
  it('finds its rows by an index, sorts nothing, and is handed texts, whole numbers and null', async () => {
    seen.prepared.clear()
    const runner = create()
    const first = await runner.submit('work', 'x'.repeat(5_000), { key: 'a', tags: ['mail', 'news'], id: 'first' })
    await first.wait()
    await runner.submit('work', 'fails', { id: 'second', key: 'b' })
    await runner.wait('second')
    await runner.submit('work', 'x', { delay: '1d', id: 'third' })
    await runner.setPriority('third', 3)
    await runner.cancel('third', { reason: 'so' })
    await runner.retry('third', { delay: 0 })
    await runner.wait('third')
    await runner.submit('work', 'x', { delay: 50, id: 'fourth', tags: ['mail'] })
    await runner.wait('fourth')
    await runner.pause()
    await runner.resume()
    for (const filter of Object.values(FILTERS)) await runner.list(filter)
    await runner.remove('third')
    // Under limits: parked at both gates, let out again, moved about, and left to be taken over.
    const hold = (id: string, key: string, cpu: number, more: object = {}): Promise<unknown> =>
      runner.submit('limited', { key, cpu }, { id, ...more })
    const quick = await runner.submitMany(
      'limited',
      Array.from({ length: 20 }, (_, n) => ({ key: `q${n % 9}`, cpu: 1 })),
    )
    for (const task of quick) await task.wait()
    for (const id of ['a1', 'a2', 'a3', 'a4']) await hold(id, 'a', 1)
    await hold('b1', 'b', 3)
    await runner.setPriority('a4', 3)
    await runner.cancel('a3')
    await runner.cancel('b1')
    await runner.retry('a3', { delay: 20 })
    await runner.cancel('a1')
    await runner.wait('a1')
    await runner.close({ deadline: 0 })
    // A worker that died while it ran a task that had died before.
    await direct((database) =>
      database.exec(`
        INSERT INTO workers (pid, lease) VALUES (0, 1);
        UPDATE tasks SET state = 2, suspect = 1, worker = (SELECT max(id) FROM workers), extras = '{"deaths":2}' WHERE id = 'second';
        UPDATE counts SET n = 0 WHERE state = 4;
        INSERT INTO counts SELECT name, 2, 1 FROM tasks WHERE id = 'second' ON CONFLICT DO UPDATE SET n = 1`),
    )
    await direct((database) =>
      database.exec(`
        UPDATE tasks SET state = 2, suspect = 1, worker = (SELECT max(id) FROM workers),
          extras = json_set(extras, '$.deaths', 2) WHERE id = 'a2';
        INSERT INTO counts SELECT name, 2, 1 FROM tasks WHERE id = 'a2' ON CONFLICT DO UPDATE SET n = n + 1;
        UPDATE counts SET n = n - 1 WHERE (name, state) IN (SELECT name, 0 FROM tasks WHERE id = 'a2')`),
    )
    const keeper = create({ succeeded: 0, failed: 0, count: 0 })
    await keeper.ready()
    const neighbour = create()
    await neighbour.ready()
    await keeper.wait('second').catch(() => {})
    await (await neighbour.submit('other')).wait().catch(() => {})
    for (const each of [keeper, neighbour]) await each.close({ deadline: 0 })

    assert.deepEqual(seen.strange, [])
    const statements = [...seen.prepared].filter((sql) => /^\s*(?:SELECT|INSERT|UPDATE|DELETE)/.test(sql))
    assert.ok(statements.length >= 35, `only ${statements.length} were seen`)
    const ofLimits = statements.filter((sql) => /\b(?:lanes|calls|tasks_lane\w*)\b/.test(sql))
    assert.ok(ofLimits.length >= 25, `only ${ofLimits.length} of limits were seen: ${ofLimits.join('\n')}`)
    for (const analysed of [false, true]) {
      await direct((database) => {
        // Statistics of a file in which nearly all is alike tempt the planner to other ways.
        if (analysed) {
          fill(database, 5_000)
          fillLanes(database, 5_000)
          database.exec('ANALYZE')
        }
        for (const sql of statements) {
          const plan = database
            .prepare(`EXPLAIN QUERY PLAN ${sql}`)
            .all(...Array.from({ length: sql.split('?').length - 1 }, () => 1))
            .map((row) => String(row['detail']))
          for (const step of plan) {
            assert.doesNotMatch(step, /TEMP B-TREE|AUTOMATIC/, `${sql}: ${plan.join('; ')}`)
            const scanned = /^SCAN (\w+)( USING (?:COVERING )?INDEX)?/.exec(step)
            if (scanned === null) continue
            // Once, at the start.
            if (/^UPDATE lanes .* SET parked = 0 WHERE parked = \d$/.test(sql)) continue
            const few = [
              'names',
              'holds',
              'schedules',
              'workers',
              'counts',
              'meta',
              'sqlite_master',
              'CONSTANT',
              'sqlite_sequence', // a row for each table that counts
              'json_each',
              'own', // what json_each gives
            ].includes(scanned[1] as string)
            const first = scanned[2] !== undefined && /LIMIT 1\b/.test(sql)
            assert.ok(few || first, `${sql}: ${plan.join('; ')}`)
          }
        }
      })
    }
  })
})

describe('what waits under limits', () => {
  it('costs no statement while nothing of it may go', async () => {
    const tasks = {
      big: defineTask({ requires: { cpu: 3 }, run: () => {} }),
      small: defineTask({ requires: { cpu: 1, gpu: 1 }, run: () => {} }),
      holds: defineTask({ requires: { cpu: 1 }, run: () => new Promise<void>(() => {}) }),
      rated: defineTask({ rateLimit: { max: 1, interval: '1h' }, run: () => {} }),
    }
    const [runner, neighbour] = [0, 1].map(
      () =>
        new BackgroundRunner({
          tasks,
          engine: sqlite({ path: at.path, lease: 600_000 }),
          resources: { cpu: 3, gpu: 1 },
        }),
    ) as [BackgroundRunner<typeof tasks>, BackgroundRunner<typeof tasks>]
    const started = new Promise<void>((resolve) => runner.once('started', () => resolve()))
    await runner.submit('holds', undefined)
    await started
    await (await runner.submit('rated', undefined)).wait()
    await runner.submit('rated', undefined, { id: 'suspect' })
    await runner.submit('rated', undefined)
    // What is kept for `big` the neighbour, which runs nothing, cannot give to `small`.
    await neighbour.submit('big', undefined)
    await neighbour.submit('small', undefined)
    await direct((database) =>
      database.exec(`UPDATE tasks SET suspect = 1, extras = json_set(extras, '$.deaths', 2) WHERE id = 'suspect'`),
    )
    // Until both have seen what the other has done.
    for (let before = -1, n = 0; before !== seen.statements && n < 20; n++) {
      before = seen.statements
      await sleep(100)
    }
    seen.statements = 0
    await turns(100)
    assert.ok(seen.statements < 10, `${seen.statements} statements`)
    assert.equal((await runner.counts()).queued, 4)
    for (const each of [neighbour, runner]) await each.close({ deadline: 0 })
  })
})

describe('holds', () => {
  it('cost no statement while nothing is held, and while no time of theirs has come', async () => {
    const runner = create()
    await runner.ready()
    await (await runner.submit('other')).wait()
    seen.ofHolds = 0
    const tasks = await runner.submitMany('work', Array(50).fill('x'))
    for (const task of tasks) await task.wait()
    assert.equal(seen.ofHolds, 0)
    await runner.close()
  })
})

/** So many tasks, in all states, by a short cut. */
function fill(database: Database, count: number): void {
  database.exec(`
    BEGIN;
    INSERT OR IGNORE INTO names (name) VALUES ('work'), ('other');
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${count})
    INSERT INTO tasks (id, name, state, priority, run_at, max_attempts, created_at, finished_at, input)
      SELECT 'filled-' || i, 1 + i % 2, CASE WHEN i % 5 = 4 THEN 4 WHEN i % 10 = 0 THEN 1 WHEN i % 5 = 0 THEN 0 ELSE 3 END,
        i % 3, CASE WHEN i % 10 = 0 THEN 4000000000000 ELSE i END, 1, i, CASE WHEN i % 5 = 0 THEN 0 ELSE i END, '"x"'
      FROM n;
    INSERT OR IGNORE INTO tags SELECT 'mail', name, state, seq FROM tasks;
    INSERT OR IGNORE INTO tags SELECT 'news', name, state, seq FROM tasks;
    UPDATE tasks SET extras = '{"tags":["mail","news"]}';
    DELETE FROM counts;
    INSERT INTO counts SELECT name, state, count(*) FROM tasks GROUP BY name, state;
    COMMIT`)
}

/** So many tasks under limits, each in a lane of its own, by a short cut. */
function fillLanes(database: Database, count: number): void {
  database.exec(`
    BEGIN;
    INSERT OR IGNORE INTO names (name) VALUES ('limited');
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${count})
    INSERT INTO lanes (id, name, slot, rate, resources, priority, run_at, first, turn)
      SELECT 1000 + i, (SELECT id FROM names WHERE name = 'limited'), 'key ' || i, '', '["cpu"]', 0, i, 1000000 + i, 0
      FROM n;
    INSERT INTO tasks (seq, id, name, state, priority, run_at, max_attempts, created_at, input, extras, lane)
      SELECT first, 'limited ' || first, name, 0, 0, run_at, 1, 1, '1',
        json_object('slot', slot, 'rate', '', 'requires', json('{"cpu":1}')), id
      FROM lanes WHERE id > 1000;
    DELETE FROM counts;
    INSERT INTO counts SELECT name, state, count(*) FROM tasks GROUP BY name, state;
    COMMIT`)
}

async function openStore(names: readonly string[]) {
  const { SqliteStore } = await import('../../src/sqlite/sqlite-store.js')
  const { systemClock } = await import('../../src/clock.js')
  // A group that takes long on a busy machine is ended early, and what comes after it is another one.
  const time = vi.spyOn(systemClock, 'monotonic').mockReturnValue(0)
  onTestFinished(() => time.mockRestore())
  const store = new SqliteStore({ path: at.path, durability: 'process', lease: 600_000 })
  await store.open({
    maxPending: 1_000_000,
    limits: new Map([['limited', { slots: 1, rate: { max: 100, interval: 60_000 } }]]),
    resources: new Map([['cpu', 3]]),
    names,
    work: true,
    clock: systemClock,
    random: () => 0.5,
    host: { changed: () => {}, cancelled: () => {}, lost: () => {}, recovered: () => {}, fault: assert.ifError },
  })
  return store
}

describe('a task under limits takes as many statements and rows among 20 000 lanes as among 100', () => {
  async function costs(count: number): Promise<Map<string, string>> {
    const made = create({}, false)
    await made.ready()
    await made.close()
    await direct((database) => fillLanes(database, count))
    const found = new Map<string, string>()
    const store = await openStore(['limited'])
    const measure = async <Answer>(what: string, work: () => Answer): Promise<Awaited<Answer>> => {
      seen.statements = 0
      seen.rows = 0
      const answer = await work()
      found.set(what, `${seen.statements} statements, ${seen.rows} rows`)
      return answer
    }
    const now = Date.now()
    const admission = { open: ['limited'], take: () => {}, give: () => {} }
    const insert = (key: string) =>
      store.insert(
        [
          {
            id: `${key} ${Math.random()}`,
            order: 0,
            idIsNew: true,
            name: 'limited',
            input: 1,
            priority: 0,
            delay: 0,
            maxAttempts: 1,
            extras: { slot: key, rate: '', requires: { cpu: 1 } },
          } as never,
        ],
        now,
      )
    const next = async (): Promise<SqliteTask> => (await store.claim(admission, now)) as SqliteTask
    await store.outlook(now)
    await store.settle(await next(), { type: 'succeeded', output: 1 }, now)
    await insert('key 90')
    await measure('look', () => store.outlook(now))
    await measure('submit to a new key', () => insert('new'))
    await measure('submit to a key', () => insert('key 90'))
    await measure('setPriority', () => store.setPriority('limited 1000080', 2))
    const urgent = await measure('claim', next)
    assert.equal(urgent.id, 'limited 1000080')
    await measure('called', () => store.called(urgent, now))
    await measure('verdict', () => store.settle(urgent, { type: 'succeeded', output: 1 }, now))
    await measure('cancel', () => store.cancel('limited 1000090', {}, now))
    const [first, second, third] = [await next(), await next(), await next()]
    for (const each of [first, second, third]) await store.called(each, now)
    await measure('a claim for which there is no room', () => store.claim(admission, now))
    await measure('a look when there is none', () => store.outlook(now))
    await measure('verdict and claim', () =>
      Promise.all([store.settle(first, { type: 'succeeded', output: 1 }, now), next()]),
    )
    await measure('a window that slides', () => store.outlook(now + 60_000))
    await store.close([])
    return found
  }

  it('each verb, claim, call, verdict and look', { timeout: 15_000 }, async () => {
    const few = await costs(100)
    at.path = join(at.folder, 'many.db')
    const many = await costs(20_000)
    assert.deepEqual(Object.fromEntries(many), Object.fromEntries(few))
  })
})

describe('what is asked of the engine takes as many statements and rows among 20 000 tasks as among 1 500', () => {
  async function costs(count: number): Promise<Map<string, string>> {
    const made = create({}, false)
    await made.ready()
    await made.close()
    await direct((database) => fill(database, count))
    const found = new Map<string, string>()
    const measure = async (what: string, work: () => unknown): Promise<void> => {
      seen.statements = 0
      seen.rows = 0
      await work()
      found.set(what, `${seen.statements} statements, ${seen.rows} rows`)
    }
    const runner = create({}, false)
    await runner.ready()
    await runner.counts()
    await measure('counts', () => runner.counts())
    await measure('status', () => runner.status('filled-3'))
    for (const [what, filter] of Object.entries(FILTERS)) {
      await measure(`list ${what}`, () => runner.list({ limit: 5, ...filter }))
      const { next } = await runner.list({ limit: 5, ...filter })
      await measure(`list ${what}, the next page`, () => runner.list({ limit: 5, ...filter, cursor: next as string }))
    }
    await runner.submit('work', 'x') // what only the first one after a start asks is not measured
    // Nor is the look that the start has asked for: where the first group took long, it comes with the next one.
    await turns()
    await runner.counts()
    await measure('submit', () => runner.submit('work', 'x'))
    await measure('submit with a key and tags', () => runner.submit('work', 'x', { key: 'k', tags: ['mail', 'news'] }))
    await measure('setPriority', () => runner.setPriority('filled-5', 7))
    await measure('cancel', () => runner.cancel('filled-15'))
    await measure('retry', () => runner.retry('filled-15'))
    await measure('remove', () => runner.remove('filled-3'))
    await runner.close()

    // As the local engine asks it: a claim, a verdict, a look, a step of pruning.
    const store = await openStore(['work', 'other'])
    const admission = { open: ['work', 'other'], take: () => {}, give: () => {} }
    const now = Date.UTC(2030, 0, 1)
    await store.outlook(now)
    let task: Awaited<ReturnType<typeof store.claim>>
    await measure('outlook', () => store.outlook(now))
    await measure('claim', async () => {
      task = await store.claim(admission, now)
    })
    assert.ok(task !== undefined)
    const claimed = task
    await measure('settle', () => store.settle(claimed, { type: 'succeeded', output: 1 }, now))
    const policy = { succeeded: 1e12, failed: 1e12, cancelled: 1e12, count: undefined }
    await measure('prune by age', () => store.prune(policy, now))
    await measure('prune by number', () =>
      store.prune({ succeeded: 1e15, failed: 1e15, cancelled: 1e15, count: 100 - 17 }, now),
    )
    await measure('prune of nothing', () =>
      store.prune({ succeeded: 1e15, failed: 1e15, cancelled: 1e15, count: undefined }, now),
    )
    await store.close([])
    return found
  }

  it('counts, status, each page of list, each verb, claim, verdict and prune', { timeout: 15_000 }, async () => {
    const few = await costs(1_500)
    at.path = join(at.folder, 'many.db')
    const many = await costs(20_000)
    assert.deepEqual(Object.fromEntries(many), Object.fromEntries(few))
  })
})
