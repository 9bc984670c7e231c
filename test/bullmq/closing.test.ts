/** Closing while the server is there, is gone, or does not answer; and what becomes of what is handed back. */
import assert from 'node:assert/strict'
import type { StopReport } from 'background-runner'
import { afterAll, afterEach, beforeAll, it } from 'vitest'
import { type Process, World } from '../sqlite/support/process.js'
import { type OwnServer, type ServerKind, serverKinds } from '../support/servers.js'
import { TcpProxy } from '../support/tcp-proxy.js'

const SLOW = 30_000

for (const kind of serverKinds()) kind.describe(`close on ${kind.name}`, () => suite(kind))

function suite({ start }: ServerKind): void {
  const world = new World()
  let server: OwnServer
  const proxies: TcpProxy[] = []
  let lastPath = ''
  let names = 0
  beforeAll(async () => {
    server = await start()
  })
  afterEach(async () => {
    for (const proxy of proxies.splice(0)) await proxy.end()
  })
  afterAll(async () => {
    await world.end()
    await server.end()
  })

  async function process(settings: { work?: boolean; offline?: 'wait' } = {}): Promise<Process> {
    const proxy = await TcpProxy.start(server.port)
    proxies.push(proxy)
    lastPath = `${proxy.insteadOf(server.url)}#closing#${++names}`
    return world.process({ path: lastPath, ...settings })
  }

  /** It closes by itself, and ends by itself. */
  async function closes(working: Process, drain = false): Promise<StopReport> {
    const report = await working.ask<StopReport>('close', { deadline: 100, drain })
    await working.ask('leave')
    await working.ended()
    assert.equal(working.exitCode, 0)
    return report
  }

  for (const [how, away] of [
    ['connections are refused', (proxy: TcpProxy) => proxy.refuse()],
    ['connections are frozen', (proxy: TcpProxy) => proxy.freeze()],
    ['connections are dead', (proxy: TcpProxy) => proxy.forget()],
  ] as const) {
    it(
      `with running handlers while ${how}: within its deadline, and the process ends by itself`,
      async () => {
        const working = await process()
        const id = await working.submit('hold')
        const deaf = await working.submit('deaf')
        await working.tells('called', id)
        await working.tells('called', deaf)
        for (const proxy of proxies) away(proxy)
        const { abandoned } = await closes(working)
        assert.ok(abandoned >= 1, `${abandoned} abandoned`)
      },
      SLOW,
    )

    it(
      `with nothing to do, one who only submits, and one that waits for the server, while ${how}`,
      async () => {
        const idle = await Promise.all([process(), process({ work: false }), process({ offline: 'wait' })])
        const patient = idle[2]
        for (const proxy of proxies) away(proxy)
        patient.ask('submits', 1, 'return', {}).catch(() => {}) // which keeps it no longer either
        await Promise.all(idle.map((each) => closes(each, each === patient)))
      },
      SLOW,
    )
  }

  it(
    'after the server was killed',
    async () => {
      const working = await process()
      const id = await working.submit('hold')
      await working.tells('called', id)
      await server.kill()
      await closes(working)
      await server.start()
    },
    SLOW,
  )

  it(
    'what it hands back starts elsewhere at once, and has used no attempt',
    async () => {
      const working = await process()
      const id = await working.submit('hold', { retry: { attempts: 1 } })
      await working.tells('called', id)
      const other = await world.process({ path: lastPath })
      const { returned } = await closes(working)
      assert.equal(returned, 1)
      const { attempt } = await other.tells('called', id)
      assert.equal(attempt, 2)
      await other.ask('release', id, 'done')
      const { state, attempts } = await other.ask('wait', id)
      assert.deepEqual([state, attempts.map(({ outcome }) => outcome)], ['succeeded', ['released', 'succeeded']])
    },
    SLOW,
  )
}
