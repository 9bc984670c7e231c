/** The server goes away and comes back, and connections to it are cut or freeze, while tasks are submitted and run. */
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  BackgroundRunner,
  defineTask,
  type Engine,
  type TaskDefinition,
  type TaskHandle,
  type TaskRecord,
} from 'background-runner'
import { type BullmqOptions, bullmq } from 'background-runner/bullmq'
import { afterAll, afterEach, beforeAll, it } from 'vitest'
import { Random } from '../sqlite/support/random.js'
import { type OwnServer, type ServerKind, serverKinds } from '../support/servers.js'
import { TcpProxy } from '../support/tcp-proxy.js'

type Tasks = { readonly work: TaskDefinition<number, string> }

const SLOW = 30_000
const SEED = Number(process.env['SEED'] ?? Math.floor(Math.random() * 1_000_000))

for (const kind of serverKinds()) kind.describe(`while ${kind.name} is there and is not`, () => suite(kind))

function suite({ start, cutSome }: ServerKind): void {
  let server: OwnServer
  const closers: (() => unknown)[] = []
  let names = 0
  let name = ''

  beforeAll(async () => {
    server = await start()
  })
  afterEach(async () => {
    for (const close of closers.splice(0).reverse()) await close()
  })
  afterAll(() => server.end())

  const engine = (options: Partial<BullmqOptions> = {}): Engine =>
    bullmq({ connection: server.url, prefix: 'connections', name, lease: 1_000, ...options })

  async function proxied(): Promise<TcpProxy> {
    const proxy = await TcpProxy.start(server.port)
    closers.push(() => proxy.end())
    return proxy
  }

  /** What a load of tasks has come to. */
  class Load {
    readonly faults: unknown[] = []
    readonly runs: Map<string, number> = new Map()
    readonly submitted: string[] = []
    readonly producer: BackgroundRunner<Tasks>
    readonly worker: BackgroundRunner<Tasks>
    #on = true
    #producing: Promise<void> | undefined

    constructor(producing: Engine, working: Engine) {
      const tasks = {
        work: defineTask({
          retry: { attempts: 1 },
          run: async (input: number, { id }): Promise<string> => {
            this.runs.set(id, (this.runs.get(id) ?? 0) + 1)
            await sleep(input)
            return `done ${id}`
          },
        }),
      }
      this.producer = new BackgroundRunner({ tasks, engine: producing, work: false })
      this.worker = new BackgroundRunner({ tasks, engine: working, concurrency: 10 })
      for (const runner of [this.producer, this.worker]) {
        runner.on('error', (error) => this.faults.push(error))
        closers.push(() => runner.close({ deadline: 0 }))
      }
    }

    async begin(): Promise<void> {
      await Promise.all([this.producer.ready(), this.worker.ready()])
      this.#producing = this.#produce()
    }

    async #produce(): Promise<void> {
      while (this.#on) {
        try {
          this.submitted.push((await this.producer.submit('work', 5)).id)
        } catch (error) {
          assert.equal((error as { code?: string }).code, 'ENGINE_ERROR', String(error))
        }
        await sleep(2)
      }
    }

    /** Resolves when one that is submitted from now on has run. */
    async goesOn(): Promise<void> {
      await this.producer.wait((await persistently(() => this.producer.submit('work', 0))).id)
    }

    /** Ends the load: all of it has to have reached its end. */
    async end(): Promise<readonly TaskRecord[]> {
      this.#on = false
      await this.#producing
      const records = await Promise.all(this.submitted.map((id) => persistently(() => this.producer.wait(id))))
      for (const { id, state, output } of records)
        assert.deepEqual([id, state, output], [id, 'succeeded', `done ${id}`])
      for (const fault of this.faults) assert.equal((fault as { code?: string }).code, 'ENGINE_ERROR', String(fault))
      return records
    }

    get ranTwice(): number {
      return [...this.runs.values()].filter((n) => n > 1).length
    }
  }

  /** Until it is not refused for want of a server. */
  async function persistently<Value>(work: () => Promise<Value>): Promise<Value> {
    for (;;) {
      try {
        return await work()
      } catch (error) {
        if ((error as { code?: string }).code !== 'ENGINE_ERROR') throw error
        await sleep(20)
      }
    }
  }

  const fresh = (): void => {
    name = String(++names)
  }

  it(
    'a server that is killed and started again keeps what it has acknowledged, and work goes on by itself',
    async () => {
      fresh()
      const load = new Load(engine(), engine())
      await load.begin()
      for (let kills = 0; kills < 2; kills++) {
        await load.goesOn()
        await server.kill()
        await sleep(200)
        await server.start()
      }
      await load.goesOn()
      await load.end()
      assert.ok(load.submitted.length > 0)
    },
    SLOW,
  )

  it(
    'connections that are cut at random, by the server and on the way',
    async () => {
      fresh()
      const random = new Random(SEED)
      const proxy = await proxied()
      const through = { connection: proxy.insteadOf(server.url), lease: 15_000 }
      const load = new Load(engine(through), engine(through))
      await load.begin()
      for (let cuts = 0; cuts < 40; cuts++) {
        await sleep(random.below(60))
        if (random.next() < 0.3) await cutSome(server, () => random.next())
        else proxy.cut(() => random.next() < 0.4)
      }
      await load.goesOn()
      const records = await load.end()
      const outcomes = records.flatMap(({ attempts }) => attempts.map(({ outcome }) => outcome))
      const seen = `SEED=${SEED} repeats it`
      assert.deepEqual([new Set(outcomes), load.ranTwice], [new Set(['succeeded']), 0], seen) // nobody has died
      assert.ok(load.submitted.length > 0)
    },
    SLOW,
  )

  it(
    'connections that freeze and thaw',
    async () => {
      fresh()
      const proxy = await proxied()
      const through = { connection: proxy.insteadOf(server.url) }
      const load = new Load(engine(through), engine(through))
      await load.begin()
      await load.goesOn()
      proxy.freeze()
      await sleep(1_500) // longer than the lease
      proxy.thaw()
      await load.goesOn()
      await load.end()
    },
    SLOW,
  )

  it(
    'what one runs whose connection has frozen is taken over, and its late result is not',
    async () => {
      fresh()
      const proxy = await proxied()
      const results: string[] = []
      let release = (): void => {}
      const tasks = (name: string) => ({
        work: defineTask({
          run: async (_input: null, { attempt, signal }): Promise<string> => {
            if (attempt === 1)
              await new Promise<void>((resolve) => {
                release = resolve
                signal.addEventListener('abort', () => results.push(`${name} told`))
              })
            return name
          },
        }),
      })
      const frozen = new BackgroundRunner({
        tasks: tasks('frozen'),
        engine: engine({ connection: proxy.insteadOf(server.url) }),
      })
      frozen.on('error', () => {})
      closers.push(() => frozen.close({ deadline: 0 }))
      const started = new Promise<void>((resolve) => frozen.once('started', () => resolve()))
      const { id } = await frozen.submit('work', null)
      await started
      const other = new BackgroundRunner({ tasks: tasks('other'), engine: engine() })
      closers.push(() => other.close({ deadline: 0 }))
      await other.ready()
      proxy.freeze()
      const record = await other.wait(id)
      assert.deepEqual(
        [record.output, record.attempts.map(({ outcome }) => outcome)],
        ['other', ['crashed', 'succeeded']],
      )
      release()
      proxy.thaw()
      await persistently(() => frozen.counts())
      assert.equal((await other.status(id))?.output, 'other')
    },
    SLOW,
  )

  it(
    'connections of which nobody hears any more, and nobody is told, are given up for new ones',
    async () => {
      fresh()
      const proxy = await proxied()
      const through = { connection: proxy.insteadOf(server.url), lease: 15_000 }
      const load = new Load(engine(through), engine(through))
      await load.begin()
      await load.goesOn()
      const idle = new BackgroundRunner({ tasks: {}, engine: engine(through), work: false })
      closers.push(() => idle.close({ deadline: 0 }))
      await idle.ready()
      const found = new Promise((resolve) => idle.on('error', resolve)) // though it is asked for nothing
      const { id } = await load.producer.submit('work', 300)
      const waited = persistently(() => load.producer.wait(id)) // told on a connection that is silent by nature
      proxy.forget()
      await load.goesOn()
      assert.equal((await waited).output, `done ${id}`)
      await load.end()
      await found
    },
    2 * SLOW,
  )

  it(
    'a verb rejects while connections are refused or frozen, and waits with offline: wait',
    async () => {
      fresh()
      const proxy = await proxied()
      const tasks = { work: defineTask({ run: (): string => 'done' }) }
      const failing = new BackgroundRunner({
        tasks,
        engine: engine({ connection: proxy.insteadOf(server.url) }),
        work: false,
      })
      const waiting = new BackgroundRunner({
        tasks,
        engine: engine({ connection: proxy.insteadOf(server.url), offline: 'wait' }),
      })
      for (const runner of [failing, waiting]) {
        runner.on('error', () => {})
        await runner.ready()
        closers.push(() => runner.close({ deadline: 0 }))
      }
      proxy.refuse()
      await assert.rejects(failing.submit('work'), { code: 'ENGINE_ERROR' })
      const patient = waiting.submit('work')
      await proxy.accept()
      assert.equal((await waiting.wait((await patient).id)).output, 'done')
      await persistently(() => failing.submit('work'))
      proxy.freeze()
      const frozen = waiting.submit('work')
      const began = performance.now()
      const asked = [failing.submit('work'), failing.status('any'), failing.list(), failing.submit('work')]
      await Promise.all(asked.map((each) => assert.rejects(each, { code: 'ENGINE_ERROR' })))
      const ms = performance.now() - began
      assert.ok(ms < 9_000, `${ms} ms, where each is over within 5 s, also behind others`)
      proxy.thaw()
      assert.equal((await waiting.wait((await frozen).id)).output, 'done')
    },
    SLOW,
  )

  it(
    'submitMany that is cut stores all or nothing, and what was sent again is there once',
    async () => {
      fresh()
      const proxy = await proxied()
      const tasks = { work: defineTask({ run: (_input: number): void => {} }) }
      const runner = new BackgroundRunner({
        tasks,
        engine: engine({ connection: proxy.insteadOf(server.url) }),
        work: false,
      })
      runner.on('error', () => {})
      closers.push(() => runner.close({ deadline: 0 }))
      await runner.ready()
      const inputs = Array.from({ length: 2_000 }, (_, n) => n)
      let stored = 0
      for (const cut of [() => proxy.cutAfter(50_000), () => proxy.cutAfter(200_000), () => proxy.cutAnswer()]) {
        cut()
        const done = await runner.submitMany('work', inputs).then(
          () => true,
          (error) => (error as { code?: string }).code,
        )
        const { queued } = await persistently(() => runner.counts())
        assert.ok(done === true || done === 'ENGINE_ERROR', String(done))
        assert.ok(
          queued === stored + 2_000 || (done !== true && queued === stored),
          `${queued} after ${stored}: ${done}`,
        )
        stored = queued
        assert.equal((await list(runner)).length, stored)
      }
    },
    SLOW,
  )

  async function list(runner: { list: BackgroundRunner['list'] }): Promise<readonly TaskRecord[]> {
    const all: TaskRecord[] = []
    for (let cursor: string | undefined; ; ) {
      const page = await runner.list({ limit: 1_000, ...(cursor !== undefined && { cursor }) })
      all.push(...page.tasks)
      if (page.next === undefined) return all
      cursor = page.next
    }
  }

  it(
    'while it is away nobody is busy, and nothing is left that asks when it is back',
    async () => {
      fresh()
      const proxy = await proxied()
      const tasks = { work: defineTask({ run: (): string => 'done' }) }
      const runner = new BackgroundRunner({ tasks, engine: engine({ connection: proxy.insteadOf(server.url) }) })
      let faults = 0
      runner.on('error', () => faults++)
      closers.push(() => runner.close({ deadline: 0 }))
      await runner.submit('work').then((task: TaskHandle) => task.wait())
      proxy.refuse()
      await sleep(1_500)
      assert.ok(faults > 0 && faults < 50, `${faults} faults`)
      await proxy.accept()
      await persistently(() => runner.submit('work').then((task: TaskHandle) => task.wait()))
      let more = Number.POSITIVE_INFINITY
      for (let looks = 0; more >= 10 && looks < 10; looks++) {
        const before = proxy.sent // connections may still be being made
        await sleep(500)
        more = proxy.sent - before
      }
      assert.ok(more < 10, `${more} questions while there is nothing to do`)
    },
    SLOW,
  )
}
