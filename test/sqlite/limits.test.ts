/** Limits on a file: what processes that share it, die, or come with other definitions do to what waits in lanes. */
import assert from 'node:assert/strict'
import { BackgroundRunner, type Clock, defineTask, type TaskContext, type TaskLimits } from 'background-runner'
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
}

/** A runner whose handlers run until they are told to end. */
function create(limits: Partial<TaskLimits<Input>>, options: Options = {}) {
  const called: string[] = []
  const running = new Map<string, () => void>()
  const faults: unknown[] = []
  const runner = new BackgroundRunner({
    tasks: {
      work: defineTask({
        ...limits,
        retry: { attempts: 1 },
        run: (_input: Input, { id, signal }: TaskContext) =>
          new Promise<void>((resolve, reject) => {
            called.push(id)
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
})
