/** As core.ts, over HTTP: the API and the dashboard of the installed package. And where hono and zod are not installed. */
import { equal, match, rejects } from 'node:assert/strict'
import { BackgroundRunner, defineTask } from 'background-runner'
import { createHandler } from 'background-runner/http'

const open = () =>
  new BackgroundRunner({ tasks: { greet: defineTask({ run: async (name: string) => `Hello ${name}` }) } })

export async function run(): Promise<void> {
  const runner = open()
  const handler = createHandler(runner, { authorize: () => ['read', 'submit'], submit: ['greet'] })
  const headers = { 'content-type': 'application/json', 'sec-fetch-site': 'same-origin' }
  const answer = await handler(new Request('http://x/tasks/greet', { method: 'POST', headers, body: '"Ada"' }))
  equal(answer.status, 202)
  const { id } = (await answer.json()) as { id: string }
  const record = await handler(new Request(`http://x/tasks/${id}?wait=10s`))
  equal(((await record.json()) as { output?: unknown }).output, 'Hello Ada')
  const page = await (await handler(new Request('http://x/'))).text()
  const [, script = ''] = /src="(assets\/[^"]+\.js)"/.exec(page) ?? []
  const asset = await handler(new Request(`http://x/${script}`))
  equal(asset.status, 200)
  match(asset.headers.get('content-type') ?? '', /javascript/)
  await runner.close()
}

export async function runWithoutPeers(): Promise<void> {
  const runner = open()
  const faults: unknown[] = []
  runner.on('error', (error) => faults.push(error))
  const handler = createHandler(runner, { authorize: () => ['read'] })
  await rejects(handler(new Request('http://x/counts')), {
    code: 'MISSING_DEPENDENCY',
    message: /npm install (hono|zod)/,
  })
  equal((faults[0] as { code?: string }).code, 'MISSING_DEPENDENCY')
  await runner.close()
}
