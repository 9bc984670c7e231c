/** Each place where something of a task leaves, with a secret in it. */
import { createHash } from 'node:crypto'
import { BackgroundRunner, defineTask, EngineError, RetryLaterError } from 'background-runner'
import { createHandler } from 'background-runner/http'
import { expect, it, onTestFinished } from 'vitest'
import { EventReader } from './support/events.js'

const SECRET = 'hunter2-5d41402a'

function created(redact?: readonly string[]) {
  const runner = new BackgroundRunner({
    tasks: {
      mail: defineTask({ run: async (_mail: unknown) => {} }),
      steps: defineTask({
        run: async (_input: unknown, { progress, signal }) => {
          progress({ step: 'seen', token: SECRET })
          await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
        },
      }),
      holds: defineTask({
        run: async () => {
          const cause = Object.assign(new Error('refused'), { details: { password: SECRET, why: 'seen' } })
          throw new RetryLaterError({ delay: '1h', hold: true, cause })
        },
      }),
    },
  })
  onTestFinished(async () => {
    await runner.close({ deadline: 0, drain: false })
  })
  const handler = createHandler(runner, {
    authorize: () => ['read', 'manage'],
    submit: ['mail', 'steps'],
    ...(redact !== undefined && { redact }),
  })
  const ask = (path: string): Promise<Response> => handler(new Request(`http://x${path}`))
  const headers = { 'Sec-Fetch-Site': 'same-origin', 'Content-Type': 'application/json' }
  const put = (id: string, body: unknown): Promise<Response> =>
    handler(new Request(`http://x/schedules/${id}`, { method: 'PUT', headers, body: JSON.stringify(body) }))
  return { runner, ask, put }
}

it('is shown without it: progress, schedules, holds, and why a task waits', async () => {
  const { runner, ask } = created()
  const events = new EventReader(await ask('/events'))
  await runner.schedule('nightly', { task: 'mail', every: '1h', input: { secret: SECRET, note: 'seen' } })
  await runner.submit('steps', undefined, { id: 'steps' })
  await runner.submit('holds', undefined, { id: 'holds' })
  await expect.poll(async () => (await runner.holds()).length).toBe(1)
  await runner.submit('holds', undefined, { id: 'held' })
  await expect.poll(async () => (await runner.status('steps'))?.progress).toBeDefined()
  for (const path of ['/tasks?view=summary&names=steps', '/tasks/steps', '/schedules', '/tasks/held/explain']) {
    const text = await (await ask(path)).text()
    expect(text).toContain('seen')
    expect(text).not.toContain(SECRET)
  }
  for (const path of ['/holds', '/overview', '/tasks']) expect(await (await ask(path)).text()).not.toContain(SECRET)
  await events.until(({ data }) => (data as { progress?: unknown }).progress !== undefined)
  await events.close()
  expect(events.raw).toContain('seen')
  expect(events.raw).not.toContain(SECRET)
})

it('stays in a schedule that is sent back as it was shown, and is asked for where its input is changed', async () => {
  const { runner, ask, put } = created()
  const input = { list: [{ apiKey: SECRET, to: 'a' }] }
  await runner.schedule('nightly', { task: 'mail', every: '1h', input })
  const { schedules } = (await (await ask('/schedules')).json()) as { schedules: { input: typeof input }[] }
  const shown = schedules[0]?.input as typeof input
  expect(shown).toEqual({ list: [{ apiKey: '[redacted]', to: 'a' }] })
  expect((await put('nightly', { task: 'mail', every: '2h', input: shown })).status).toBe(204)
  expect(await runner.schedules()).toMatchObject([{ every: 7_200_000, input }])
  for (const [id, task, changed] of [
    ['nightly', 'mail', { list: [{ apiKey: '[redacted]', to: 'b' }] }],
    ['nightly', 'steps', shown],
    ['other', 'mail', shown],
  ] as const)
    expect((await put(id, { task, every: '3h', input: changed })).status).toBe(422)
  expect(await runner.schedules()).toMatchObject([{ every: 7_200_000, input }])
})

it('cannot be guessed by the ETag, which is of what is shown', async () => {
  const { runner, ask } = created()
  await runner.submit('mail', { password: SECRET }, { id: 'mail', delay: '1h' })
  const answer = await ask('/tasks/mail')
  const shown = createHash('sha1')
    .update(await answer.text())
    .digest('base64url')
  expect(answer.headers.get('etag')).toBe(`"${shown}"`)
})

it('is not in the preview of a mail, which is a page that can do nothing', async () => {
  const mail = { to: 'a@example.com', subject: 'Hi', html: `<p>${SECRET}<script src="/x"></script>` }
  const { runner, ask } = created(['input.html'])
  await runner.submit('mail', mail, { id: 'mail' })
  expect(await (await ask('/tasks/mail/preview')).text()).toBe('[redacted]')
  const open = created()
  await open.runner.submit('mail', mail, { id: 'mail' })
  const page = await open.ask('/tasks/mail/preview')
  const policy = page.headers.get('content-security-policy') as string
  expect(policy).toMatch(/^default-src 'none'; .*; sandbox$/)
  expect(policy).not.toMatch(/script|connect|https?:|allow-/)
  expect(page.headers.get('x-frame-options')).toBe('SAMEORIGIN')
  expect(await page.text()).toBe(mail.html)
})

it('a request waits for a minute at most, whatever it asks for', async () => {
  const { runner, ask } = created()
  await runner.submit('mail', undefined, { id: 'mail', delay: '1h' })
  const asked: unknown[] = []
  runner.wait = async (id, options) => {
    asked.push(options?.timeout)
    const record = await runner.status(id)
    if (record === undefined) throw new Error('gone')
    return record as never
  }
  for (const wait of ['2h', '999999999999999d', '999999999999999', '5s', '7'])
    expect((await ask(`/tasks/mail?wait=${wait}`)).status).toBe(200)
  expect(asked).toEqual([60_000, 60_000, 60_000, 5_000, 7])
})

it('a fault within is told to the app, and outside that there is one', async () => {
  const { runner, ask } = created()
  const heard: unknown[] = []
  runner.on('error', (error) => heard.push(error))
  for (const [status, error] of [
    [500, new Error(SECRET)],
    [503, new EngineError(`cannot open /srv/${SECRET}`)],
  ] as const) {
    runner.counts = async () => {
      throw error
    }
    const answer = await ask('/counts')
    const text = await answer.text()
    expect([answer.status, JSON.parse(text)]).toMatchObject([status, { status, detail: expect.any(String) }])
    expect(text).not.toContain(SECRET)
  }
  // The engine tells of its troubles itself.
  expect(heard).toMatchObject([{ message: SECRET }])
})
