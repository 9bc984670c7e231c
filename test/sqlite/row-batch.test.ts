/** What one group does to many tasks at once: each of them comes to what it would have come to alone. */
import assert from 'node:assert/strict'
import { BackgroundRunner, defineTask, type SubmitOptions, type TaskRecord } from 'background-runner'
import { sqlite } from 'background-runner/sqlite'
import { describe, it, vi } from 'vitest'
import { connect } from './support/connection.js'
import { place } from './support/place.js'

/** Statements that were run, as their first words. */
const seen = vi.hoisted(() => ({ ran: [] as string[] }))

vi.mock('../../src/sqlite/driver.js', async (original) => {
  const { wrappedDriver } = await import('./support/wrapped-driver.js')
  return wrappedDriver(await original<typeof import('../../src/sqlite/driver.js')>(), (sql, statement) => ({
    ...statement,
    run: (...values) => {
      seen.ran.push(sql)
      return statement.run(...values)
    },
  }))
})

const at = place()

/** How often a statement that begins so was run. */
function timesRun(begin: RegExp): number {
  return seen.ran.filter((sql) => begin.test(sql)).length
}

function create(run: (input: number) => unknown, concurrency = 10) {
  const runner = new BackgroundRunner({
    tasks: {
      task: defineTask({ run: (input: number) => run(input) as Promise<number | undefined> }),
      other: defineTask({ run: () => {} }),
    },
    engine: sqlite({ path: at.path, lease: 600_000 }),
    defaults: { retry: { attempts: 1 } },
    concurrency,
  })
  at.after(() => runner.close({ deadline: 0 }))
  return runner
}

/** As many handlers as there are tasks, which all end at one moment. */
async function atOnce(count: number, options: (i: number) => SubmitOptions = () => ({})) {
  let begun = 0
  let allBegun = (): void => {}
  let open = (): void => {}
  const began = new Promise<void>((resolve) => {
    allBegun = resolve
  })
  const gate = new Promise<void>((resolve) => {
    open = resolve
  })
  const runner = create(async (input) => {
    if (++begun === count) allBegun()
    await gate
    return input
  }, count)
  const ids = Array.from({ length: count }, (_, i) => `t${i}`)
  await Promise.all(ids.map((id, i) => runner.submit('task', i, { id, ...options(i) })))
  await began
  return { runner, ids, open }
}

async function statuses(runner: { status(id: string): Promise<TaskRecord | undefined> }, ids: readonly string[]) {
  return Promise.all(ids.map(async (id) => (await runner.status(id)) as TaskRecord))
}

describe('a burst', () => {
  it('is written by a few statements: what is new, what begins, and what has succeeded', async () => {
    const runner = create(() => {}, 50)
    await runner.ready()
    await runner.pause()
    seen.ran.length = 0
    await Promise.all(Array.from({ length: 200 }, (_, i) => runner.submit('task', i)))
    await runner.resume()
    await runner.onIdle()
    assert.equal((await runner.counts()).succeeded, 200)
    // A statement for each ms, or each 50; one for each task would be 200.
    for (const begin of [/^INSERT INTO tasks/, /^UPDATE tasks SET state = 2/, /^UPDATE tasks SET state = 3/])
      assert.ok(timesRun(begin) < 60, `${timesRun(begin)} of ${begin}`)
  })

  it('keeps what differs from task to task', async () => {
    const runner = create((input) => (input % 3 === 0 ? undefined : input), 20)
    await runner.pause()
    const options = (i: number): SubmitOptions => ({
      ...(i % 4 === 0 && { key: `key ${i} "quoted" \\ ü \u2028`, tags: [`tag ${i}`] }),
      ...(i % 5 === 0 && { metadata: { i, text: 'x'.repeat(2_000), nul: '\0', alone: '\ud800' } }),
      ...(i % 7 === 0 && { priority: i }),
      ...(i % 11 === 0 && { delay: '1h' }),
    })
    const submitted = Array.from({ length: 60 }, (_, i) => i)
    // An id of the library's own is looked for nowhere: nothing is asked between two of them.
    const handles = await Promise.all(submitted.map((i) => runner.submit('task', i, options(i))))
    const ids = handles.map(({ id }) => id)
    const delayed = submitted.filter((i) => i % 11 === 0)
    const started: number[] = []
    runner.on('started', ({ input }) => started.push(input as number))
    await runner.resume()
    await Promise.all(submitted.filter((i) => i % 11 !== 0).map((i) => runner.wait(ids[i] as string)))
    for (const i of submitted) {
      const record = (await runner.status(ids[i] as string)) as TaskRecord
      const { key, tags, metadata, priority = 0 } = options(i)
      assert.deepEqual(
        [record.input, record.key, record.tags, record.metadata, record.priority],
        [i, key, tags, metadata, priority],
      )
      if (delayed.includes(i)) assert.equal(record.state, 'scheduled')
      else assert.deepEqual([record.state, record.output], ['succeeded', i % 3 === 0 ? undefined : i])
    }
    const urgent = started.filter((i) => i % 7 === 0 && i > 0)
    assert.deepEqual(urgent, [56, 49, 42, 35, 28, 21, 14, 7], 'the most urgent first')
    assert.deepEqual(started.slice(0, urgent.length), urgent)
    const others = started.slice(urgent.length)
    assert.deepEqual(
      others,
      [...others].sort((a, b) => a - b),
      'then in the order of submission',
    )
    const { tasks } = await runner.list({ tags: ['tag 8'], states: ['succeeded'] })
    assert.deepEqual(
      tasks.map(({ id }) => id),
      [ids[8]],
    )
  })

  it('is numbered as if each had come alone, also where another process writes in between', async () => {
    const [runner, other] = [create(() => {}), create(() => {})]
    await Promise.all([runner.pause(), other.ready()])
    const submit = (from: typeof runner, name: string) =>
      Promise.all(Array.from({ length: 20 }, (_, i) => from.submit('task', i, { id: `${name}${i}` })))
    await submit(runner, 'a')
    await submit(other, 'b')
    await Promise.all([submit(runner, 'c'), submit(other, 'd')])
    const { tasks } = await runner.list({ limit: 1_000 })
    assert.equal(new Set(tasks.map(({ id }) => id)).size, 80)
    const of = (name: string): number[] =>
      tasks.flatMap(({ id }, place) => (id.startsWith(name) ? [place] : [])).reverse()
    for (const name of ['a', 'b', 'c', 'd']) {
      const ids = of(name).map((place) => tasks[place]?.id)
      assert.deepEqual(
        ids,
        Array.from({ length: 20 }, (_, i) => `${name}${i}`),
      )
    }
    assert.ok(Math.min(...of('a')) > Math.max(...of('b')), 'the newest first')
  })

  it('finds in the same group what was submitted a moment before', async () => {
    const runner = create(() => {})
    await runner.pause()
    const [first, again, cancelled, , raised, status] = await Promise.all([
      runner.submit('task', 1, { id: 'a', key: 'k' }),
      runner.submit('task', 2, { key: 'k' }),
      runner.submit('task', 3, { id: 'b' }).then(() => undefined),
      runner.submit('task', 4, { id: 'c' }),
      runner.setPriority('c', 5),
      runner.status('c'),
      runner.submit('task', 5, { id: 'd', after: ['a', 'c'] }),
    ])
    assert.equal(cancelled, undefined)
    assert.deepEqual([first.deduplicated, again.deduplicated, again.id], [false, true, 'a'])
    assert.equal(raised.priority, 5)
    assert.equal(status?.state, 'queued')
    assert.deepEqual(await runner.counts().then(({ queued }) => queued), 4)
    await runner.resume()
    await runner.onIdle()
    assert.equal((await runner.counts()).succeeded, 4)
  })
})

describe('of many verdicts at once', () => {
  it('one that another process has taken over is dropped, and the others stand', async () => {
    const { runner, ids, open } = await atOnce(6)
    const told: string[] = []
    for (const event of ['succeeded', 'stalled'] as const) runner.on(event, ({ id }) => told.push(`${event} ${id}`))
    const database = await connect(at.path)
    database.exec("UPDATE tasks SET worker = 99, attempt = 2 WHERE id = 't2'")
    database.close()
    open()
    await Promise.all(ids.filter((id) => id !== 't2').map((id) => runner.wait(id)))
    const records = await statuses(runner, ids)
    assert.deepEqual(
      records.map(({ state, attempt, output }) => `${state} ${attempt} ${output}`),
      ids.map((_, i) => (i === 2 ? 'running 2 undefined' : `succeeded 1 ${i}`)),
    )
    await vi.waitFor(() => assert.equal(told.length, ids.length))
    assert.deepEqual(
      told.sort(),
      [...ids.filter((id) => id !== 't2').map((id) => `succeeded ${id}`), 'stalled t2'].sort(),
    )
    const { running, succeeded } = await runner.counts()
    assert.deepEqual([running, succeeded], [1, 5])
  })

  it('one that was asked to stop elsewhere says so, and all stand', async () => {
    const { runner, ids, open } = await atOnce(6)
    const database = await connect(at.path)
    database.exec("UPDATE tasks SET cancel_requested_at = 5, cancel_reason = '\"why\"' WHERE id = 't3'")
    database.close()
    open()
    await Promise.all(ids.map((id) => runner.wait(id)))
    const records = await statuses(runner, ids)
    assert.deepEqual(
      records.map(({ state, output, cancelRequestedAt }) => [state, output, cancelRequestedAt]),
      ids.map((_, i) => ['succeeded', i, i === 3 ? 5 : undefined]),
    )
    const { running, succeeded } = await runner.counts()
    assert.deepEqual([running, succeeded], [0, 6])
  })

  it('those that others come after let them go', async () => {
    const { runner, ids, open } = await atOnce(4)
    await Promise.all(
      ids.map((id, i) => runner.submit('task', 10 + i, { id: `after ${id}`.replace(' ', '-'), after: [id] })),
    )
    open()
    await runner.onIdle()
    assert.equal((await runner.counts()).succeeded, 8)
  })

  it('outputs of any size are kept as they are', async () => {
    const sizes = [0, 10, 999, 5_000, 200_000, 3, 400_000]
    const runner = create(async (input) => 'ü"\\\n'.repeat((sizes[input] as number) / 4) as never, sizes.length)
    await Promise.all(sizes.map((_, i) => runner.submit('task', i, { id: `t${i}` })))
    const records = await Promise.all(sizes.map((_, i) => runner.wait(`t${i}`)))
    for (const [i, { output }] of records.entries()) assert.ok(output === 'ü"\\\n'.repeat((sizes[i] as number) / 4))
  })
})

describe('a transaction that comes to nothing', () => {
  it('leaves nothing of what was gathered in it', async () => {
    const runner = create(() => {}, 50)
    await runner.pause()
    const blocker = await connect(at.path)
    // What cannot be inserted fails when it is written, not when it is asked for.
    blocker.exec(
      `CREATE TRIGGER refuse BEFORE INSERT ON tasks WHEN new.id = 't13' BEGIN SELECT RAISE(ABORT, 'no'); END`,
    )
    const submitted = await Promise.allSettled(
      Array.from({ length: 30 }, (_, i) => runner.submit('task', i, { id: `t${i}` })),
    )
    assert.deepEqual(
      submitted.flatMap(({ status }, i) => (status === 'rejected' ? [i] : [])),
      [13],
    )
    assert.equal((await runner.counts()).queued, 29)
    blocker.exec('DROP TRIGGER refuse')
    blocker.close()
    await runner.resume()
    await runner.onIdle()
    assert.equal((await runner.counts()).succeeded, 29)
  })

  it('leaves nothing of what had still to be written, either', async () => {
    const runner = create(() => {})
    await runner.pause()
    await runner.submit('task', 0)
    const blocker = await connect(at.path)
    blocker.exec(`CREATE TRIGGER refuse BEFORE INSERT ON names BEGIN SELECT RAISE(ABORT, 'no'); END`)
    const submitted = await Promise.allSettled([
      ...Array.from({ length: 5 }, (_, i) => runner.submit('task', i, { key: `k${i}` })),
      ...Array.from({ length: 5 }, (_, i) => runner.submit('task', i)),
      runner.submit('other'),
      runner.submit('task', 5),
    ])
    assert.deepEqual(
      submitted.flatMap(({ status }, i) => (status === 'rejected' ? [i] : [])),
      [10],
    )
    blocker.close()
    assert.equal((await runner.counts()).queued, 12)
    assert.equal((await runner.list()).tasks.length, 12)
  })
})
