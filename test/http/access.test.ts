/** Who calls, and where: what the app says of it, and what a stranger's header does. */
import { runInNewContext } from 'node:vm'
import { BackgroundRunner } from 'background-runner'
import { type Authorize, accessToken, createHandler, type Handler } from 'background-runner/http'
import { describe, expect, it, onTestFinished } from 'vitest'

it('reads a header of a stranger in one pass, however it is written', () => {
  const authorize = accessToken('s3cret')
  // Tried again from each of its spaces it would take hours.
  const authorization = `Bearer a${' '.repeat(2_000_000)}a`
  expect(authorize(new Request('http://x', { headers: { authorization } }))).toBeUndefined()
  expect(authorize(new Request('http://x', { headers: { authorization: 'bearer  s3cret ' } }))).toEqual([
    'read',
    'submit',
    'manage',
  ])
})

describe('authorize', () => {
  const GET = new Request('http://x/counts')
  function made(authorize: Authorize): { handler: Handler; runner: BackgroundRunner } {
    const runner = new BackgroundRunner({ tasks: {} }) as unknown as BackgroundRunner
    onTestFinished(async () => {
      await runner.close({ deadline: 0 })
    })
    return { runner, handler: createHandler(runner, { authorize }) }
  }

  it('may answer with a promise of another realm', async () => {
    const { handler } = made(() => runInNewContext('Promise.resolve(["read"])'))
    expect((await handler(GET)).status).toBe(200)
    const { handler: closed } = made(() => runInNewContext('Promise.reject(new Error("no session"))'))
    expect((await closed(GET)).status).toBe(403)
  })

  it('that throws opens nothing, and the app hears of it even if it does not listen', async () => {
    const { handler, runner } = made(() => {
      throw new Error('no session store')
    })
    const warnings: Error[] = []
    const hear = (warning: Error): unknown => warnings.push(warning)
    process.on('warning', hear)
    onTestFinished(() => void process.off('warning', hear))
    const answer = await handler(GET)
    expect(answer.status).toBe(403)
    expect(await answer.text()).not.toContain('session store')
    await expect
      .poll(() => warnings.map(({ name, message }) => [name, message]))
      .toContainEqual(['BackgroundRunnerWarning', 'no session store'])
    const heard: unknown[] = []
    runner.on('error', (error) => heard.push(error))
    await handler(GET)
    expect(heard).toMatchObject([{ message: 'no session store' }])
  })
})

it('a base path is meant as a browser sends it', async () => {
  const runner = new BackgroundRunner({ tasks: {} })
  onTestFinished(async () => {
    await runner.close({ deadline: 0 })
  })
  for (const basePath of ['/büro/tasks', '/a b'.replace(' ', '%20'), '/x/', '//x', '/']) {
    const handler = createHandler(runner, { authorize: () => ['read'], basePath })
    const { href, pathname } = new URL(`http://x${basePath.replace(/\/$/, '')}/counts`)
    const incoming = { url: pathname }
    expect([(await handler(new Request(href), { incoming })).status, basePath]).toEqual([200, basePath])
  }
  // Asked for as a proxy is, by its whole address: below the base it is found, elsewhere it is not.
  const handler = createHandler(runner, { authorize: () => ['read'], basePath: '/tasks' })
  for (const [path, status] of [
    ['/tasks/counts', 200],
    ['/counts', 404],
  ] as const) {
    const url = `http://x${path}`
    expect([(await handler(new Request(url), { incoming: { url } })).status, path]).toEqual([status, path])
  }
})
