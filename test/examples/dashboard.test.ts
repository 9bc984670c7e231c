/** The dashboard and its API as the examples mount them: open to this machine, with a token elsewhere. */
import { request } from 'node:http'
import { describe, expect, it } from 'vitest'
import { dashboardNotice } from '../../examples/shared/dashboard.js'
import { type Example, FRAMEWORKS, startInProcess } from './support.js'

/** `fetch` lets nobody say another Host. */
function statusAs(host: string, { url }: Example): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const sent = request(`${url}/tasks/counts`, { headers: { host } }, (response) => {
      response.resume()
      resolve(response.statusCode)
    })
    sent.on('error', reject)
    sent.end()
  })
}

describe.each(FRAMEWORKS)('the %s example', (framework) => {
  it('submits a mail at /tasks, and shows what became of it', async () => {
    const example = await startInProcess(framework)
    const page = await fetch(`${example.url}/tasks`)
    expect([page.status, page.url, page.headers.get('content-type')]).toEqual([
      200,
      `${example.url}/tasks/`,
      'text/html; charset=utf-8',
    ])
    const answer = await fetch(`${example.url}/tasks/tasks/email`, {
      method: 'POST',
      headers: { Origin: example.url, 'Content-Type': 'application/json' },
      body: JSON.stringify({ to: 'ada@example.com', subject: 'Hi', text: 'Hello' }),
    })
    const record = await fetch(`${new URL(answer.headers.get('location') ?? '', answer.url)}?wait=5s`)
    expect(await record.json()).toMatchObject({ state: 'succeeded', output: { complete: true } })
    expect((await example.ask('/outbox')).json).toMatchObject([{ subject: 'Hi' }])
  })

  it('is open to this machine by its own name alone', async () => {
    const example = await startInProcess(framework)
    expect(await statusAs('localhost:3000', example)).toBe(200)
    // A page from elsewhere whose name was made to lead here.
    expect(await statusAs('rebound.example:3000', example)).toBe(403)
  })

  it('is closed where others get in, unless there is a token', async () => {
    const closed = await startInProcess(framework, {}, { host: '0.0.0.0', tasksToken: undefined })
    expect((await closed.ask('/tasks/counts')).status).toBe(403)
    const open = await startInProcess(framework, {}, { host: '0.0.0.0', tasksToken: 's3cret' })
    expect((await open.ask('/tasks/counts')).status).toBe(401)
    expect((await open.ask('/tasks/counts', { headers: { Authorization: 'Bearer s3cret' } })).status).toBe(200)
  })
})

it('says at the start where it is, or how to open it', () => {
  const at = (host: string, tasksToken?: string): string => dashboardNotice('http://x:1', { host, tasksToken })
  expect(at('127.0.0.1')).toBe('the tasks are at http://x:1/tasks/')
  expect(at('0.0.0.0', 'secret')).toMatch(/http:\/\/x:1\/tasks\/.*TASKS_TOKEN/)
  expect(at('0.0.0.0', 'secret')).not.toContain('secret')
  expect(at('0.0.0.0')).toContain('set TASKS_TOKEN')
})
