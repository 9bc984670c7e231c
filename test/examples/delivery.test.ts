/** What both examples say of mails that a misbehaving SMTP server gets. */
import { describe, expect, it, onTestFinished } from 'vitest'
import { type SmtpServer, type SmtpServerOptions, startSmtpServer } from '../support/smtp-server.js'
import { door, FRAMEWORKS, startInProcess } from './support.js'

async function smtp(options?: SmtpServerOptions): Promise<SmtpServer> {
  const server = await startSmtpServer(options)
  onTestFinished(() => server.close())
  return server
}

const messageIdOf = (raw: string): string | undefined => /^message-id: *(<.+>)/im.exec(raw)?.[1]

describe.each(FRAMEWORKS)('the %s example', (framework) => {
  it('says failed, with the code, of a mail that the server refuses with 550, and does not try again', async () => {
    const server = await smtp({ rcpt: () => '550 5.1.1 no such user' })
    const example = await startInProcess(framework, { smtpUrl: server.url })
    const id = await example.accepted()
    await example.runner.wait(id)
    const error = { code: '550', message: expect.stringContaining('no such user') }
    expect(await example.status(id)).toEqual({ task_id: id, status: 'failed', attempt: 1, error })
    expect(await example.status(id)).toEqual({ task_id: id, status: 'failed', attempt: 1, error })
    expect(server.deliveries).toEqual([])
  })

  it('tells of a mail that was answered with 451 that it will be tried again, and why', async () => {
    const server = await smtp({ rcpt: () => '451 4.7.1 greylisted' })
    const example = await startInProcess(framework, { smtpUrl: server.url, retryDelay: 3_600_000 })
    const retrying = new Promise((resolve) => example.runner.once('retrying', resolve))
    const id = await example.accepted()
    await retrying
    expect(await example.status(id)).toEqual({
      task_id: id,
      status: 'scheduled',
      attempt: 1,
      error: { code: '451', message: expect.stringContaining('greylisted') },
    })
    expect((await example.post(`/task_status/${id}/cancel`)).json).toMatchObject({ status: 'cancelled' })
  })

  it('tries a mail again after 451 and delivers it once, under the same Message-ID', async () => {
    const offered: string[] = []
    const server = await smtp({
      end: ({ raw }) => {
        offered.push(raw)
        return offered.length === 1 ? '451 4.3.0 try later' : undefined
      },
    })
    const example = await startInProcess(framework, { smtpUrl: server.url })
    const id = await example.accepted()
    await example.runner.wait(id)
    expect(await example.status(id)).toEqual({ task_id: id, status: 'succeeded', attempt: 2 })
    expect(server.deliveries).toHaveLength(1)
    expect(offered).toHaveLength(2)
    expect(messageIdOf(offered[0] as string)).toBeDefined()
    expect(messageIdOf(offered[1] as string)).toBe(messageIdOf(offered[0] as string))
  })

  it('tries a mail again where nobody listens, and says failed in the end', async () => {
    const server = await smtp()
    const { url } = server
    await server.close()
    const example = await startInProcess(framework, { smtpUrl: url, attempts: 2 })
    const id = await example.accepted()
    await example.runner.wait(id)
    expect(await example.status(id)).toEqual({
      task_id: id,
      status: 'failed',
      attempt: 2,
      error: { code: expect.any(String), message: expect.stringContaining('ECONNREFUSED') },
    })
  })

  it('ends hung sessions by their timeout, while other mails go out', async () => {
    const server = await smtp({ rcpt: ({ address }) => (address.startsWith('hung') ? { hang: true } : undefined) })
    const settings = { smtpUrl: server.url, concurrency: 6, timeout: 500, attempts: 2 }
    const example = await startInProcess(framework, settings)
    const hung = await Promise.all(Array.from({ length: 6 }, () => example.accepted({ recipient: 'hung@example.com' })))
    const good = await Promise.all(Array.from({ length: 20 }, () => example.accepted()))
    // The hung ones hold every slot now.
    await server.until(() => server.connections.open === 6)
    await example.runner.onIdle()
    for (const id of good) expect(await example.status(id)).toMatchObject({ status: 'succeeded' })
    for (const id of hung)
      expect(await example.status(id)).toMatchObject({ status: 'failed', attempt: 2, error: { code: 'TASK_TIMEOUT' } })
    expect(server.deliveries).toHaveLength(20)
  })

  it('sends a failed mail again when it is asked to, after the server was mended', async () => {
    const server = await smtp({ rcpt: () => '550 5.2.1 mailbox disabled' })
    const example = await startInProcess(framework, { smtpUrl: server.url })
    const id = await example.accepted()
    await example.runner.wait(id)
    expect(await example.status(id)).toMatchObject({ status: 'failed', attempt: 1 })

    server.hooks.rcpt = () => undefined
    const { status, json } = await example.post(`/task_status/${id}/retry`)
    expect(status).toBe(200)
    expect(json).toMatchObject({ task_id: id, status: 'queued' })
    await example.runner.wait(id)
    expect(await example.status(id)).toEqual({ task_id: id, status: 'succeeded', attempt: 2 })
    expect(server.deliveries).toHaveLength(1)
  })

  it('cancels a mail while it is being sent', async () => {
    const server = await smtp({ rcpt: () => ({ hang: true }) })
    const example = await startInProcess(framework, { smtpUrl: server.url })
    const id = await example.accepted()
    await server.until(() => server.commands.some((line) => line.startsWith('RCPT')))
    expect(await example.status(id)).toEqual({ task_id: id, status: 'running', attempt: 1 })
    const { status, json } = await example.post(`/task_status/${id}/cancel`)
    expect(status).toBe(200)
    expect(json).toMatchObject({ task_id: id })
    await example.runner.wait(id)
    expect(await example.status(id)).toMatchObject({ task_id: id, status: 'cancelled', attempt: 1 })
    expect(server.deliveries).toEqual([])
  })

  it('uses no more connections than its concurrency, and all of them', async () => {
    const { opened, open } = door()
    const server = await smtp({ data: () => opened })
    const example = await startInProcess(framework, { smtpUrl: server.url, concurrency: 3 })
    await Promise.all(Array.from({ length: 12 }, () => example.accepted()))
    await server.until(() => server.commands.filter((line) => line === 'DATA').length === 3)
    expect(await example.runner.counts()).toMatchObject({ running: 3, queued: 9 })
    open()
    await example.runner.onIdle()
    expect(server.deliveries).toHaveLength(12)
    expect(server.connections.most).toBe(3)
  })
})
