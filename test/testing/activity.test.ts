import assert from 'node:assert/strict'
import { AsyncResource } from 'node:async_hooks'
import { randomBytes, scrypt, scryptSync } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { Agent, get, createServer as serveHttp } from 'node:http'
import { connect, createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { gzip, gzipSync } from 'node:zlib'
import { describe, it } from 'vitest'
import { Activity } from '../../src/testing/activity.js'

const me = { name: 'me' }
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** All that a body was seen to wait for while it ran. */
async function seen(body: () => Promise<unknown>): Promise<Set<string>> {
  const activity = new Activity<object>(100)
  const types = new Set<string>()
  let over = false
  const running = activity.within(me, body).finally(() => {
    over = true
  })
  for (; !over; await turn()) for (const type of activity.pending(me)) types.add(type)
  await running
  assert.deepEqual(activity.pending(me), [], 'nothing is left when it has ended')
  types.delete('an answer')
  return types
}

/** What a body that hangs waits for in the end. */
async function hanging(body: () => unknown): Promise<readonly string[]> {
  const activity = new Activity<object>(100)
  let end = (): void => {}
  const running = activity.within(me, async () => {
    await body()
    await new Promise<void>((resolve) => {
      end = resolve
    })
  })
  // The silence is real time, and a busy machine speaks late: what it was believed to wait for has to be over.
  let pending: readonly string[]
  do {
    await sleep(130)
    pending = activity.pending(me)
  } while (pending.includes('an answer'))
  end()
  await running
  return pending
}

describe('what is at work', () => {
  const kinds: readonly [string, () => Promise<unknown>, string][] = [
    ['a timer', () => sleep(5), 'Timeout'],
    ['the next turn', turn, 'Immediate'],
    ['a file', () => readFile(import.meta.filename), 'FSREQ'],
    ['a hash', () => promisify(scrypt)('secret', 'salt', 64), 'SCRYPTREQUEST'],
    ['compression', () => promisify(gzip)(randomBytes(1_000_000)), 'ZLIB'],
  ]
  for (const [what, body, type] of kinds)
    it(`is seen: ${what}`, async () => {
      const types = await seen(body)
      // Node 26 names a file's requests otherwise than those before it: FSREQCALLBACK, FSREQPROMISE.
      assert.ok(
        [...types].some((each) => each.startsWith(type)),
        [...types].join(),
      )
    })

  it('is seen: a socket, as long as it is open', async () => {
    const server = createServer().listen(0)
    const { port } = server.address() as { readonly port: number }
    const sockets: ReturnType<typeof connect>[] = []
    const open = await hanging(() => sockets.push(connect(port)))
    assert.deepEqual(open, ['TCPWRAP'])
    const idle = await hanging(() => sockets.push(connect(port).unref()))
    assert.deepEqual(idle, [], 'one that would not keep a process alive is not waited for')
    for (const socket of sockets) socket.destroy()
    server.close()
  })

  it('is seen: a request on a connection that is open already, until it is over', async () => {
    const server = serveHttp((_, response) => setTimeout(() => response.end('text'), 20)).listen(0)
    const { port } = server.address() as { readonly port: number }
    const url = `http://127.0.0.1:${port}`
    const agent = new Agent({ keepAlive: true })
    const fetched = (): Promise<string> => fetch(url).then((response) => response.text())
    const got = (): Promise<void> =>
      new Promise((resolve) => void get(url, { agent }, (response) => response.resume().on('end', resolve)))
    for (const ask of [fetched, got]) {
      await ask()
      await turn()
      assert.ok((await seen(ask)).has('a request'))
      assert.deepEqual(await hanging(ask), [])
    }
    const aborted = await hanging(() => fetch(url, { signal: AbortSignal.timeout(5) }).catch(() => {}))
    assert.deepEqual(aborted, [])
    agent.destroy()
    server.close()
    server.closeAllConnections()
  })

  it('is not what was done at once, what is over, or what only carries a context', async () => {
    const nothing = await hanging(async () => {
      randomBytes(16)
      scryptSync('secret', 'salt', 16)
      gzipSync('text')
      await promisify(gzip)('text')
      await sleep(1)
      await readFile(import.meta.filename)
      setTimeout(() => {}, 60_000).unref()
      AsyncResource.bind(() => {})
    })
    assert.deepEqual(nothing, [])
  })

  it('is told apart by who began it', async () => {
    const activity = new Activity<object>(100)
    const you = { name: 'you' }
    const mine = activity.within(me, () => sleep(20))
    let end = (): void => {}
    const yours = activity.within(you, () => new Promise<void>((resolve) => (end = resolve)))
    const outside = setTimeout(() => {}, 60_000)
    assert.deepEqual([activity.pending(me), activity.pending(you)], [['Timeout'], []])
    clearTimeout(outside)
    end()
    await Promise.all([mine, yours])
    assert.equal(activity.current, undefined)
  })
})
