/** The examples on a file, as they are started by default: what was accepted outlives the process. */
import { mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it, onTestFinished } from 'vitest'
import { startSmtpServer } from '../support/smtp-server.js'
import { type Client, door, FRAMEWORKS, Program } from './support.js'

async function newFile(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'example-'))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  return join(folder, 'tasks.db')
}

/** The tasks are another process's: the only way to see the end is to ask. */
async function ended(client: Client, id: string): Promise<{ status: string; attempt: number }> {
  for (;;) {
    const told = await client.status(id)
    if (!['queued', 'running', 'scheduled'].includes(told.status)) return told
    await sleep(20)
  }
}

describe.each(FRAMEWORKS)('examples/%s/main.ts on a file', (framework) => {
  it('sends after a SIGKILL, once it is started again, every mail that it had accepted', async () => {
    const { opened, open } = door()
    const server = await startSmtpServer({ rcpt: () => opened })
    onTestFinished(() => server.close())
    const env = { SMTP_URL: server.url, DATABASE_PATH: await newFile(), CONCURRENCY: '2' }
    const killed = new Program(framework, env)
    const before = await killed.client()
    const ids = await Promise.all(Array.from({ length: 6 }, (_, i) => before.accepted({ subject: `mail ${i}` })))
    // Two are being sent, four wait.
    await server.until(() => server.commands.filter((line) => line.startsWith('RCPT')).length === 2)
    killed.signal('SIGKILL')
    expect(await killed.ended()).toBe(null)
    expect(server.deliveries).toEqual([])
    open()

    const again = new Program(framework, env)
    const client = await again.client()
    const told = await Promise.all(ids.map((id) => ended(client, id)))
    // The two that were being sent are in their second attempt.
    expect(told.map(({ status }) => status)).toEqual(ids.map(() => 'succeeded'))
    expect(told.map(({ attempt }) => attempt).sort()).toEqual([1, 1, 1, 1, 2, 2])
    const subjects = server.deliveries.map(({ raw }) => /^Subject: (.*)$/m.exec(raw)?.[1])
    expect(subjects.sort()).toEqual(ids.map((_, i) => `mail ${i}`))

    again.signal('SIGTERM')
    expect(await again.ended()).toBe(0)
    expect(again.stderr).toBe('')
  }, 30_000)

  it('drains on SIGTERM, and tells what became of a mail after the next start', async () => {
    const { opened, open } = door()
    const server = await startSmtpServer({ rcpt: () => opened })
    onTestFinished(() => server.close())
    const env = { SMTP_URL: server.url, DATABASE_PATH: await newFile(), CONCURRENCY: '1' }
    const first = new Program(framework, env)
    const client = await first.client()
    const ids = [await client.accepted(), await client.accepted(), await client.accepted()]
    first.signal('SIGTERM')
    await first.printed(/SIGTERM: taking no more requests/)
    open()
    expect(await first.ended()).toBe(0)
    expect(first.stdout).toContain('completed 3, returned 0, abandoned 0, pending 0\n')
    expect(server.deliveries).toHaveLength(3)
    // Mails are nobody else's business.
    expect((await stat(env.DATABASE_PATH)).mode & 0o777).toBe(0o600)

    const second = new Program(framework, env)
    const later = await second.client()
    for (const id of ids) expect(await later.status(id)).toEqual({ task_id: id, status: 'succeeded', attempt: 1 })
    second.signal('SIGKILL')
    await second.ended()
  }, 30_000)
})
