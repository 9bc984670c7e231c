/** The OpenAPI document says what the routes do, and what they answer is as it says. */
import { BackgroundRunner, defineTask, NonRetryableError } from 'background-runner'
import { createHandler } from 'background-runner/http'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { z } from 'zod'
import { explanation, problem, record, schedule, summary } from '../../src/http/schemas.js'

const runner = new BackgroundRunner({
  tasks: {
    note: defineTask({ run: async (input: unknown) => input as never }),
    fails: defineTask({
      retry: { attempts: 1 },
      run: async () => {
        throw new NonRetryableError('no', { code: '550', details: { a: 1 }, cause: new Error('why') })
      },
    }),
  },
})
const handler = createHandler(runner, { authorize: () => ['read', 'submit', 'manage'], submit: ['note'] })
const read = async (path: string): Promise<unknown> => (await handler(new Request(`http://x${path}`))).json()

beforeAll(async () => {
  await runner.submit('note', { a: 1 }, { id: 'done', key: 'k', tags: ['t'], metadata: { m: 1 } })
  await runner.submit('fails', undefined, { id: 'failed' })
  await runner.submit('note', null, { id: 'later', delay: '1h' })
  await runner.schedule('nightly', { task: 'note', cron: '0 3 * * *', input: 1 })
  await Promise.all([runner.wait('done'), runner.wait('failed')])
})
afterAll(() => runner.close({ deadline: 0, drain: false }))

interface Document {
  readonly openapi: string
  readonly paths: Record<
    string,
    Record<
      string,
      { operationId: string; parameters?: { name: string; in: string }[]; responses: Record<string, unknown> }
    >
  >
  readonly components: { readonly schemas: Record<string, unknown> }
}

it('is whole: each parameter of a path is told, each reference leads somewhere, each operation has a name of its own', async () => {
  const document = (await read('/openapi.json')) as Document
  expect(document.openapi).toBe('3.1.0')
  const operations = Object.values(document.paths).flatMap((path) => Object.values(path))
  expect(new Set(operations.map(({ operationId }) => operationId)).size).toBe(operations.length)
  for (const [path, methods] of Object.entries(document.paths)) {
    const named = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name)
    for (const { parameters = [], responses } of Object.values(methods)) {
      expect(parameters.filter((each) => each.in === 'path').map(({ name }) => name)).toEqual(named)
      expect(responses).toHaveProperty('403')
    }
  }
  const references = [...JSON.stringify(document).matchAll(/"\$ref":"#\/components\/schemas\/(\w+)"/g)].map(
    ([, name]) => name,
  )
  expect(references.length).toBeGreaterThan(20)
  for (const name of references) expect(document.components.schemas).toHaveProperty([name as string])
  expect(Object.keys(document.paths)).toEqual(
    expect.arrayContaining([
      '/tasks',
      '/tasks/{name}',
      '/tasks/{id}',
      '/tasks/{id}/cancel',
      '/tasks/{id}/retry',
      '/tasks/{id}/priority',
      '/tasks/{id}/explain',
      '/counts',
      '/events',
      '/pause',
      '/resume',
      '/openapi.json',
      '/schedules/{id}',
      '/cancel',
      '/retry',
    ]),
  )
})

it('has every route of the table, each of which answers', async () => {
  const { paths } = (await read('/openapi.json')) as Document
  for (const [path, methods] of Object.entries(paths)) {
    for (const method of Object.keys(methods)) {
      const where = path.replace('{id}', 'later').replace('{name}', 'note').replace('{file}', 'none')
      const signal = AbortSignal.timeout(5_000)
      const answer = await handler(
        new Request(`http://x${where}`, { method: method.toUpperCase(), signal, headers: { origin: 'http://other' } }),
      )
      // A change from elsewhere is refused: it has a route.
      expect([path, method, answer.status]).toEqual([
        path,
        method,
        method === 'get' ? (path === '/tasks/{id}/preview' || path === '/assets/{file}' ? 404 : 200) : 403,
      ])
      await answer.body?.cancel()
    }
  }
})

it('describes what is answered', async () => {
  const strict = (schema: z.ZodObject): z.ZodObject => z.strictObject(schema.shape)
  for (const id of ['done', 'failed', 'later']) strict(record).parse(await read(`/tasks/${id}`))
  const { tasks } = (await read('/tasks?view=summary')) as { tasks: unknown[] }
  for (const task of tasks) strict(summary).parse(task)
  strict(explanation).parse(await read('/tasks/later/explain'))
  strict(problem).parse(await read('/tasks/nobody'))
  const { schedules } = (await read('/schedules')) as { schedules: unknown[] }
  strict(schedule).parse(schedules[0])
})
