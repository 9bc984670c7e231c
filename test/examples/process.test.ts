/** The examples as processes: their environment, signals and exit codes. The outbox is shown as a user starts them. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it, onTestFinished } from 'vitest'
import { startSmtpServer } from '../support/smtp-server.js'
import { door, FRAMEWORKS, Program } from './support.js'

// 30 s a test: a child takes seconds until it listens where the machine is busy.
describe.each(FRAMEWORKS)('examples/%s/main.ts', (framework) => {
  it('sends everything that it accepted after SIGTERM, however often that comes at once, and exits with 0', async () => {
    const { opened, open } = door()
    const server = await startSmtpServer({ data: () => opened })
    onTestFinished(() => server.close())
    const program = new Program(framework, { SMTP_URL: server.url, CONCURRENCY: '4' })
    const client = await program.client()
    const ids = await Promise.all(Array.from({ length: 60 }, (_, i) => client.accepted({ subject: `mail ${i}` })))
    await server.until(() => server.commands.filter((line) => line === 'DATA').length === 4)
    expect(new Set(ids).size).toBe(60)

    // Two that cannot merge into one: within 2 s the second means the same.
    program.signal('SIGTERM')
    program.signal('SIGINT')
    await program.printed(/SIG(TERM|INT): taking no more requests/)
    const { hostname, port } = new URL(client.url)
    await expect(once(connect(Number(port), hostname), 'connect')).rejects.toThrow('ECONNREFUSED')
    expect(server.deliveries).toEqual([])
    open()
    expect(await program.ended()).toBe(0)
    expect(new Set(server.deliveries.map(({ raw }) => /^Subject: (.*)$/m.exec(raw)?.[1])).size).toBe(60)
    expect(server.deliveries).toHaveLength(60)
    expect(program.stdout).toContain('completed 60, returned 0, abandoned 0, pending 0\n')
    expect(program.stderr).toBe('')
  }, 30_000)

  it('shows its mails at the outbox without an SMTP_URL, and ends with 0 on SIGINT', async () => {
    const program = new Program(framework, {}, 'sources')
    const client = await program.client()
    const [, outbox] = await program.printed(/(\S+\/outbox)\n/)
    expect(outbox).toBe(`${client.url}/outbox`)
    const id = await client.accepted()
    // The tasks are the program's own here, so the only way to see the end is to ask.
    for (;;) {
      const { status } = await client.status(id)
      if (status === 'succeeded') break
      expect(['queued', 'running']).toContain(status)
      await sleep(20)
    }
    expect((await client.ask('/outbox')).json).toHaveLength(1)
    program.signal('SIGINT')
    expect(await program.ended()).toBe(0)
    expect(program.stdout).toMatch(/completed \d+, returned 0, abandoned 0, pending 0\n$/)
    expect(program.stderr).toBe('')
  }, 30_000)

  it('ends at once on a second signal that comes later', async () => {
    const server = await startSmtpServer({ rcpt: () => ({ hang: true }) })
    onTestFinished(() => server.close())
    const program = new Program(framework, { SMTP_URL: server.url })
    const client = await program.client()
    await client.accepted()
    await server.until(() => server.commands.some((line) => line.startsWith('RCPT')))
    program.signal('SIGTERM')
    await program.printed(/SIGTERM: taking no more requests/)
    await sleep(2_100)
    program.signal('SIGTERM')
    expect(await program.ended()).toBe(1)
    expect(program.stderr).toContain('SIGTERM again')
  }, 30_000)

  it('says which variable is wrong and exits with 1, without a stack trace', async () => {
    const other = createServer().listen(0, '127.0.0.1')
    onTestFinished(() => void other.close())
    await once(other, 'listening')
    const taken = String((other.address() as AddressInfo).port)
    const wrong = new Program(framework, { PORT: 'x', CONCURRENCY: '0', SMTP_URL: 'mail.example.com', MAIL_FROM: 'me' })
    const busy = new Program(framework, { PORT: taken })
    const homeless = new Program(framework, { DATABASE_PATH: '/no/such/folder/tasks.db' })
    expect([await wrong.ended(), await busy.ended(), await homeless.ended()]).toEqual([1, 1, 1])
    expect(wrong.stderr).toMatch(/^PORT .*\nCONCURRENCY .*\nSMTP_URL .*\nMAIL_FROM .*\n$/)
    expect(busy.stderr).toMatch(new RegExp(`^.*PORT ${taken}.*\\n$`))
    expect(homeless.stderr).toMatch(/^cannot open DATABASE_PATH \/no\/such\/folder\/tasks\.db: .*\n$/)
    expect(wrong.stdout + busy.stdout + homeless.stdout).toBe('')
  }, 30_000)
})
