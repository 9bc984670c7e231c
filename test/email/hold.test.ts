import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { BackgroundRunner } from 'background-runner'
import { type EmailTaskOptions, emailTask } from 'background-runner/email'
import { sqlite } from 'background-runner/sqlite'
import { createTestRunner, type TestRunner } from 'background-runner/testing'
import { describe, expect, it, onTestFinished } from 'vitest'
import { VirtualClock } from '../../src/testing/virtual-clock.js'
import { FROM, HELLO, smtpServer } from '../support/email.js'
import { DROP, type SmtpServer } from '../support/smtp-server.js'

/** A real server, and virtual time: nobody waits 5 s for a hold to end. */
function sickWorld(server: SmtpServer, options?: Partial<EmailTaskOptions>) {
  const email = emailTask({
    transport: server.url,
    from: FROM,
    retry: { backoff: { type: 'fixed', delay: 1 } },
    ...options,
  })
  const test = createTestRunner({ tasks: { email } })
  onTestFinished(async () => void (await test.runner.close()))
  const told: unknown[] = []
  test.runner.on('held', ({ name, until, error }) => told.push(['held', name, until - test.clock.now(), error.code]))
  test.runner.on('unheld', ({ name }) => told.push(['unheld', name]))
  return { ...test, told }
}

async function states({ runner }: Pick<TestRunner<{ email: ReturnType<typeof emailTask> }>, 'runner'>) {
  const { tasks } = await runner.list()
  return tasks.map(({ state, attempt, maxAttempts }) => `${state}, ${maxAttempts - attempt} left`)
}

describe('a sick transport', () => {
  it('whose login fails holds all mail, sends one ahead, and burns no attempt', async () => {
    const server = await smtpServer({ login: { user: 'app', pass: 'right' } })
    let wrong = 4
    server.hooks.auth = () => (wrong-- > 0 ? '535 5.7.8 no' : undefined)
    const world = sickWorld(server, { concurrency: 1 })
    await world.runner.submitMany('email', [HELLO, HELLO, HELLO])
    await world.clock.advance(0)
    expect(world.told).toEqual([['held', 'email', 5_000, '535']])
    expect(await world.runner.holds()).toMatchObject([{ name: 'email', error: { code: '535' } }])
    expect(await states(world)).toEqual(['queued, 100 left', 'queued, 100 left', 'scheduled, 100 left'])
    await world.clock.advance('4s')
    expect(server.connections.total).toBe(1)
    await world.clock.advance('1s')
    await world.clock.advance('10s')
    await world.clock.advance('20s')
    expect(world.told.slice(1)).toEqual([
      ['held', 'email', 10_000, '535'],
      ['held', 'email', 20_000, '535'],
      ['held', 'email', 40_000, '535'],
    ])
    expect(server.deliveries).toHaveLength(0)
    await world.clock.advance('40s')
    expect(world.told.slice(4)).toEqual([['unheld', 'email']])
    expect(await world.runner.holds()).toEqual([])
    expect(server.deliveries).toHaveLength(3)
    expect(await states(world)).toEqual(['succeeded, 99 left', 'succeeded, 99 left', 'succeeded, 99 left'])
  })

  it('that does not answer is down after three attempts in a row', async () => {
    const server = await smtpServer({ greeting: () => DROP })
    const world = sickWorld(server, { concurrency: 1 })
    await world.runner.submitMany('email', [HELLO, HELLO, HELLO, HELLO])
    await world.clock.advance(0)
    expect(server.connections.total).toBe(3)
    expect(world.told).toEqual([['held', 'email', 5_000, 'ECONNECTION']])
    delete server.hooks.greeting
    await world.clock.advance('6s')
    expect(world.told.slice(1)).toEqual([['unheld', 'email']])
    expect(server.deliveries).toHaveLength(4)
  })

  it('that greets and then goes is not down, however often', async () => {
    const server = await smtpServer({ mail: () => DROP })
    const world = sickWorld(server, { concurrency: 1 })
    await world.runner.submitMany('email', [HELLO, HELLO, HELLO, HELLO])
    await world.clock.advance(0)
    expect(server.connections.total).toBeGreaterThanOrEqual(4)
    expect(world.told).toEqual([])
  })

  it('that does not answer to a probe is no better for it, whatever it was held for', async () => {
    const server = await smtpServer({ login: { user: 'app', pass: 'right' }, auth: () => '535 5.7.8 no' })
    const world = sickWorld(server, { concurrency: 1 })
    await world.runner.submitMany('email', [HELLO, HELLO])
    await world.clock.advance(0)
    server.hooks.greeting = () => DROP
    await world.clock.advance('5s')
    expect(world.told).toEqual([
      ['held', 'email', 5_000, '535'],
      ['held', 'email', 10_000, 'ECONNECTION'],
    ])
    expect(await states(world)).toEqual(['scheduled, 100 left', 'queued, 100 left'])
    expect(server.connections.total).toBe(2)
  })

  it('that is down is not found out anew by a process that did not see it go', async () => {
    const server = await smtpServer({ greeting: () => DROP })
    const path = join(await mkdtemp(join(tmpdir(), 'mail-')), 'tasks.db')
    const clock = new VirtualClock()
    const told: unknown[] = []
    // Its own definition, as another process has its own.
    const work = () => {
      const email = emailTask({
        transport: server.url,
        from: FROM,
        concurrency: 1,
        retry: { backoff: { type: 'fixed', delay: 1 } },
      })
      const runner = new BackgroundRunner({ clock, engine: sqlite({ path }), tasks: { email } })
      onTestFinished(async () => void (await runner.close({ deadline: 0 })))
      runner.on('unheld', () => told.push('unheld'))
      return runner
    }
    const first = work()
    const held = (runner: ReturnType<typeof work>) =>
      new Promise<void>((resolve) => runner.once('held', () => resolve()))
    const down = held(first)
    await first.submitMany('email', [HELLO, HELLO, HELLO])
    await down
    await first.close({ deadline: 0 })
    const second = work()
    await second.ready()
    const stillDown = held(second)
    clock.advance(5_000)
    await stillDown
    expect(server.connections.total).toBe(4)
    expect(told).toEqual([])
    const { tasks } = await second.list()
    expect(tasks.map(({ attempt, maxAttempts }) => maxAttempts - attempt).sort((a, b) => a - b)).toEqual([99, 99, 100])
  })

  it('holds no other task', async () => {
    const server = await smtpServer({ greeting: () => '554 no' })
    const good = await smtpServer()
    const one = (from: SmtpServer) => emailTask({ transport: from.url, from: FROM, concurrency: 1 })
    const { runner, clock } = createTestRunner({ tasks: { sick: one(server), well: one(good) } })
    onTestFinished(async () => void (await runner.close()))
    await runner.submitMany('sick', [HELLO, HELLO, HELLO])
    await runner.submitMany('well', [HELLO, HELLO])
    await clock.advance(0)
    expect(await runner.holds()).toMatchObject([{ name: 'sick' }])
    expect(good.deliveries).toHaveLength(2)
  })

  it('does not outlive the age that a mail may have', async () => {
    const server = await smtpServer({ login: { user: 'app', pass: 'right' }, auth: () => '535 5.7.8 no' })
    const world = sickWorld(server, { concurrency: 1, retry: { maxAge: '1m' } })
    await world.runner.submit('email', HELLO)
    await world.clock.advance('2m')
    const { tasks } = await world.runner.list()
    expect(tasks).toMatchObject([
      {
        state: 'failed',
        error: { code: '535', details: { recipients: { 'ada@example.com': { status: 'failed', code: '535' } } } },
      },
    ])
    // The transport is no better for it.
    expect(await world.runner.holds()).toMatchObject([{ name: 'email' }])
  })

  it.each([
    ['fail', { state: 'failed', error: { code: 'PARTIALLY_SENT' } }],
    ['succeed', { state: 'succeeded', output: { complete: false } }],
  ] as const)(
    'that keeps the rest from those who have it not: onPartial %j decides in the end',
    async (onPartial, end) => {
      let locked = false
      const server = await smtpServer({
        login: { user: 'app', pass: 'right' },
        rcpt: ({ address }) => (address.startsWith('bob') ? '450 4.2.1 later' : undefined),
        auth: () => (locked ? '535 5.7.8 no' : undefined),
        end: () => {
          locked = true
          return undefined
        },
        mail: () => (locked ? DROP : undefined),
      })
      const world = sickWorld(server, { concurrency: 1, retry: { maxAge: '1m' }, onPartial })
      await world.runner.submit('email', { ...HELLO, cc: 'bob@example.com' })
      await world.clock.advance('5m')
      const { tasks } = await world.runner.list()
      expect(tasks).toMatchObject([end])
      expect(server.deliveries.map(({ to }) => to)).toEqual([['ada@example.com']])
    },
  )
})
