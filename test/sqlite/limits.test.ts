/** Limits on a file: what processes that share it, die, or come with other definitions do to what waits in lanes. */
import assert from 'node:assert/strict'
import {
  BackgroundRunner,
  type Clock,
  defineTask,
  type Engine,
  memory,
  type TaskContext,
  type TaskLimits,
} from 'background-runner'
import { sqlite } from 'background-runner/sqlite'
import { describe, it } from 'vitest'
import { connect } from './support/connection.js'
import { eventually } from './support/fault-world.js'
import { place } from './support/place.js'

const at = place()

interface Input {
  readonly key: string
}
const byKey = ({ key }: Input): string => key

interface Options {
  readonly resources?: Readonly<Record<string, number>>
  readonly work?: boolean
  readonly concurrency?: number
  readonly maxPending?: number
  readonly clock?: Clock
  readonly engine?: Engine
  readonly retention?: object
}

/** A runner whose handlers run until they are told to end, but for those of a key that begins with `quick`. */
function create(limits: Partial<TaskLimits<Input>>, options: Options = {}) {
  const called: string[] = []
  const running = new Map<string, () => void>()
  const faults: unknown[] = []
  const runner = new BackgroundRunner({
    tasks: {
      work: defineTask({
        ...limits,
        retry: { attempts: 1 },
        run: ({ key }: Input, { id, signal }: TaskContext) =>
          new Promise<void>((resolve, reject) => {
            called.push(id)
            if (key.startsWith('quick')) resolve()
            running.set(id, resolve)
            signal.addEventListener('abort', () => reject(signal.reason), { once: true })
          }),
      }),
      free: defineTask({ run: () => {} }),
    },
    engine: sqlite({ path: at.path, lease: 600 }),
    concurrency: 10,
    ...options,
  })
  runner.on('error', (error) => faults.push(error))
  at.after(() => runner.close({ deadline: 0 }))
  const submit = (id: string, key = id, more: object = {}): Promise<unknown> =>
    runner.submit('work', { key }, { id, ...more })
  const calls = (...ids: string[]): Promise<void> =>
    eventually(`${ids} are called; called were ${called}`, () => ids.every((id) => called.includes(id)))
  const end = async (...ids: string[]): Promise<void> => {
    for (const id of ids) {
      running.get(id)?.()
      assert.equal((await runner.wait(id)).state, 'succeeded')
    }
  }
  return { runner, called, faults, submit, calls, end }
}

async function sql(text: string): Promise<unknown> {
  const database = await connect(at.path)
  try {
    if (!text.startsWith('SELECT')) return database.exec(text)
    return Object.values(database.prepare(text).get() ?? {})[0]
  } finally {
    database.close()
  }
}

/** All that runs, is run by a process that is dead. */
const kill = (): Promise<unknown> =>
  sql(`
    INSERT INTO workers (pid, lease) VALUES (0, 1);
    UPDATE tasks SET worker = (SELECT max(id) FROM workers) WHERE state = 2`)

describe('a lane', () => {
  it('where nothing waits takes back what its process died of', async () => {
    const first = create({ concurrency: { max: 1, by: byKey }, rateLimit: { max: 1, interval: 50 } })
    await first.submit('a')
    await first.calls('a')
    await kill()
    await eventually('it is called again', () => first.called.length === 2)
    await first.end('a')
    assert.deepEqual(first.faults, [])
    assert.equal(await sql('SELECT count(*) FROM lanes'), 0)
  })

  it('where nothing waits takes back what a close releases', async () => {
    const first = create({ concurrency: { max: 1, by: byKey } })
    await first.submit('a')
    await first.calls('a')
    await first.runner.close({ deadline: 0 })
    assert.deepEqual(first.faults, [])
    const second = create({ concurrency: { max: 1, by: byKey } })
    await second.calls('a')
    await second.end('a')
    assert.equal(await sql('SELECT count(*) FROM lanes'), 0)
  })

  it('is left by what is cancelled, and comes to its next', async () => {
    const { runner, called, submit, calls, end } = create({ concurrency: { max: 1, by: byKey } })
    for (const id of ['a', 'b', 'c', 'd']) await submit(id, 'k')
    await calls('a')
    await runner.cancel('b')
    await runner.setPriority('d', 5)
    await end('a')
    await calls('d')
    assert.deepEqual(called, ['a', 'd'])
    await runner.cancel('c')
    assert.equal(await sql('SELECT count(*) FROM lanes'), 1, 'that of what runs')
    await end('d')
    assert.equal(await sql('SELECT count(*) FROM lanes'), 0)
  })

  it('takes a retried task, at once or later; one that has ended is removed and pruned as any other', async () => {
    const { runner, submit, calls, end, called } = create(
      { concurrency: { max: 1, by: byKey }, rateLimit: { max: 100, interval: '1h' } },
      { retention: { cancelled: 0 } },
    )
    for (const id of ['a', 'b', 'c']) await submit(id, 'k')
    await calls('a')
    await runner.cancel('b')
    await eventually('it is pruned', async () => (await runner.status('b')) === undefined)
    await runner.cancel('a')
    await eventually('it is pruned', async () => (await runner.status('a')) === undefined)
    await end('c')
    assert.equal(await runner.remove('c'), true)
    await runner.submit('work', { key: 'k' }, { id: 'd', timeout: 1 })
    assert.equal((await runner.wait('d')).state, 'failed')
    await submit('e', 'k')
    await calls('e')
    await runner.retry('d', { delay: 30 })
    await eventually('it is due', async () => (await runner.status('d'))?.state === 'queued')
    assert.equal(called.filter((id) => id === 'd').length, 1, 'its key is taken')
    await end('e')
    await eventually('it is called again', () => called.filter((id) => id === 'd').length === 2)
    await runner.wait('d')
    assert.equal(await sql('SELECT count(*) FROM lanes'), 0)
    assert.equal(await sql('SELECT count(*) FROM calls'), 5, 'a call counts whatever became of its task')
  })

  it('takes no more than maxPending lets in, all or nothing', async () => {
    const { runner, submit, calls, end } = create({ concurrency: { max: 1, by: byKey } }, { maxPending: 2 })
    await submit('a', 'k')
    await calls('a')
    for (const id of ['b', 'c']) await submit(id, 'k')
    await assert.rejects(submit('d', 'k'), { code: 'QUEUE_FULL' })
    await end('a')
    await calls('b')
    await assert.rejects(runner.submitMany('work', [{ key: 'x' }, { key: 'y' }]), { code: 'QUEUE_FULL' })
    assert.equal(await sql('SELECT count(*) FROM lanes'), 1, 'nothing is left of those')
    await end('b', 'c')
  })

  it('that comes anew from a process that only submits goes before the one that went last, and after all others', async () => {
    const limits = { concurrency: { max: 1, by: byKey } }
    const web = create(limits, { work: false })
    const { called, calls, end } = create(limits, { concurrency: 1 })
    for (const id of ['a1', 'a2', 'a3']) await web.submit(id, 'a')
    await calls('a1')
    await web.submit('b1', 'b')
    await end('a1')
    await calls('b1')
    await web.submit('c1', 'c')
    await end('b1')
    await calls('a2')
    await end('a2')
    await calls('c1')
    await end('c1', 'a3')
    assert.deepEqual(called, ['a1', 'b1', 'a2', 'c1', 'a3'])
  })

  it('is parked with hundreds of others at one gate, and all of them go', async () => {
    const { runner, called } = create({
      concurrency: { max: 1, by: byKey },
      rateLimit: { max: 150, interval: 200 },
    })
    const inputs = Array.from({ length: 450 }, (_, n) => ({ key: `quick ${n}` }))
    const tasks = await runner.submitMany('work', inputs)
    await (await runner.submit('free')).wait()
    for (const task of tasks) await task.wait()
    assert.equal(called.length, 450)
    assert.equal(await sql('SELECT count(*) FROM lanes'), 0)
  })
})

describe('a suspect under limits', () => {
  it('waits for its window, and for its key, and then runs', async () => {
    const { called, submit, end, faults, calls } = create(
      {
        concurrency: { max: 1, by: byKey },
        rateLimit: { max: 1, interval: 300, by: byKey },
        requires: { cpu: 1 },
      },
      { resources: { cpu: 2 } },
    )
    await submit('a')
    for (const times of [1, 2]) {
      await eventually('it is called', () => called.filter((id) => id === 'a').length === times)
      await kill()
    }
    await eventually('both deaths are counted', async () => (await sql('SELECT suspect FROM tasks')) === 1)
    await submit('b')
    await calls('b')
    assert.equal(called.filter((id) => id === 'a').length, 2, 'its window is full')
    await eventually('it is called again', () => called.filter((id) => id === 'a').length === 3)
    await end('a', 'b')
    assert.deepEqual(faults, [])
    assert.equal(await sql('SELECT count(*) FROM lanes'), 0)
  })

  it('that waits for resources is not starved by smaller ones', async () => {
    const { called, submit, end, calls } = create({}, { resources: { cpu: 2 } })
    const needs = (cpu: number): object => ({ requires: { cpu } })
    await submit('b', 'b', needs(1))
    await calls('b')
    await submit('a', 'a', needs(2))
    await sql(`
      UPDATE tasks SET suspect = 1, extras = json_set(extras, '$.deaths', 2) WHERE id = 'a';
      UPDATE lanes SET priority = NULL, run_at = NULL, first = NULL`)
    for (const id of ['c', 'd', 'e']) await submit(id, id, needs(1))
    await end('b')
    await calls('a')
    assert.deepEqual(called, ['b', 'a'])
    await end('a')
    await calls('c', 'd')
    await end('c', 'd', 'e')
  })

  it('that is cancelled while it waits leaves nothing behind', async () => {
    const { runner, called, submit } = create({ rateLimit: { max: 2, interval: '1h' } })
    await submit('a')
    for (const times of [1, 2]) {
      await eventually('it is called', () => called.length === times)
      await kill()
    }
    await eventually('both deaths are counted', async () => (await sql('SELECT suspect FROM tasks')) === 1)
    await runner.setPriority('a', 7)
    await runner.cancel('a')
    assert.equal(await sql('SELECT count(*) FROM lanes'), 0)
  })
})

describe('a clock that is set back by an hour', () => {
  for (const name of ['sqlite', 'memory']) {
    it(`lets what was called count for one interval from then on, on ${name}`, async () => {
      let offset = 0
      const clock: Clock = {
        now: () => Date.now() + offset,
        monotonic: () => performance.now(),
        setTimeout: (callback, ms) => setTimeout(callback, ms),
        clearTimeout: (handle) => clearTimeout(handle as NodeJS.Timeout),
      }
      const { submit, calls, called } = create(
        { rateLimit: { max: 1, interval: 200 } },
        { clock, ...(name === 'memory' && { engine: memory() }) },
      )
      await submit('a', 'quick')
      await submit('b', 'quick')
      await calls('a')
      offset = -3_600_000
      await calls('b')
      await submit('c', 'quick')
      await submit('d', 'quick')
      await calls('c', 'd')
      assert.deepEqual(called, ['a', 'b', 'c', 'd'])
    })
  }

  it('does so for a process that is started after it', async () => {
    const limits = { rateLimit: { max: 1, interval: 200 } }
    const ahead: Clock = {
      now: () => Date.now() + 3_600_000,
      monotonic: () => performance.now(),
      setTimeout: (callback, ms) => setTimeout(callback, ms),
      clearTimeout: (handle) => clearTimeout(handle as NodeJS.Timeout),
    }
    const before = create(limits, { clock: ahead })
    await before.submit('a', 'quick')
    await before.submit('b', 'quick')
    await before.calls('a')
    await before.runner.close()
    const after = create(limits)
    await after.calls('b')
  })
})

describe('a deploy', () => {
  const parked = async (limits: Partial<TaskLimits<Input>>): Promise<void> => {
    const before = create(limits, { resources: { cpu: 1 } })
    for (const id of ['a', 'b', 'c']) await before.submit(id, 'k')
    await before.calls('a')
    await before.runner.close({ deadline: 0 })
    assert.deepEqual(before.called, ['a'])
  }
  const one = { concurrency: { max: 1, by: byKey } }
  const DEPLOYS: Record<string, readonly [Partial<TaskLimits<Input>>, Partial<TaskLimits<Input>>]> = {
    'raises a keyed concurrency': [one, { concurrency: { max: 3, by: byKey } }],
    'removes it': [one, {}],
    'raises a rate limit': [{ rateLimit: { max: 1, interval: '1h' } }, { rateLimit: { max: 5, interval: '1h' } }],
    'shortens its interval': [{ rateLimit: { max: 1, interval: '1h' } }, { rateLimit: { max: 1, interval: 20 } }],
    'removes a rate limit': [{ rateLimit: { max: 1, interval: '1h' } }, {}],
    'puts another limit in its place': [one, { rateLimit: { max: 3, interval: '1h' } }],
  }
  for (const [what, [before, after]] of Object.entries(DEPLOYS)) {
    it(`that ${what} lets out what was parked`, async () => {
      await parked(before)
      const { calls, submit, end, faults } = create(after)
      await calls('a', 'b', 'c')
      await submit('d', 'other')
      if (after.rateLimit?.max !== 3) await calls('d')
      await end('a', 'b', 'c')
      assert.deepEqual(faults, [])
    })
  }

  it('that shortens an interval counts what was called before by the new one, where nothing waits too', async () => {
    const before = create({ rateLimit: { max: 1, interval: '1h' } })
    await before.submit('a', 'quick')
    await before.runner.wait('a')
    await before.runner.close()
    const after = create({ rateLimit: { max: 1, interval: 20 } })
    await after.submit('b', 'quick')
    await after.calls('b')
  })

  it('whose processes bury one of the old version counts its call as long as that one would', async () => {
    const old = create({ rateLimit: { max: 1, interval: 600 } })
    await old.submit('a')
    await old.calls('a')
    const other = new BackgroundRunner({
      tasks: { free: defineTask({ run: () => {} }) },
      engine: sqlite({ path: at.path, lease: 600 }),
    })
    at.after(() => other.close({ deadline: 0 }))
    await old.runner.close({ deadline: 0 })
    await sql(
      'UPDATE tasks SET state = 2; UPDATE calls SET until = 9007199254740991; UPDATE counts SET n = 1 - n WHERE state = 2',
    )
    await kill()
    await other.ready()
    await eventually('it is buried', async () => (await sql('SELECT state FROM tasks')) === 0)
    const counts = (await sql('SELECT until FROM calls')) as number
    assert.ok(counts > Date.now() && counts <= Date.now() + 600, String(counts - Date.now()))
  })
})
