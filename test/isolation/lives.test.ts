/** What a worker's life is besides its end: how many tasks, how long idle, what it is sent, what it writes, and its close. */
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { MessageChannel, markAsUntransferable, Worker } from 'node:worker_threads'
import { BackgroundRunner } from 'background-runner'
import { sqlite } from 'background-runner/sqlite'
import { afterAll, describe, it } from 'vitest'
import { assertQuiet, Deeds, definition, Folder, history, MODULES } from './support/deeds.js'
import type { LeaverSettings } from './support/leaver.js'
import { eventually, isRunning, Program } from './support/program.js'
import { giving } from './support/schema.js'

/** What is a matter of luck is tried so often. */
const TIMES = process.env['CI'] === 'true' ? 10 : 2

/** Whoever does not hear that he is to stop is not ended before the test is. */
const PATIENT = { cancelGrace: 60_000 } as never

const folder = new Folder()
const programs: Program[] = []
afterAll(async () => {
  folder.remove()
  for (const program of programs) await program.kill()
})

/** A runner in a program of its own. */
async function leaver(settings: LeaverSettings): Promise<Program> {
  const program = await Program.start(new URL('support/leaver.ts', import.meta.url), settings)
  programs.push(program)
  return program
}

for (const place of ['thread', 'process'] as const) {
  describe(`the workers of tasks in a ${place}`, () => {
    it('are replaced after maxTasks, one after the other, and nobody waits or fails for it', async () => {
      const deeds = new Deeds({ place, concurrency: 1, worker: { maxTasks: 2 } })
      const handles = await Promise.all(Array.from({ length: 6 }, () => deeds.submit('who')))
      const workers = await Promise.all(handles.map((handle) => handle.result()))
      assert.deepEqual([workers[0], workers[2], workers[4]], [workers[1], workers[3], workers[5]])
      assert.equal(new Set(workers).size, 3)
      for (const { id } of handles) assert.deepEqual(history(await deeds.runner.wait(id)), ['succeeded'])
      await deeds.runner.close()
    })

    it('end when they have had nothing to do, and a task at that very moment gets one all the same', async () => {
      const deeds = new Deeds({ place, concurrency: 1, worker: { idleTimeout: 30 }, options: PATIENT })
      for (let i = 0; i < TIMES; i++) {
        const record = await deeds.done('who')
        assert.deepEqual(history(record), ['succeeded'])
        await new Promise((resolve) => setTimeout(resolve, 30))
        // And one that is cancelled at that moment hears of it.
        const cancelled = new Promise((resolve) =>
          deeds.runner.once('started', ({ id }) => resolve(deeds.runner.cancel(id))),
        )
        const handle = await deeds.submit('obeyAtOnce')
        await cancelled
        assert.equal((await handle.wait()).state, 'cancelled')
        await new Promise((resolve) => setTimeout(resolve, 30))
      }
      const last = await deeds.gives('who')
      if (place === 'process') await eventually(() => !isRunning(last as number))
      await eventually(async () => {
        await new Promise((resolve) => setTimeout(resolve, 60)) // asking keeps it busy
        return (await deeds.gives('who')) !== last
      })
      assertQuiet(deeds)
      await deeds.runner.close()
    })

    it('one that dies while it has nothing to do and is given a task at that moment: the task runs in another', async () => {
      if (place === 'thread') return // nobody can kill one from outside
      const deeds = new Deeds({ place, concurrency: 1 })
      for (let i = 0; i < TIMES; i++) {
        const worker = (await deeds.gives('who')) as number
        process.kill(worker, 'SIGKILL')
        const record = await deeds.done('who')
        assert.deepEqual(history(record), ['succeeded'])
        assert.notEqual(record.output, worker)
      }
      assertQuiet(deeds)
      await deeds.runner.close()
    })

    it('leave the limits of listeners on our output as they were', async () => {
      const streams = [process.stdout, process.stderr]
      const before = streams.map((stream) => stream.getMaxListeners())
      try {
        for (const limit of [0, 10]) {
          for (const stream of streams) stream.setMaxListeners(limit)
          const deeds = new Deeds({ place })
          await deeds.gives('who')
          if (limit === 0) for (const stream of streams) assert.equal(stream.getMaxListeners(), 0)
          await deeds.runner.close()
          for (const stream of streams) assert.equal(stream.getMaxListeners(), limit)
        }
      } finally {
        streams.forEach((stream, i) => void stream.setMaxListeners(before[i] as number))
      }
    })

    it('are as many as run at once, and no more; the one that was used last is used first', async () => {
      const deeds = new Deeds({ place, concurrency: 2 })
      const release = folder.path()
      const both = [await deeds.begun('until', release), await deeds.begun('until', release)]
      folder.put(release)
      for (const { handle } of both) await handle.wait()
      const workers = both.map((each) => each.place)
      assert.equal(new Set(workers).size, 2)
      const first = await deeds.gives('who')
      assert.ok(workers.includes(first as never))
      for (let i = 0; i < 5; i++) assert.equal(await deeds.gives('who'), first)
      await deeds.runner.close()
    })

    it('what they write arrives, also the last line of one that ends while nobody reads ours', async () => {
      const program = await leaver({ place, fill: 1_000_000, done: ['print', 'printAndDie'], leave: 'close' })
      program.read(false)
      await program.tells('report')
      program.read(true)
      assert.deepEqual(await program.ended(), { code: 0, signal: null })
      for (const line of ['out: print', 'err: print', 'out: printAndDie', 'err: printAndDie'])
        assert.equal(program.output.split(`${line}\n`).length, 2, `${line} is missing`)
    })
  })

  describe(`what a handler in a ${place} says to its parent past the runner`, () => {
    it('is heard by nobody, and does no harm', async () => {
      const deeds = new Deeds({ place, concurrency: 1 })
      const worker = await deeds.gives('who')
      for (const what of [null, 'ready', 7, { ready: true }, { type: 'reply', number: 5 }])
        assert.equal(await deeds.gives('saidToParent', what), worker)
      assertQuiet(deeds)
      await deeds.runner.close()
    })
  })

  describe(`what a schema gives, on its way to a ${place}`, () => {
    const open = (make: () => unknown): Deeds => {
      const input = giving(() => ({ deed: 'measure', input: make() }))
      return new Deeds({ place, concurrency: 1, attempts: 2, schema: input })
    }

    it('need not be JSON: a date, bytes, a circle', async () => {
      const deeds = open(() => {
        const circle: Record<string, unknown> = { date: new Date(0), bytes: new Uint8Array(100_000) }
        circle['self'] = circle
        return circle
      })
      assert.deepEqual(await deeds.gives('measure'), { bytes: 100_000, date: '1970-01-01T00:00:00.000Z', self: true })
      await deeds.runner.close()
    })

    it('a Buffer is one there, wherever it lies', async () => {
      class Own {
        readonly bytes = Buffer.from('own')
      }
      const made = () => ({
        one: Buffer.from('small'),
        map: new Map([['it', Buffer.alloc(100_000, 'large')]]),
        set: new Set([Buffer.from('a set')]),
        own: new Own(),
      })
      const deeds = new Deeds({ place, schema: giving(() => ({ deed: 'spell', input: made() })) })
      assert.deepEqual(await deeds.gives('spell'), ['small', 'large', 'a set', 'own'])
      await deeds.runner.close()
    })

    it('memory that is large and cannot be moved is copied', async () => {
      const kept = new Uint8Array(100_000)
      markAsUntransferable(kept.buffer)
      const deeds = open(() => ({ bytes: kept }))
      for (let i = 0; i < 2; i++)
        assert.deepEqual(await deeds.gives('measure'), { bytes: 100_000, date: null, self: false })
      assert.equal(kept.byteLength, 100_000)
      await deeds.runner.close()
    })

    it('what cannot be sent is an error by policy that says so, and the worker goes on', async () => {
      let value: unknown
      const deeds = open(() => value)
      const deep: { in?: object } = {}
      for (let i = 0, at = deep; i < 100_000; i++) at = at.in = {}
      const impossible = [
        { call: () => {} }, // at first with a worker that is yet to start
        { call: () => {} },
        { symbol: Symbol('s') },
        ...(place === 'process' ? [new SharedArrayBuffer(8)] : []),
        Object.defineProperty({}, 'it', { enumerable: true, get: () => assert.fail('do not look') }),
        deep,
      ]
      for (const each of impossible) {
        value = each
        const record = await deeds.done('measure')
        assert.deepEqual(history(record), ['retry INPUT_NOT_SENT', 'failed INPUT_NOT_SENT'])
        assert.match(record.error?.message ?? '', /^the input cannot be sent to a worker: ./)
        value = {}
        assert.deepEqual(history(await deeds.done('measure')), ['succeeded'])
      }
      assertQuiet(deeds)
      await deeds.runner.close()
    })

    it('what a log line cannot carry is shown, and the handler goes on', async () => {
      const lines: object[] = []
      const logger = { debug() {}, warn() {}, error() {}, info: (fields: object) => void lines.push(fields) }
      const deeds = new Deeds({ place, options: { logger } as never })
      assert.equal(await deeds.gives('logFunction'), 'logged')
      assert.ok(lines.some((line) => 'plain' in line && 'method' in line && line.method === 'a function'))
      await deeds.runner.close()
    })
  })

  describe(`a runner closes while tasks run in a ${place}`, () => {
    for (const [deed, completed] of [
      ['obey', 0],
      ['spin', 0],
      ['ignore', 0],
      ['finishAnyway', 1],
    ] as const)
      it(`${deed}: it is ${completed ? 'completed' : 'returned, and the next runner finds it unharmed'}`, async () => {
        const path = folder.path('.db')
        const deeds = new Deeds({ place, options: { engine: sqlite({ path }), cancelGrace: undefined } as never })
        const { handle, place: worker } = await deeds.begun(deed)
        const report = await deeds.runner.close({ deadline: 0 })
        assert.deepEqual(report, { completed, returned: 1 - completed, abandoned: 0, pending: 0 })
        assert.equal(await deeds.runner.close(), report, 'the same report')
        if (place === 'process') assert.equal(isRunning(worker as number), false)
        assertQuiet(deeds)
        const next = new Deeds({ place, options: { engine: sqlite({ path }), work: false } as never })
        const record = await next.runner.status(handle.id)
        assert.deepEqual(
          [record?.state, history(record as never)],
          completed ? ['succeeded', ['succeeded']] : ['queued', ['released']],
        )
        assert.equal(record?.maxAttempts, completed ? 1 : 2, 'no attempt is used')
        await next.runner.close()
      })

    for (const module of ['hangs-at-start.js', 'spins-at-start.js'])
      it(`${module}: also while a worker starts`, async () => {
        const deeds = new Deeds({ place, module, options: { cancelGrace: undefined } as never })
        process.env['AT_START'] = folder.path()
        await deeds.submit('who')
        await eventually(() => existsSync(process.env['AT_START'] ?? ''))
        assert.deepEqual(await deeds.runner.close({ deadline: 0 }), {
          completed: 0,
          returned: 1,
          abandoned: 0,
          pending: 0,
        })
        assertQuiet(deeds)
      })

    it('before a worker was asked for, and twice at once: the same report', async () => {
      const deeds = new Deeds({ place })
      await Promise.all([deeds.submit('pause', 1), deeds.submit('pause', 1)])
      const [first, second] = await Promise.all([deeds.runner.close(), deeds.runner.close({ deadline: 0 })])
      assert.deepEqual(first, { completed: 2, returned: 0, abandoned: 0, pending: 0 })
      assert.equal(first, second)
    })

    it('another runner of the same definition has workers of its own, and keeps them', async () => {
      const task = definition({ place, concurrency: 1 })
      const runners = [1, 2].map(
        () => new BackgroundRunner({ tasks: { run: task } } as never),
      ) as never as BackgroundRunner<never>[]
      const [one, other] = runners as [BackgroundRunner<never>, BackgroundRunner<never>]
      const who = async (runner: BackgroundRunner<never>): Promise<unknown> =>
        (await runner.submit('run' as never, { deed: 'who' } as never)).result()
      const workers = [await who(one), await who(other)]
      assert.notEqual(workers[0], workers[1])
      await one.close()
      assert.equal(await who(other), workers[1])
      await other.close()
    })

    it('nothing is left: no thread, no child, no handle', async () => {
      const program = await leaver({ place, done: ['who'], begun: ['spin', 'ignore', 'obey'], leave: 'close' })
      const [resources] = await program.tells('resources')
      assert.deepEqual(resources?.['after'], resources?.['before'])
      assert.deepEqual(await program.ended(), { code: 0, signal: null })
      for (const { worker, output } of program.told)
        if (place === 'process') assert.equal(isRunning((worker ?? output ?? 0) as number), false)
    })
  })

  describe(`a program whose tasks run in a ${place}`, () => {
    it('ends by itself when they are done, whether or not it closes its runner: an idle worker holds it not', async () => {
      const program = await leaver({ place, done: ['who', 'who', 'leaveTimer'], leave: 'by itself' })
      assert.deepEqual(await program.ended(), { code: 0, signal: null })
      const workers = program.told.flatMap(({ output }) => (output === undefined ? [] : [output]))
      assert.equal(workers.length, 3)
      if (place === 'process') await eventually(() => !workers.some((pid) => isRunning(pid as number)))
    })
  })
}

describe('a thread that has said more than its counter counts', () => {
  it('goes on', async () => {
    const { port1, port2 } = new MessageChannel()
    const shared = new Int32Array(new SharedArrayBuffer(8))
    shared[0] = 2 ** 31 - 2
    const limits = { input: 1_000, output: 1_000, errorMessage: 100, errorStack: 100 }
    const file = { url: new URL('any-deed.js', MODULES).href, name: 'run' }
    const program = `
      const { parentPort, workerData: { worker, beginning } } = require('node:worker_threads')
      parentPort.on('message', () => {})
      import(worker).then((it) => it.default(beginning))
    `
    const worker = new Worker(program, {
      eval: true,
      workerData: {
        worker: new URL('../../src/isolation/worker.js', import.meta.url).href,
        beginning: { file, limits, link: { port: port2, shared } },
      },
      transferList: [port2],
    })
    const facts = { id: 'a', name: 'run', attempt: 1, retries: 0, createdAt: 0 }
    const heard: unknown[] = []
    const replies = new Promise<void>((resolve) =>
      port1.on('message', ({ type, number }) => {
        Atomics.add(shared, 0, 1)
        Atomics.notify(shared, 0)
        heard.push(type)
        if (type !== 'reply') return
        if (number === 3) resolve()
        else port1.postMessage({ type: 'errand', number: number + 1, input: { deed: 'who' }, facts })
      }),
    )
    port1.postMessage({ type: 'errand', number: 1, input: { deed: 'who' }, facts })
    await replies
    assert.deepEqual(heard, ['begun', 'reply', 'reply', 'reply'], 'once it was heard it can be seen')
    await worker.terminate()
  })
})
