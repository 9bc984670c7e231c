import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { randomBytes, scrypt } from 'node:crypto'
import { createServer as serveHttp } from 'node:http'
import { createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { gzip } from 'node:zlib'
import { defineTask, RetryLaterError, type TaskContext } from 'background-runner'
import { createTestRunner } from 'background-runner/testing'
import { describe, it } from 'vitest'

const DAWN = Date.UTC(2030, 0, 1)

/** A handler that does nothing but listen to its signal. */
const listens = (_input: unknown, { signal }: TaskContext): Promise<never> =>
  new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)))

describe('virtual time', () => {
  it('begins where it is told to', async () => {
    const task = defineTask({ run: () => 1 })
    for (const now of [86_400_000, new Date(86_400_000), '1970-01-02', '1970-01-02T00:00:00.000Z']) {
      const t = createTestRunner({ tasks: { task }, now })
      assert.equal(t.clock.now(), 86_400_000)
      await t.runner.submit('task')
      assert.equal(t.submitted('task')[0]?.createdAt, 86_400_000)
    }
    assert.equal(createTestRunner({ tasks: { task } }).clock.now(), DAWN)
  })

  it('stands still but for advance', async () => {
    const { runner, clock, drain } = createTestRunner({ tasks: { task: defineTask({ run: () => sleep(5) }) } })
    await runner.submit('task')
    await drain()
    assert.equal(clock.now(), DAWN)
    await clock.advance('90m')
    await clock.advance(5)
    assert.equal(clock.now(), DAWN + 5_400_005)
  })

  it('fires delays, backoffs and timeouts in their true order, each at its instant', async () => {
    const order: string[] = []
    const seen = (what: string): void => void order.push(`${what} at ${t.clock.now() - DAWN}`)
    const t = createTestRunner({
      tasks: {
        delayed: defineTask({ run: (what: string) => seen(what) }),
        flaky: defineTask({
          retry: { attempts: 3, backoff: { type: 'fixed', delay: '10s' } },
          run: (_: undefined, { attempt }) => {
            seen(`attempt ${attempt}`)
            throw new Error('not yet')
          },
        }),
        slow: defineTask({
          timeout: '15s',
          retry: { attempts: 1 },
          run: async (_: undefined, ctx) => {
            seen('slow')
            await listens(undefined, ctx).catch(() => seen('timeout'))
          },
        }),
      },
    })
    await t.runner.submit('delayed', 'late', { delay: '30s' })
    await t.runner.submit('delayed', 'soon', { runAt: DAWN + 12_000 })
    await t.runner.submit('flaky')
    await t.runner.submit('slow')
    await t.clock.advance('1m')
    assert.deepEqual(order, [
      'attempt 1 at 0',
      'slow at 0',
      'attempt 2 at 10000',
      'soon at 12000',
      'timeout at 15000',
      'attempt 3 at 20000',
      'late at 30000',
    ])
    assert.equal(t.clock.now(), DAWN + 60_000)
  })

  it('stops at the end of the span: what is due a millisecond later waits', async () => {
    const t = createTestRunner({ tasks: { task: defineTask({ run: () => 1 }) } })
    await t.runner.submit('task', undefined, { delay: 1_000 })
    await t.clock.advance(999)
    assert.equal(t.submitted('task')[0]?.state, 'scheduled')
    await t.clock.advance(1)
    t.assertSucceeded('task')
  })

  it('passes a thousand days of retries and timeouts', async () => {
    const t = createTestRunner({
      tasks: {
        daily: defineTask({
          timeout: '1h',
          retry: { attempts: 2_000, backoff: { type: 'fixed', delay: '23h', max: '1d' } },
          run: listens,
        }),
      },
    })
    await t.runner.submit('daily')
    await t.clock.advance('1000d')
    const [task] = t.submitted('daily')
    assert.equal(task?.attempt, 1_001)
    assert.ok(task?.attempts.slice(0, -1).every(({ error }) => error?.code === 'TASK_TIMEOUT'))
    await t.runner.close()
  })

  it('keeps of a long drive what the engine keeps, and no record of each attempt', async () => {
    setFlagsFromString('--expose_gc')
    const collectGarbage = runInNewContext('gc') as () => void
    const t = createTestRunner({
      tasks: {
        hourly: defineTask({
          retry: { attempts: 3_000, backoff: { type: 'fixed', delay: '1h' } },
          run: () => {
            throw new Error('x'.repeat(1_000))
          },
        }),
      },
    })
    await t.runner.submit('hourly')
    await t.clock.advance('2d')
    collectGarbage()
    const before = process.memoryUsage().heapUsed
    await t.clock.advance('125d')
    collectGarbage()
    const grown = process.memoryUsage().heapUsed - before
    assert.ok(grown < 30_000_000, `it has grown by ${grown} bytes`) // a record of each would be 200 MB
    assert.equal(t.assertFailed('hourly')[0]?.attempt, 3_000)
  })

  it('refuses a span that is none', async () => {
    const t = createTestRunner({ tasks: {} })
    await assert.rejects(
      async () => t.clock.advance('1 hour' as '1h'),
      /^InvalidInputError: bad clock.advance: span: must be milliseconds or a duration such as '30s' .*, got "1 hour"$/,
    )
    for (const span of [-1, Number.NaN, undefined, null, {}])
      await assert.rejects(t.clock.advance(span as number), { code: 'INVALID_INPUT' }, String(span))
  })
})

describe('what a handler really does', () => {
  const server = createServer((socket) => setTimeout(() => socket.end('hello'), 20))
  const kinds: Record<string, () => unknown> = {
    'a timer': () => sleep(20),
    'a job of the thread pool': () => promisify(scrypt)('secret', 'salt', 64),
    compression: () => promisify(gzip)(randomBytes(2_000_000)),
    'a child process': () => promisify(execFile)(process.execPath, ['-e', '']),
    'turns of the event loop': async () => {
      for (let i = 0; i < 30; i++) await new Promise((resolve) => setImmediate(resolve))
    },
    'a socket': async () => {
      await new Promise<void>((resolve) => server.listen(0, resolve))
      const address = server.address() as { readonly port: number }
      const { connect } = await import('node:net')
      await new Promise((resolve) => connect(address.port).on('close', resolve).resume())
      server.close()
    },
  }
  for (const [kind, work] of Object.entries(kinds)) {
    it(`is waited for before time goes on: ${kind}`, async () => {
      const t = createTestRunner({
        tasks: {
          work: defineTask({
            timeout: 1,
            run: async (): Promise<number> => {
              await work()
              return t.clock.now() - DAWN
            },
          }),
        },
      })
      await t.runner.submit('work')
      await t.clock.advance('1h')
      assert.equal(t.assertSucceeded('work')[0]?.output, 0)
      await t.runner.close()
    })
  }

  it('is waited for where it goes on over a connection that was opened before', async () => {
    const { connect } = await import('node:net')
    const echo = createServer((socket) => socket.on('data', (data) => setTimeout(() => socket.write(data), 30)))
    await new Promise<void>((resolve) => echo.listen(0, resolve))
    const connection = connect((echo.address() as { readonly port: number }).port)
    await new Promise((resolve) => connection.once('connect', resolve))
    const t = createTestRunner({
      tasks: {
        ask: defineTask({
          timeout: 1,
          run: () =>
            new Promise((resolve) => {
              connection.once('data', (data) => resolve(String(data)))
              connection.write('hello')
            }),
        }),
      },
    })
    await t.runner.submit('ask')
    await t.clock.advance('1h')
    assert.equal(t.assertSucceeded('ask')[0]?.output, 'hello')
    connection.destroy()
    echo.close()
  })

  it('is waited for where it asks a second time over the same connection, as a retry does', async () => {
    const answers = [503, 200]
    const server = serveHttp((_, response) => {
      setTimeout(() => response.writeHead(answers.shift() ?? 500).end(), 20)
    })
    await new Promise<void>((resolve) => server.listen(0, resolve))
    const { port } = server.address() as { readonly port: number }
    const t = createTestRunner({
      tasks: {
        hook: defineTask({
          timeout: 1,
          run: async () => {
            const { ok, status } = await fetch(`http://127.0.0.1:${port}`)
            if (!ok) throw new Error(`HTTP ${status}`)
          },
        }),
      },
    })
    await t.runner.submit('hook')
    await t.clock.advance('1h')
    assert.equal(t.assertSucceeded('hook')[0]?.attempt, 2)
    server.closeAllConnections()
    server.close()
  })

  it('does not keep time from one that does nothing', async () => {
    const t = createTestRunner({
      tasks: {
        idle: defineTask({
          timeout: '30s',
          retry: { attempts: 1 },
          run: (_: undefined, ctx) => {
            randomBytes(16)
            return listens(undefined, ctx)
          },
        }),
      },
    })
    await t.runner.submit('idle')
    const real = setTimeout(() => {}, 60_000) // somebody else's
    await t.clock.advance('30s')
    clearTimeout(real)
    t.assertFailed('idle', undefined, { code: 'TASK_TIMEOUT' })
  })
})

describe('a test runner', () => {
  it('repeats ids and jitter with its seed', async () => {
    const run = async (seed?: number | string): Promise<string> => {
      const t = createTestRunner({
        tasks: {
          flaky: defineTask({
            retry: { attempts: 5 },
            run: () => {
              throw new Error('again')
            },
          }),
        },
        ...(seed !== undefined && { seed }),
      })
      const { id } = await t.runner.submit('flaky')
      await t.clock.advance('1h')
      await t.runner.close()
      return `${id}\n${t.log}`
    }
    assert.equal(await run(7), await run(7))
    assert.notEqual(await run(7), await run(8))
    assert.equal(await run(), await run(1))
    assert.equal(await run('a seed'), await run('a seed'))
    assert.notEqual(await run('a seed'), await run('another'))
  })

  it('is a real runner, with options, events and verbs', async () => {
    const told: string[] = []
    const t = createTestRunner({
      tasks: { task: defineTask({ run: (_: undefined, ctx) => ctx.context }) },
      concurrency: 1,
      context: { capture: () => 'request 1' },
      maxPending: 2,
    })
    t.runner.on('succeeded', ({ output }) => void told.push(String(output)))
    const first = await t.runner.submit('task')
    await t.runner.submit('task', undefined, { priority: 1 })
    await assert.rejects(t.runner.submit('task'), { code: 'QUEUE_FULL' })
    await first.cancel()
    await t.drain()
    assert.deepEqual(told, ['request 1'])
    assert.equal(await first.status().then((record) => record?.state), 'cancelled')
    assert.deepEqual((await t.runner.counts()).succeeded, 1)
  })

  it('refuses options that it gives itself, and such as are wrong', () => {
    const tasks = {}
    for (const [options, message] of [
      [{ engine: {} }, /engine: cannot be given/],
      [{ clock: {} }, /clock: cannot be given/],
      [{ random: () => 0 }, /random: cannot be given/],
      [{ mode: 'automatic' }, /mode: must be 'manual' or 'inline', got 'automatic'/],
      [{ now: 'yesterday' }, /now: must be .*, got 'yesterday'/],
      [{ now: null }, /now: must be .*, got null/],
      [{ seed: {} }, /seed: must be a number or a text, got {}/],
      [{ realTimeout: 'soon' }, /realTimeout: must be .*, got "soon"/],
      [{ defaults: { timeout: 'soon' } }, /defaults.timeout: must be .*, got "soon"/],
      [{ concurrency: 0 }, /concurrency/],
      [{ tasks: undefined }, /tasks: must be an object, got undefined/],
    ] as const) {
      const given = { tasks, ...(options as object) }
      assert.throws(() => createTestRunner(given), { code: 'INVALID_INPUT', message })
    }
    assert.throws(() => createTestRunner(undefined as never), { code: 'INVALID_INPUT', message: /tasks: must be/ })
  })

  it('closes over its own deadlines without waiting', async () => {
    const t = createTestRunner({
      tasks: { deaf: defineTask({ run: () => new Promise(() => {}) }), task: defineTask({ run: () => 1 }) },
    })
    await t.runner.submit('deaf')
    await t.clock.advance(1)
    await t.runner.submit('task')
    assert.deepEqual(await t.runner.close(), { completed: 0, returned: 0, abandoned: 1, pending: 1 })
    assert.equal(t.clock.now(), DAWN + 11_001)
    assert.deepEqual(await t.runner.close({ deadline: 1 }), { completed: 0, returned: 0, abandoned: 1, pending: 1 })
    await assert.rejects(t.runner.submit('task'), { code: 'RUNNER_CLOSED' })
    await t.clock.advance('1h')
    assert.equal(t.clock.now(), DAWN + 3_611_001)
  })

  it('leaves what waits when it closes, unless it is told to drain', async () => {
    const make = (): ReturnType<typeof createTestRunner<{ task: typeof task }>> => createTestRunner({ tasks: { task } })
    const task = defineTask({ run: () => sleep(5) })
    const left = make()
    await left.runner.submit('task')
    assert.equal((await left.runner.close()).pending, 1)
    const drained = make()
    await drained.runner.submit('task')
    assert.equal((await drained.runner.close({ drain: true })).completed, 1)
  })

  it('goes on when close was refused', async () => {
    const t = createTestRunner({ tasks: { task: defineTask({ run: () => 1 }) } })
    await assert.rejects(t.runner.close({ deadline: 'never' as '1s' }), { code: 'INVALID_INPUT' })
    await t.runner.submit('task')
    await t.drain()
    t.assertSucceeded('task')
    await t.runner.close()
  })

  it('ends a drive that goes on when it closes, also when a handler closes it', async () => {
    const t = createTestRunner({
      tasks: { closes: defineTask({ run: (): Promise<string> => t.runner.close().then(() => 'closed') }) },
    })
    await t.runner.submit('closes')
    await t.drain()
    const report = await t.runner.close()
    assert.equal(report.abandoned, 1)
  })

  it('is closed by `await using`, teardowns included', async () => {
    const told: string[] = []
    const task = defineTask({
      setup: () => {
        told.push('setup')
        return async () => {
          await sleep(10)
          told.push('teardown')
        }
      },
      run: () => void told.push('run'),
    })
    {
      await using t = createTestRunner({ tasks: { task } })
      await t.runner.submit('task')
      await t.drain()
    }
    assert.deepEqual(told, ['setup', 'run', 'teardown'])
  })

  it('closes although a teardown hangs', async () => {
    const faults: unknown[] = []
    const t = createTestRunner({
      tasks: { task: defineTask({ setup: () => () => new Promise<void>(() => {}), run: () => 1 }) },
    })
    t.runner.on('error', (error) => faults.push(error))
    await t.runner.submit('task')
    await t.drain()
    await t.runner.close()
    assert.match(String(faults), /a teardown did not end within 10000 ms/)
  })

  it('runs handlers that wait for other tasks', async () => {
    const t = createTestRunner({
      tasks: {
        parent: defineTask({
          run: async (): Promise<number> => {
            const child = await t.runner.submit('child', 1, { delay: '1h' })
            return child.result()
          },
        }),
        child: defineTask({ run: (n: number) => n + 1 }),
      },
    })
    const parent = await t.runner.submit('parent')
    await t.clock.advance('1h')
    assert.equal(await parent.result(), 2)
  })

  it('lets a handler put its task off without a delay', async () => {
    let calls = 0
    const t = createTestRunner({
      tasks: {
        later: defineTask({
          run: () => {
            if (++calls < 50) throw new RetryLaterError({ delay: 0 })
          },
        }),
      },
    })
    await t.runner.submit('later')
    assert.equal((await t.drain()).length, 50)
  })
})
