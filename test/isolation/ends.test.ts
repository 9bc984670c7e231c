/** Every way in which a worker ends, alone: what the record says, and that nobody beside it notices. */
import assert from 'node:assert/strict'
import { ChildProcess } from 'node:child_process'
import { existsSync } from 'node:fs'
import { BackgroundRunner, defineTask } from 'background-runner'
import { afterAll, beforeAll, describe, it, vi } from 'vitest'
import { assertQuiet, Deeds, Folder, history, MODULES } from './support/deeds.js'
import { eventually, isRunning } from './support/program.js'

const ALL = process.env['CI'] === 'true'
/** What is a matter of luck is tried so often. */
const TIMES = ALL ? 10 : 1

const folder = new Folder()
afterAll(() => folder.remove())

interface Death {
  readonly deed: string
  readonly input?: unknown
  readonly code?: string
  readonly message: RegExp
  /** @default nobody knows */
  readonly cause?: object
  /** Much like another one. */
  readonly isRare?: boolean
}

interface Spawning {
  spawn: (options: object) => number
}

const EVERYWHERE: readonly Death[] = [
  { deed: 'exit', input: 7, message: /^the worker \w+ ended with code 7 before its handler had settled$/ },
  {
    deed: 'exitLater',
    input: 0,
    isRare: true,
    message: /^the worker \w+ ended with code 0 before its handler had settled$/,
  },
  {
    deed: 'throwOutside',
    message: /^the worker \w+ ended with code 1 before its handler had settled: out of bounds$/,
    cause: { name: 'RangeError', message: 'out of bounds', code: 'BOUNDS' },
  },
  { deed: 'throwText', isRare: true, message: /settled: words$/, cause: { name: 'Error', message: 'words' } },
  { deed: 'rejectOutside', message: /settled: nobody cares$/, cause: { name: 'TypeError', message: 'nobody cares' } },
  {
    deed: 'hog',
    code: 'WORKER_OUT_OF_MEMORY',
    message: /^the worker \w+ needed more memory than its limit of 32 MB$/,
  },
  { deed: 'claimHeap', message: /ended with code 1/ },
]
const OF_A_PROCESS: readonly Death[] = [
  { deed: 'abort', isRare: true, message: /^the worker process was ended by SIGABRT before its handler had settled$/ },
  { deed: 'signal', input: 'SIGSEGV', message: /was ended by SIGSEGV/ },
  { deed: 'signal', input: 'SIGKILL', isRare: true, message: /was ended by SIGKILL/ },
  { deed: 'disconnect', message: /^the worker process closed its channel before its handler had settled$/ },
]

for (const place of ['thread', 'process'] as const) {
  describe(`a handler in a ${place} that takes its worker down`, () => {
    let deeds: Deeds
    let neighbour: { id: string; place: unknown }
    const release = folder.path()

    beforeAll(async () => {
      deeds = new Deeds({ place, memory: '32MB' })
      const { handle, place: at } = await deeds.begun('until', release)
      neighbour = { id: handle.id, place: at }
    })
    afterAll(async () => {
      folder.put(release)
      const record = await deeds.runner.wait(neighbour.id)
      assert.deepEqual([record.output, history(record)], [[neighbour.place, neighbour.place], ['succeeded']])
      assertQuiet(deeds)
      await deeds.runner.close()
    })

    for (const { deed, input, code = 'WORKER_EXITED', message, cause = {}, isRare } of [
      ...EVERYWHERE,
      ...(place === 'process' ? OF_A_PROCESS : []),
    ])
      it.skipIf(isRare && !ALL)(`${deed} ${input ?? ''}: ${code}, by its policy`, async () => {
        const attempts = deed === 'exit' ? 2 : 1
        const record = await deeds.done(deed, input, { retry: { attempts } })
        assert.deepEqual(
          [record.state, history(record)],
          ['failed', [`retry ${code}`, `failed ${code}`].slice(-attempts)],
        )
        for (const { error } of record.attempts) {
          assert.match(error?.message ?? '', message)
          assert.equal(error?.name, 'BackgroundRunnerError')
          const { stack: _, ...said } = error?.cause ?? {}
          assert.deepEqual(said, cause)
        }
      })
  })

  describe(`what a handler in a ${place} said before its worker ended`, () => {
    it('a save that was underway is kept, and is no unhandled rejection', async () => {
      const deeds = new Deeds({ place, attempts: 2 })
      const record = await deeds.done('saveOnce', 'x')
      assert.deepEqual(history(record), ['retry WORKER_EXITED', 'succeeded'])
      assert.deepEqual(record.output, { before: 'x' })
      assertQuiet(deeds)
      await deeds.runner.close()
    })

    it('log lines come in their order, and the last progress', async () => {
      const lines: unknown[] = []
      const logger = {
        debug() {},
        warn() {},
        error() {},
        info: (_fields: object, line: string) => void lines.push(line),
      }
      const deeds = new Deeds({ place, options: { logger } as never })
      // As many as a channel holds: what did not leave a process before it exits is lost.
      const wanted = place === 'thread' ? 3_000 : 100
      const record = await deeds.done('floodAndDie', wanted)
      assert.deepEqual(
        lines.filter((line) => String(line).startsWith('line')),
        Array.from({ length: wanted }, (_, i) => `line ${i}`),
      )
      assert.deepEqual([record.progress, record.error?.code], ['all said', 'WORKER_EXITED'])
      await deeds.runner.close()
    })

    it('a reply that is on its way counts, whatever becomes of the worker, and the next task is not given to it', async () => {
      const deeds = new Deeds({ place, concurrency: 1 })
      for (let i = 0; i < TIMES; i++) {
        await deeds.gives('who')
        const reply = deeds.done('replyAndDie', i)
        // The runner's process is busy meanwhile: what it hears of both comes at the same moment.
        for (let turn = 0; turn < 15; turn++) {
          Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20)
          await new Promise((resolve) => void setImmediate(resolve))
        }
        assert.deepEqual(history(await reply), ['succeeded'])
        assert.deepEqual(history(await deeds.done('who')), ['succeeded'])
      }
      assert.deepEqual(deeds.stalled, [])
      await deeds.runner.close()
    })
  })

  describe(`what a handler leaves behind in a ${place}`, () => {
    const blame = /^what task "[^"]+" left behind ended its worker: the worker \w+ ended with code \d/

    for (const [how, cause] of [
      ['throw', 'left behind'],
      ['exit', undefined],
    ] as const)
      it(`ends it, by ${how}: the next one that runs there is put back, and it costs it no attempt`, async () => {
        const deeds = new Deeds({ place, concurrency: 1 })
        const path = folder.path()
        const culprit = await deeds.submit('lurk', { path, how })
        const record = await deeds.done('provoke', [path])
        assert.deepEqual(history(record), ['retry WORKER_EXITED', 'succeeded'])
        assert.notEqual(record.output, await culprit.result())
        const [first] = record.attempts
        assert.match(first?.error?.message ?? '', /^an earlier task left something behind: the worker/)
        assert.equal(first?.error?.cause?.message, cause)
        assert.equal(deeds.faults.length, 1)
        assert.match(deeds.faults[0]?.message ?? '', blame)
        assert.ok(deeds.faults[0]?.message.includes(culprit.id))
        await deeds.runner.close()
      })

    it('ends two that one task is given to in a row: the second one counts, as it may be its own doing', async () => {
      const deeds = new Deeds({ place, concurrency: 1 })
      const paths = [folder.path(), folder.path()]
      await deeds.submit('lurk', { path: paths[0] })
      const handle = await deeds.submit('provoke', paths)
      await deeds.submit('lurk', { path: paths[1] })
      const record = await handle.wait()
      assert.deepEqual(history(record), ['retry WORKER_EXITED', 'failed WORKER_EXITED'])
      assert.match(record.error?.message ?? '', /^the worker \w+ ended with code 1 before its handler had settled/)
      await deeds.runner.close()
    })

    it('while nobody is there: it is told, and the next one runs in a new worker', async () => {
      const deeds = new Deeds({ place, concurrency: 1 })
      const told = new Promise((resolve) => deeds.runner.once('error', resolve))
      const worker = await deeds.gives('leaveThrower', 1)
      assert.match(String(await told), /what task/)
      const record = await deeds.done('who')
      assert.deepEqual(history(record), ['succeeded'])
      assert.notEqual(record.output, worker)
      await deeds.runner.close()
    })

    it('throws as its worker is ended, having run all its tasks: each worker is replaced, and nobody else notices', async () => {
      const deeds = new Deeds({ place, concurrency: 1, worker: { maxTasks: 1 } })
      const workers = new Set()
      for (let i = 0; i < 10; i++) {
        const record = await deeds.done('leaveRejection')
        assert.deepEqual(history(record), ['succeeded'])
        workers.add(record.output)
      }
      assert.equal(workers.size, 10)
      await deeds.runner.close()
    })

    it('an endless loop: the next one never begins there, and runs elsewhere; its timeout does not count meanwhile', async () => {
      const deeds = new Deeds({ place, concurrency: 1 })
      const worker = await deeds.gives('leaveSpin', 0)
      if (place === 'process') await eventually(() => isRunning(worker as number))
      await new Promise((resolve) => setTimeout(resolve, 50)) // it spins by now
      const record = await deeds.done('who', undefined, { timeout: 500 })
      assert.deepEqual(history(record), ['succeeded'])
      assert.notEqual(record.output, worker)
      await deeds.runner.close()
    })

    it('a timer that does no harm: the worker is used again', async () => {
      const deeds = new Deeds({ place, concurrency: 1 })
      const worker = await deeds.gives('leaveTimer')
      assert.equal(await deeds.gives('pause', 20), worker)
      assertQuiet(deeds)
      await deeds.runner.close()
    })
  })

  describe(`a handler in a ${place} is asked to stop`, () => {
    const GRACE = 100

    it('one that obeys: by cancel and by timeout, its reason arrives as it is, and the worker goes on', async () => {
      const deeds = new Deeds({ place, concurrency: 1 })
      const { handle, place: worker } = await deeds.begun('obey')
      await handle.cancel({ reason: 'enough' })
      const cancelled = await handle.wait()
      assert.deepEqual([cancelled.state, cancelled.error?.code], ['cancelled', 'TASK_CANCELLED'])
      assert.deepEqual(cancelled.attempts[0]?.error?.details, {
        name: 'TaskCancelledError',
        code: 'TASK_CANCELLED',
        message: 'the task was cancelled: enough',
      })
      const late = await deeds.done('obey', undefined, { timeout: 50 })
      assert.deepEqual(history(late), ['failed TASK_TIMEOUT'])
      assert.equal(late.attempts[0]?.timedOut, true)
      assert.deepEqual(late.error?.details, {
        name: 'TaskTimeoutError',
        code: 'TASK_TIMEOUT',
        message: 'the attempt took longer than its timeout of 50 ms',
      })
      const finished = await deeds.begun('finishAnyway')
      await finished.handle.cancel()
      assert.deepEqual((await finished.handle.wait()).output, 'done all the same')
      assert.equal(await deeds.gives('who'), worker)
      await deeds.runner.close()
    })

    it('at the very moment at which it is called: it still hears of it', async () => {
      const deeds = new Deeds({ place, concurrency: 1, options: { cancelGrace: 20_000 } as never })
      const worker = await deeds.gives('who')
      for (let i = 0; i < 20; i++) {
        const cancelled = new Promise((resolve) =>
          deeds.runner.once('started', ({ id }) => resolve(deeds.runner.cancel(id))),
        )
        const handle = await deeds.submit('obeyAtOnce')
        await cancelled
        assert.equal((await handle.wait()).state, 'cancelled')
      }
      assert.equal(await deeds.gives('who'), worker, 'nobody had to be ended')
      await deeds.runner.close()
    })

    it('at the very moment at which it replies: the reply counts, and the next one hears nothing of it', async () => {
      const deeds = new Deeds({ place, concurrency: 1, options: { cancelGrace: 20_000 } as never })
      const worker = await deeds.gives('who')
      for (let ms = 0; ms < 20; ms++) {
        const first = await deeds.submit('pause', 10)
        const second = await deeds.submit('isAborted', 1)
        await new Promise((resolve) => setTimeout(resolve, ms))
        await first.cancel().catch(({ code }) => assert.equal(code, 'INVALID_STATE'))
        await first.wait()
        assert.equal(await second.result(), false)
      }
      assert.equal(await deeds.gives('who'), worker, 'nobody had to be ended')
      await deeds.runner.close()
    })

    // A process is killed, whatever it does.
    for (const deed of place === 'thread' ? ['spin', 'sleepDead', 'digest', 'ignore'] : ['spin', 'ignore'])
      it(`${deed}: it is ended after the grace, by cancel and by timeout; the next one runs in a new worker`, async () => {
        const attempts = deed === 'spin' ? 2 : 1
        const deeds = new Deeds({ place, concurrency: 1, attempts, options: { cancelGrace: GRACE } as never })
        const { handle, place: worker } = await deeds.begun(deed)
        await handle.cancel({ reason: 'enough' })
        const cancelled = await handle.wait()
        assert.deepEqual([cancelled.state, cancelled.error?.message], ['cancelled', 'the task was cancelled: enough'])
        assert.deepEqual(history(cancelled), ['cancelled TASK_CANCELLED'])
        if (place === 'process')
          assert.equal(isRunning(worker as number), false, 'its slot was free before it was gone')
        const late = await deeds.done(deed, undefined, { timeout: 30 })
        assert.deepEqual(history(late), ['retry TASK_TIMEOUT', 'failed TASK_TIMEOUT'].slice(-attempts))
        assert.ok(late.attempts.every(({ timedOut }) => timedOut))
        assert.notEqual(late.progress, worker)
        assertQuiet(deeds)
        await deeds.runner.close()
      })

    it('a module that never finishes loading: a cancel is heard at once', async () => {
      const deeds = new Deeds({ place, module: 'hangs-at-start.js', options: { cancelGrace: 20_000 } as never })
      const path = folder.path()
      process.env['AT_START'] = path
      const moments = [
        async () => {},
        () => new Promise((resolve) => setTimeout(resolve, 15)), // the worker starts, and cannot be told yet
        () => eventually(() => existsSync(path)),
      ]
      for (const moment of moments) {
        const handle = await deeds.submit('who')
        await new Promise((resolve) => deeds.runner.once('started', resolve))
        await moment()
        await handle.cancel()
        assert.deepEqual(history(await handle.wait()), ['cancelled TASK_CANCELLED'])
      }
      await deeds.runner.close()
    })

    it('a module that spins as it is loaded: its worker is ended after the grace', async () => {
      const deeds = new Deeds({ place, module: 'spins-at-start.js', options: { cancelGrace: GRACE } as never })
      process.env['AT_START'] = folder.path()
      const handle = await deeds.submit('who')
      await eventually(() => existsSync(process.env['AT_START'] ?? ''))
      await handle.cancel()
      assert.deepEqual(history(await handle.wait()), ['cancelled TASK_CANCELLED'])
      await deeds.runner.close()
    })

    it('its timeout counts from the call of the handler, not from the start of the worker', async () => {
      const deeds = new Deeds({ place, module: 'slow-to-start.js', concurrency: 1 })
      const rested = await deeds.done('pause', undefined, { timeout: 500 })
      assert.deepEqual(history(rested), ['succeeded'])
      await deeds.runner.close()
      const runner = new BackgroundRunner({
        tasks: {
          spin: defineTask({
            isolation: place,
            module: new URL('slow-to-start.js', MODULES),
            export: 'spin',
            retry: { attempts: 1 },
            timeout: 100,
          } as never),
        },
        cancelGrace: GRACE,
      } as never) as unknown as BackgroundRunner<never>
      const late = await (await runner.submit('spin' as never, undefined as never)).wait()
      assert.deepEqual(history(late), ['failed TASK_TIMEOUT'])
      await runner.close()
    })
  })

  describe(`a ${place} that cannot start`, () => {
    it('a module that never finishes loading: after a minute its worker is ended', async () => {
      const deeds = new Deeds({ place, module: 'hangs-at-start.js' })
      process.env['AT_START'] = folder.path()
      vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
      try {
        const handle = await deeds.submit('who')
        while (!existsSync(process.env['AT_START'] ?? '')) await new Promise((resolve) => void setImmediate(resolve))
        vi.advanceTimersByTime(60_000)
        const record = await handle.wait()
        assert.deepEqual(history(record), ['failed WORKER_EXITED'])
        assert.match(record.error?.message ?? '', /^the worker \w+ was ended: it did not start within 60000 ms$/)
        await deeds.runner.close()
      } finally {
        vi.useRealTimers()
      }
    })

    for (const [module, code, message] of [
      ['throws-at-start.js', 'MODULE_NOT_LOADED', /throws-at-start\.js cannot be loaded: not today$/],
      ['is-not-there.js', 'MODULE_NOT_LOADED', /is-not-there\.js cannot be loaded: Cannot find module/],
      ['exits-at-start.js', 'WORKER_EXITED', /^the worker \w+ ended with code 4 before it called its handler$/],
      ['hogs-at-start.js', 'WORKER_OUT_OF_MEMORY', /needed more memory than its limit of 16 MB$/],
    ] as const)
      it(`${module}: ${code}, by its policy`, async () => {
        const deeds = new Deeds({ place, module, memory: '16MB' })
        const record = await deeds.done('who')
        assert.deepEqual(history(record), [`failed ${code}`])
        assert.match(record.error?.message ?? '', message)
        assertQuiet(deeds)
        await deeds.runner.close()
      })

    it('a module that could not be loaded at first: the next attempt has a new worker, where it may load', async () => {
      const path = folder.path()
      process.env['AT_START'] = path
      const deeds = new Deeds({ place, module: 'throws-at-first.js', concurrency: 1, attempts: 2 })
      deeds.runner.once('retrying', () => folder.put(path))
      const record = await deeds.done('')
      assert.deepEqual(history(record), ['retry MODULE_NOT_LOADED', 'succeeded'])
      assertQuiet(deeds)
      await deeds.runner.close()
    })

    it('an export that is not there: it is named', async () => {
      const task = { isolation: place, module: new URL('deeds.js', MODULES), export: 'nothing', retry: { attempts: 1 } }
      const runner = new BackgroundRunner({
        tasks: { run: defineTask(task as never) },
      } as never) as unknown as BackgroundRunner<never>
      const record = await (await runner.submit('run' as never, undefined as never)).wait()
      assert.equal(record.error?.code, 'MODULE_NOT_LOADED')
      assert.match(record.error?.message ?? '', /it has no function "nothing" among its exports/)
      await runner.close()
    })

    it('no files left for the pipes of a child: an error by policy, and the next one may start', async () => {
      if (place === 'thread') return // it needs none
      const { spawn } = ChildProcess.prototype as never as Spawning
      // As Node does it. @see https://github.com/nodejs/node/blob/v24.x/lib/internal/child_process.js
      ;(ChildProcess.prototype as never as Spawning).spawn = function (this: ChildProcess) {
        process.nextTick(() => this.emit('error', new Error('spawn EMFILE')))
        return -24
      }
      const deeds = new Deeds({ place })
      const limit = process.stdout.getMaxListeners()
      try {
        const record = await deeds.done('who')
        assert.deepEqual(history(record), ['failed WORKER_EXITED'])
        assert.equal(record.error?.message, 'the worker could not be started: too many open files')
        assert.equal(process.stdout.getMaxListeners(), limit)
      } finally {
        ;(ChildProcess.prototype as never as Spawning).spawn = spawn
      }
      assert.equal(typeof (await deeds.gives('who')), 'number')
      assertQuiet(deeds)
      await deeds.runner.close()
    })

    it('the least memory that may be given is enough to run', async () => {
      const deeds = new Deeds({ place, memory: '16MB' })
      assert.equal(typeof (await deeds.gives('who')), 'number')
      await deeds.runner.close()
    })
  })
}
