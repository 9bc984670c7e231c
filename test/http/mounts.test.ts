/** One suite over every way to mount the handler: what the API answers does not depend on the framework around it. */
import { createServer } from 'node:http'
import { getRequestListener } from '@hono/node-server'
import { BackgroundRunner, defineTask, NonRetryableError, type TaskRecord } from 'background-runner'
import { accessToken, createHandler, type HandlerOptions } from 'background-runner/http'
import express from 'express'
import { afterEach, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { EventReader } from './support/events.js'
import { AT, listening, MOUNTS } from './support/mounts.js'

const tasks = {
  greet: defineTask({ input: z.object({ name: z.string() }), run: async ({ name }) => `Hello ${name}` }),
  hidden: defineTask({ run: async () => {} }),
  fails: defineTask({
    retry: { attempts: 1 },
    run: async () => {
      throw new NonRetryableError('no such mailbox', { code: '550', details: { password: 'hunter2' } })
    },
  }),
  /** Tells what it was given in its error, and is limited by it. */
  talks: defineTask({
    input: z.object({
      apiKey: z.string().refine((key) => key !== 'hunter2-', { error: ({ input }) => `bad: ${input}` }),
    }),
    retry: { attempts: 1 },
    concurrency: { max: 1, by: ({ apiKey }) => apiKey },
    run: async ({ apiKey }) => {
      throw new Error(`401 for ${apiKey}`)
    },
  }),
  /** Until it is cancelled. */
  hangs: defineTask({
    run: async (_input: unknown, { signal, progress }) => {
      progress(0.5)
      await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
    },
  }),
}
type Runner = BackgroundRunner<typeof tasks>

const ALL: HandlerOptions<keyof typeof tasks> = {
  authorize: () => ['read', 'submit', 'manage'],
  submit: ['greet', 'fails', 'hangs', 'talks'],
}

/** The data of the first event. */
async function readFirst(answer: Response): Promise<string> {
  const events = new EventReader(answer)
  await events.next()
  await events.close()
  return events.raw
}

let undo: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const each of undo.reverse()) await each()
  undo = []
})

describe.each(MOUNTS)('$name', ({ basePath, serve }) => {
  interface Api {
    readonly runner: Runner
    readonly url: string
    /** What is no string is sent as JSON. */
    readonly call: (method: string, path: string, body?: unknown, headers?: Record<string, string>) => Promise<Response>
  }

  async function mounted(options: HandlerOptions<keyof typeof tasks> = ALL, maxPending?: number): Promise<Api> {
    const runner: Runner = new BackgroundRunner({ tasks, ...(maxPending !== undefined && { maxPending }) })
    const { url, close } = await listening(await serve(createHandler(runner, { ...options, basePath })))
    undo.push(() => runner.close({ deadline: 0, drain: false }), close)
    const origin = new URL(url).origin
    return {
      runner,
      url,
      call: (method, path, body, headers = {}) =>
        fetch(url + path, {
          method,
          redirect: 'manual',
          headers: {
            ...(method !== 'GET' && { Origin: origin }),
            ...(body !== undefined && { 'Content-Type': 'application/json' }),
            ...headers,
          },
          ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
        }),
    }
  }

  it('submits a task, and its Location leads to its record', async () => {
    const { url, call } = await mounted()
    const answer = await call('POST', '/tasks/greet', { name: 'Ada' })
    expect(answer.status).toBe(202)
    const { id, deduplicated } = (await answer.json()) as { id: string; deduplicated: boolean }
    expect(deduplicated).toBe(false)
    const location = new URL(answer.headers.get('location') as string, answer.url)
    expect(location.href).toBe(`${url}/tasks/${id}`)
    const record = (await (await fetch(`${location.href}?wait=10s`)).json()) as TaskRecord
    expect(record).toMatchObject({ id, name: 'greet', state: 'succeeded', input: { name: 'Ada' }, output: 'Hello Ada' })
  })

  it('knows tasks whose ids are names of routes', async () => {
    const { runner, call } = await mounted()
    for (const id of ['tasks', 'counts', 'events', 'assets', '-', '__proto__']) {
      await runner.submit('greet', { name: id }, { id })
      const answer = await call('GET', `/tasks/${id}?wait=10s`)
      expect([answer.status, ((await answer.json()) as TaskRecord).id]).toEqual([200, id])
    }
    expect((await call('GET', '/tasks/a%2Fb')).status).toBe(404)
    // Fastify refuses it itself.
    expect([400, 404]).toContain((await call('GET', '/tasks/%zz')).status)
  })

  it('lists, page by page, by state, name and tag, whole and in short', async () => {
    const { runner, call } = await mounted()
    await runner.submitMany('greet', [{ name: 'a' }, { name: 'b' }, { name: 'c' }], { tags: ['x'], delay: '1h' })
    await runner.submit('hangs', undefined, { delay: '1h' })
    type Page = { tasks: TaskRecord[]; next?: string }
    const first = (await (await call('GET', '/tasks?names=greet&limit=2')).json()) as Page
    expect(first.tasks.map(({ input }) => input)).toEqual([{ name: 'c' }, { name: 'b' }])
    const second = await call('GET', `/tasks?names=greet&limit=2&cursor=${encodeURIComponent(first.next as string)}`)
    const { tasks: rest, next } = (await second.json()) as Page
    expect([rest.length, next]).toEqual([1, undefined])
    const short = (await (
      await call('GET', '/tasks?states=queued,scheduled&states=failed&tags=x&view=summary')
    ).json()) as Page
    expect(short.tasks).toHaveLength(3)
    expect(short.tasks[0]).not.toHaveProperty('input')
    expect(short.tasks[0]).toMatchObject({ name: 'greet', state: 'scheduled', tags: ['x'] })
  })

  it('cancels, retries, changes the priority, removes; a wrong state is a conflict', async () => {
    const { runner, call } = await mounted()
    const { id } = await runner.submit('greet', { name: 'Ada' }, { delay: '1h' })
    expect(await (await call('POST', `/tasks/${id}/priority`, { priority: 7 })).json()).toMatchObject({ priority: 7 })
    const cancelled = (await (await call('POST', `/tasks/${id}/cancel`, { reason: 'no need' })).json()) as TaskRecord
    expect([cancelled.state, cancelled.error?.message]).toEqual(['cancelled', expect.stringContaining('no need')])
    expect((await call('POST', `/tasks/${id}/cancel`)).status).toBe(409)
    expect(await (await call('POST', `/tasks/${id}/retry`, { delay: '1h' })).json()).toMatchObject({
      state: 'scheduled',
    })
    expect((await call('DELETE', `/tasks/${id}`)).status).toBe(409)
    await call('POST', `/tasks/${id}/cancel`)
    expect((await call('DELETE', `/tasks/${id}`)).status).toBe(204)
    expect((await call('DELETE', `/tasks/${id}`)).status).toBe(404)
    expect((await call('GET', `/tasks/${id}`)).status).toBe(404)
  })

  it('cancels and retries in bulk what matches', async () => {
    const { runner, call } = await mounted()
    await runner.submitMany(
      'greet',
      Array.from({ length: 120 }, () => ({ name: 'x' })),
      { tags: ['bulk'], delay: '1h' },
    )
    await runner.submit('greet', { name: 'other' }, { delay: '1h' })
    expect(await (await call('POST', '/cancel', { tags: ['bulk'], limit: 70 })).json()).toEqual({
      changed: 70,
      skipped: 0,
      more: true,
    })
    expect(await (await call('POST', '/cancel', { tags: ['bulk'] })).json()).toMatchObject({ changed: 50, more: false })
    expect(await (await call('POST', '/retry', {})).json()).toMatchObject({ changed: 0 })
    expect(await (await call('POST', '/retry', { states: ['cancelled'], names: ['greet'] })).json()).toMatchObject({
      changed: 120,
    })
    expect((await runner.counts()).cancelled).toBe(0)
  })

  it('tells counts, holds, an overview, statistics; pauses and resumes', async () => {
    const { runner, call } = await mounted()
    expect((await call('POST', '/pause')).status).toBe(204)
    const { id } = await runner.submit('greet', { name: 'Ada' })
    expect(await (await call('GET', '/counts')).json()).toMatchObject({ queued: 1, succeeded: 0 })
    expect(await (await call('GET', '/overview')).json()).toMatchObject({
      can: ['read', 'submit', 'manage'],
      submit: ['greet', 'fails', 'hangs', 'talks'],
      paused: true,
      holds: [],
      counts: { queued: 1 },
    })
    expect(await (await call('GET', `/tasks/${id}/explain`)).json()).toMatchObject({ reasons: [{ type: 'paused' }] })
    expect((await call('POST', '/resume')).status).toBe(204)
    expect(await (await call('GET', `/tasks/${id}?wait=10s`)).json()).toMatchObject({ state: 'succeeded' })
    expect(await (await call('GET', '/overview')).json()).toMatchObject({ paused: false })
    expect(await (await call('GET', '/holds')).json()).toEqual({ holds: [] })
    const stats = (await (await call('GET', '/stats?range=minutes')).json()) as { points: unknown[]; interval: number }
    expect([stats.points.length, stats.interval]).toEqual([60, 5_000])
  })

  it('makes, shows and ends schedules of the names that are open', async () => {
    const { call } = await mounted()
    const put = (body: unknown): Promise<Response> => call('PUT', '/schedules/nightly', body)
    expect(
      (await put({ task: 'greet', input: { name: 'x' }, cron: '0 0 1 1 *', timezone: 'Europe/Berlin' })).status,
    ).toBe(204)
    expect(await (await call('GET', '/schedules')).json()).toMatchObject({
      schedules: [{ id: 'nightly', task: 'greet', cron: '0 0 1 1 *', timezone: 'Europe/Berlin' }],
    })
    expect((await put({ task: 'hidden', every: '1h' })).status).toBe(404)
    expect((await put({ task: 'greet', cron: 'never' })).status).toBe(422)
    expect((await call('DELETE', '/schedules/nightly')).status).toBe(204)
    expect((await call('DELETE', '/schedules/nightly')).status).toBe(404)
  })

  it('takes a repeated Idempotency-Key for the same task', async () => {
    const { call } = await mounted()
    const submit = (key: string): Promise<Response> =>
      call('POST', '/tasks/greet', { name: 'Ada' }, { 'Idempotency-Key': key })
    const first = (await (await submit('"k 1"')).json()) as { id: string }
    expect(await (await submit('"k 1"')).json()).toEqual({ id: first.id, deduplicated: true })
    expect(await (await submit('k 1')).json()).toEqual({ id: first.id, deduplicated: true })
    expect(await (await submit('"k 2"')).json()).toMatchObject({ deduplicated: false })
  })

  it('answers 304 to who knows the record, and 200 once it has changed', async () => {
    const { runner, call } = await mounted()
    const { id } = await runner.submit('greet', { name: 'Ada' }, { delay: '1h' })
    const etag = (await call('GET', `/tasks/${id}`)).headers.get('etag') as string
    expect(etag).toMatch(/^"[\w-]+"$/)
    const known = await call('GET', `/tasks/${id}`, undefined, { 'If-None-Match': `"other", ${etag}` })
    expect([known.status, await known.text()]).toEqual([304, ''])
    await runner.setPriority(id, 3)
    expect((await call('GET', `/tasks/${id}`, undefined, { 'If-None-Match': etag })).status).toBe(200)
  })

  it('waits for the end of a task, or for as long as it was asked to', async () => {
    const { runner, call } = await mounted()
    const { id } = await runner.submit('hangs', undefined)
    expect(await (await call('GET', `/tasks/${id}?wait=20ms`)).json()).toMatchObject({
      id,
      attempt: 1,
      state: 'running',
    })
    const waiting = call('GET', `/tasks/${id}?wait=10s`)
    await runner.cancel(id)
    expect(await (await waiting).json()).toMatchObject({ state: 'cancelled' })
    expect((await call('GET', '/tasks/nobody?wait=1s')).status).toBe(404)
    expect((await call('GET', `/tasks/${id}?wait=soon`)).status).toBe(400)
  })

  it('says 503 and when to come again where the queue is full', async () => {
    const { runner, call } = await mounted(ALL, 1)
    await runner.submit('greet', { name: 'Ada' }, { delay: '1h' })
    const answer = await call('POST', '/tasks/greet', { name: 'Bob' })
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '5'])
    expect(await answer.json()).toMatchObject({ code: 'QUEUE_FULL', status: 503 })
  })

  it('says what is wrong as a problem, with the place', async () => {
    const { call } = await mounted()
    const bad = await call('POST', '/tasks/greet', { name: 1 })
    expect([bad.status, bad.headers.get('content-type')]).toEqual([422, 'application/problem+json'])
    expect(await bad.json()).toMatchObject({
      type: 'urn:background-runner:problem:invalid-input',
      title: 'Unprocessable Content',
      status: 422,
      code: 'INVALID_INPUT',
      issues: [{ path: ['name'], message: expect.any(String) }],
    })
    const wrong: [number, string, string, unknown?, Record<string, string>?][] = [
      [400, 'GET', '/tasks?limit=x'],
      [400, 'GET', '/tasks?limit=1&limit=2'],
      [400, 'GET', '/tasks?unknown=1'],
      [400, 'GET', '/tasks?states=done'],
      [404, 'GET', '/nothing'],
      [404, 'POST', '/tasks/hidden', {}],
      [404, 'POST', '/tasks/__proto__', {}],
      [405, 'PUT', '/counts'],
      [400, 'POST', '/tasks/greet', '{'],
      [415, 'POST', '/tasks/greet', 'name=Ada', { 'Content-Type': 'application/x-www-form-urlencoded' }],
      [413, 'POST', '/tasks/greet', { name: 'x'.repeat(1_100_000) }],
      [414, 'GET', `/tasks?names=${'x'.repeat(9_000)}`],
      [400, 'POST', '/retry', { everything: true }],
      [400, 'POST', '/tasks/x/priority', { priority: 'high' }],
    ]
    for (const [status, method, path, body, headers] of wrong) {
      const answer = await call(method, path, body, headers)
      expect([answer.status, answer.headers.get('content-type'), path]).toEqual([
        status,
        'application/problem+json',
        path,
      ])
    }
    expect((await call('PUT', '/counts')).headers.get('allow')).toBe('GET')
  })

  it('is closed without authorize, and says what to do', async () => {
    const { runner, call } = await mounted({ submit: ['greet'] })
    await runner.submit('greet', { name: 'Ada' }, { id: 'a' })
    for (const [method, path] of [
      ['GET', ''],
      ['GET', '/'],
      ['GET', '/tasks'],
      ['GET', '/tasks/a'],
      ['GET', '/nothing'],
      ['POST', '/tasks/greet'],
      ['POST', '/pause'],
      ['GET', '/events'],
      ['GET', '/openapi.json'],
      ['GET', '/assets/x'],
    ]) {
      const answer = await call(method as string, path as string)
      expect([answer.status, path]).toEqual([403, path])
      expect(((await answer.json()) as { detail: string }).detail).toContain('authorize')
    }
  })

  it('lets each do what it may', async () => {
    const { runner, call } = await mounted({
      ...ALL,
      authorize: async (request) => (request.headers.get('x-rights') ?? '').split(' ') as never,
    })
    await runner.submit('greet', { name: 'Ada' }, { id: 'a', delay: '1h' })
    const as = async (rights: string, method: string, path: string, body?: unknown): Promise<number> =>
      (await call(method, path, body, { 'x-rights': rights })).status
    expect(await as('', 'GET', '/tasks')).toBe(403)
    expect(await as('admin', 'GET', '/tasks')).toBe(403)
    expect(await as('submit', 'GET', '/tasks')).toBe(403)
    expect(await as('read', 'GET', '/tasks')).toBe(200)
    expect(await as('read', 'POST', '/tasks/greet', { name: 'x' })).toBe(403)
    expect(await as('submit', 'POST', '/tasks/greet', { name: 'x' })).toBe(202)
    expect(await as('read submit', 'POST', '/tasks/a/cancel')).toBe(403)
    expect(await as('read submit', 'PUT', '/schedules/x', { task: 'greet', every: '1h' })).toBe(403)
    expect(await as('manage', 'POST', '/tasks/a/cancel')).toBe(200)
  })

  it('asks for a token, and takes it as bearer or as password', async () => {
    const { call } = await mounted({ ...ALL, authorize: accessToken('s3cret: ü', ['read']) })
    const as = (authorization?: string): Promise<Response> =>
      call('GET', '/counts', undefined, authorization === undefined ? {} : { Authorization: authorization })
    const basic = (user: string, password: string): string =>
      `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`
    const stranger = await as()
    expect([stranger.status, stranger.headers.get('www-authenticate')]).toEqual([
      401,
      'Basic realm="tasks", charset="UTF-8"',
    ])
    expect((await as('Bearer wrong')).status).toBe(401)
    expect((await as(basic('', 'wrong'))).status).toBe(401)
    expect((await as('Basic ???')).status).toBe(401)
    expect((await as(basic('anyone', 's3cret: ü'))).status).toBe(200)
    expect((await as(basic('', 's3cret: ü'))).status).toBe(200)
    const { call: other } = await mounted({ ...ALL, authorize: accessToken('s3cret') })
    expect(
      (await other('POST', '/pause', undefined, { Origin: 'https://evil.example', Authorization: 'Bearer s3cret' }))
        .status,
    ).toBe(204)
    expect(
      (await other('POST', '/pause', undefined, { Origin: 'https://evil.example', Authorization: basic('', 's3cret') }))
        .status,
    ).toBe(403)
  })

  it('refuses what another site sends, before it looks at the body', async () => {
    const { runner, url, call } = await mounted()
    const own = new URL(url).origin
    const from = async (headers: Record<string, string>): Promise<number> =>
      (await fetch(`${url}/tasks/greet`, { method: 'POST', headers, body: 'no JSON' })).status
    for (const headers of [
      {},
      { Origin: 'null' },
      { Origin: 'https://evil.example' },
      { Origin: `${own}.evil.example` },
      { Origin: own, 'Sec-Fetch-Site': 'cross-site' },
      { Origin: own, 'Sec-Fetch-Site': 'same-site' },
      { Origin: own, 'Sec-Fetch-Site': 'none' },
    ] as Record<string, string>[]) {
      expect([await from(headers), headers]).toEqual([403, headers])
    }
    expect(
      (await call('POST', '/tasks/greet', 'x', { 'Content-Type': 'text/plain', Origin: 'https://evil.example' }))
        .status,
    ).toBe(403)
    expect(
      (
        await call(
          'POST',
          '/tasks/greet',
          { name: 'x' },
          { Origin: 'https://proxied.example', 'Sec-Fetch-Site': 'same-origin' },
        )
      ).status,
    ).toBe(202)
    expect((await runner.counts()).queued + (await runner.counts()).succeeded).toBe(1)
  })

  it('shows nobody what is redacted', async () => {
    const { runner, call } = await mounted()
    const { id } = await runner.submit(
      'hidden',
      { user: { Pass_Word: 'hunter2', list: [{ apiKey: 'hunter2' }] } } as never,
      {
        metadata: { authorization: 'Bearer hunter2', kept: 'seen' },
        tags: ['t'],
      },
    )
    const failing = await runner.submit('fails')
    await failing.wait()
    for (const path of [`/tasks/${id}?wait=5s`, `/tasks/${failing.id}`, '/tasks', '/tasks?view=summary']) {
      const text = await (await call('GET', path)).text()
      expect(text).not.toContain('hunter2')
    }
    // Nor where an error, the key of a limit or what is wrong with an input quotes it.
    const talk = await runner.submit('talks', { apiKey: 'hunter2' })
    expect(await talk.wait()).toMatchObject({ error: { message: '401 for hunter2' } })
    await runner.submit('talks', { apiKey: 'hunter2' }, { id: 'first', delay: '1h' })
    await runner.pause()
    for (const path of [`/tasks/${talk.id}`, '/tasks', '/tasks?view=summary', `/events?task=${talk.id}`]) {
      const answer = await call('GET', path)
      const text = path.startsWith('/events') ? await readFirst(answer) : await answer.text()
      expect(text).toContain('401 for [redacted]')
      expect(text).not.toContain('hunter2')
    }
    for (const [method, path, body] of [
      ['POST', '/tasks/talks', { apiKey: 'hunter2-' }],
      ['PUT', '/schedules/x', { task: 'talks', every: '1h', input: { apiKey: 'hunter2-' } }],
    ] as const) {
      const answer = await call(method, path, body)
      expect([answer.status, await answer.json()]).toMatchObject([
        422,
        {
          detail: expect.stringContaining('bad: [redacted]'),
          issues: [{ path: ['apiKey'], message: 'bad: [redacted]' }],
        },
      ])
    }
    const record = (await (await call('GET', `/tasks/${id}`)).json()) as TaskRecord
    expect(record.input).toEqual({ user: { Pass_Word: '[redacted]', list: [{ apiKey: '[redacted]' }] } })
    expect(record.metadata).toEqual({ authorization: '[redacted]', kept: 'seen' })
  })

  it('tells what changes, goes on where a reader was, and ends with the runner', async () => {
    const { runner, url, call } = await mounted()
    const events = new EventReader(await call('GET', '/events'))
    const { id } = await runner.submit('hangs', undefined, { tags: ['live'] })
    await events.until(({ event, data }) => event === 'task' && (data as TaskRecord).state === 'running')
    const seen = await events.until(({ event }) => event === 'counts')
    await events.close()
    await runner.cancel(id)
    const again = new EventReader(await call('GET', '/events', undefined, { 'Last-Event-ID': seen.id }))
    const missed = await again.until(({ event }) => event === 'task')
    expect(missed.data).toMatchObject({ id, state: 'cancelled', tags: ['live'] })
    expect(missed.data).not.toHaveProperty('attempts')
    const stranger = new EventReader(await call('GET', '/events', undefined, { 'Last-Event-ID': 'abc-3' }))
    expect(await stranger.next()).toMatchObject({ event: 'reset' })
    const one = new EventReader(await fetch(`${url}/events?task=${id}`))
    expect((await one.next())?.data).toMatchObject({ id, state: 'cancelled', attempts: [{ number: 1 }] })
    await runner.remove(id)
    expect(await one.next()).toMatchObject({ event: 'removed', data: { id } })
    await Promise.all([again.close(), stranger.close(), one.close()])
  })

  it('serves the page in its folder, with a policy that lets nothing foreign in', async () => {
    const { url, call } = await mounted()
    const redirect = await call('GET', '?a=1')
    expect(redirect.status).toBe(302)
    expect(new URL(redirect.headers.get('location') as string, redirect.url).href).toBe(`${url}/?a=1`)
    const page = await call('GET', '/')
    expect(page.status).toBe(200)
    const policy = page.headers.get('content-security-policy') as string
    expect(policy).toContain("default-src 'none'; script-src 'self'")
    expect(policy).not.toContain('unsafe')
    expect(page.headers.get('x-content-type-options')).toBe('nosniff')
    expect(page.headers.get('x-frame-options')).toBe('DENY')
    const html = await page.text()
    expect(html).not.toMatch(/<script(?![^>]*\bsrc=)|<style|\son\w+=|style=/)
    for (const [, file] of html.matchAll(/(?:src|href)="(assets\/[^"]+)"/g)) {
      const asset = await fetch(new URL(file as string, page.url))
      expect([asset.status, asset.headers.get('cache-control')]).toEqual([200, expect.stringContaining('immutable')])
      await asset.arrayBuffer()
    }
  })

  it('has no page where the app wants none', async () => {
    const { call } = await mounted({ ...ALL, dashboard: false })
    expect((await call('GET', '/')).status).toBe(404)
    expect((await call('GET', '/counts')).status).toBe(200)
  })

  it('answers HEAD as GET, without a body', async () => {
    const { call } = await mounted()
    const answer = await call('HEAD', '/counts')
    expect([answer.status, await answer.text()]).toEqual([200, ''])
    expect((await call('HEAD', '/events')).status).toBe(200)
  })

  it(`is where it was put: ${AT}`, async () => {
    const { url, call } = await mounted()
    expect((await call('GET', '/counts')).status).toBe(200)
    expect((await fetch(new URL('/counts', url))).status).toBe(404)
  })
})

describe('a body that has been read before', () => {
  const json = { 'Content-Type': 'application/json' }

  it('by express.json() is missed, and not taken for no input', async () => {
    const runner: Runner = new BackgroundRunner({ tasks })
    const app = express()
    app.use(express.json())
    app.use(AT, getRequestListener(createHandler(runner, ALL)))
    const { url, close } = await listening(createServer(app))
    undo.push(() => runner.close({ deadline: 0, drain: false }), close)
    const headers = { ...json, Origin: new URL(url).origin }
    const chunked = new Blob(['{"limit":5}']).stream()
    for (const [path, body] of [
      ['/tasks/hangs', '{"a":1}'],
      ['/cancel', chunked],
    ] as const) {
      const answer = await fetch(url + path, { method: 'POST', headers, body, duplex: 'half' } as RequestInit)
      expect([answer.status, ((await answer.json()) as { detail: string }).detail]).toEqual([
        400,
        expect.stringContaining('express.json()'),
      ])
    }
    expect((await fetch(`${url}/pause`, { method: 'POST', headers, body: '{}' })).status).toBe(204)
    expect(await runner.counts()).toMatchObject({ queued: 0, running: 0 })
  })

  it('by whoever had the request is told, and is no fault of ours', async () => {
    const runner: Runner = new BackgroundRunner({ tasks })
    undo.push(() => runner.close({ deadline: 0, drain: false }))
    const faults: unknown[] = []
    runner.on('error', (error) => faults.push(error))
    const headers = { ...json, 'Sec-Fetch-Site': 'same-origin' }
    const request = new Request('http://x/tasks/greet', { method: 'POST', headers, body: '{"name":"Ada"}' })
    await request.text()
    const answer = await createHandler(runner, ALL)(request)
    expect([answer.status, await answer.json()]).toMatchObject([400, { code: 'BODY_GONE' }])
    expect(faults).toEqual([])
  })
})
