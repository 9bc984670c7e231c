import { BackgroundRunner, type TaskDefinition } from 'background-runner'
import { type EmailMessage, type EmailResult, emailTask } from 'background-runner/email'
import { runTask } from 'background-runner/testing'
import { simpleParser } from 'mailparser'
import nodemailer from 'nodemailer'
import { describe, expect, expectTypeOf, it, onTestFinished, vi } from 'vitest'
import { FROM, HELLO, mailRunner, mailTask, QUICK, smtpServer, told } from '../support/email.js'
import { DROP, DROP_AFTER_STORING, HANG } from '../support/smtp-server.js'

describe('a message', () => {
  it('arrives as it was submitted', async () => {
    const server = await smtpServer()
    const runner = mailRunner({ transport: server.url })
    const handle = await runner.submit('email', {
      to: ['"Lovelace, Ada" <ada@example.com>', { name: 'Grace ✨', address: 'grace@example.com' }],
      cc: 'Jürgen <juergen@jõgeva.ee>',
      bcc: 'secret@example.com',
      replyTo: 'Help <help@example.com>',
      subject: 'Grüße 你好',
      text: 'Hello\n.\n..dots',
      html: '<p>Hello</p>',
      headers: { 'X-Campaign': 'spring 2026' },
    })
    const result = await handle.result()
    expect(result.complete).toBe(true)
    expect(Object.keys(result.recipients)).toEqual([
      'ada@example.com',
      'grace@example.com',
      'juergen@jõgeva.ee',
      'secret@example.com',
    ])
    expect(result.recipients['juergen@jõgeva.ee']).toEqual({
      status: 'sent',
      code: '250',
      enhancedCode: '2.0.0',
      response: '250 2.0.0 queued',
    })
    expect(server.deliveries).toHaveLength(1)
    const { from, to, raw = '' } = server.deliveries[0] ?? {}
    expect(from).toBe('app@example.com')
    expect(to).toEqual(['ada@example.com', 'grace@example.com', 'juergen@xn--jgeva-dua.ee', 'secret@example.com'])
    expect(raw).not.toContain('secret@example.com')
    const mail = await simpleParser(Buffer.from(raw, 'latin1'))
    expect(mail).toMatchObject({ subject: 'Grüße 你好', text: 'Hello\n.\n..dots', html: '<p>Hello</p>' })
    expect(mail.from?.value).toEqual([{ name: 'App', address: 'app@example.com' }])
    expect([mail.to].flat()[0]?.value).toEqual([
      { name: 'Lovelace, Ada', address: 'ada@example.com' },
      { name: 'Grace ✨', address: 'grace@example.com' },
    ])
    expect(mail.replyTo?.value).toEqual([{ name: 'Help', address: 'help@example.com' }])
    expect(mail.headers.get('x-campaign')).toBe('spring 2026')
    expect(mail.messageId).toBe(result.messageId)
  })

  it('goes out after others on the same connection, also where Nodemailer logs all that it sends', async () => {
    const server = await smtpServer()
    const logged: string[] = []
    const log = (_: unknown, text: string): void => void logged.push(text)
    const logger = { trace: log, debug: log, info: log, warn: log, error: log, fatal: log }
    const transport = { url: server.url, debug: true, logger: logger as never }
    const runner = mailRunner({ transport, concurrency: 1, retry: { attempts: 1 } })
    const large = { ...HELLO, text: 'It is a long text.\n'.repeat(20_000) }
    for (const mail of [HELLO, large, HELLO, large, HELLO]) {
      expect(await (await runner.submit('email', mail)).result()).toMatchObject({ complete: true })
    }
    expect(logged.some((text) => text.includes(HELLO.subject))).toBe(true)
    expect(server.deliveries).toHaveLength(5)
  })

  it('goes out after one that was called off, by the same connection of the task', async () => {
    let reached = (): void => {}
    const asked = new Promise<void>((resolve) => {
      reached = resolve
    })
    const server = await smtpServer({
      mail: () => {
        delete server.hooks.mail
        reached()
        return HANG
      },
    })
    const runner = mailRunner({ transport: server.url, concurrency: 1 })
    const first = await runner.submit('email', HELLO)
    const second = await runner.submit('email', HELLO)
    await asked
    await first.cancel()
    expect((await first.wait()).state).toBe('cancelled')
    expect(await second.result()).toMatchObject({ complete: true })
    expect(server.deliveries).toHaveLength(1)
  })

  it('is begun on a turn of the event loop that no other needs, where all come at once', async () => {
    const server = await smtpServer()
    const { hostname: host, port } = new URL(server.url)
    let turn = 0
    let counting = setImmediate(function count() {
      turn++
      counting = setImmediate(count)
    })
    onTestFinished(() => clearImmediate(counting))
    const turns: number[] = []
    const getSocket = (_: unknown, answer: (error: null, socket: false) => void): void => {
      turns.push(turn)
      answer(null, false)
    }
    const runner = mailRunner({ transport: { host, port: Number(port), getSocket }, concurrency: 5 })
    // To look through so much text takes longer than the part of a turn that messages have.
    const mails = Array.from({ length: 5 }, () => ({ ...HELLO, text: 'It is a long text.\n'.repeat(50_000) }))
    await runner.submitMany('email', mails)
    await runner.onIdle()
    expect(new Set(turns).size).toBe(5)
  })

  it('goes out from the sender that it names, and its Message-ID is of that domain', async () => {
    const { email, outbox } = mailTask()
    await runTask(email, { ...HELLO, from: 'shop@käse.example' })
    const envelope = { from: 'shop@xn--kse-qla.example' }
    outbox.assertEmailSent({ envelope, from: envelope.from, messageId: /^<[\w-]+\.[0-9a-z]+@xn--kse-qla\.example>$/ })
  })

  it('goes once to a recipient who is named twice', async () => {
    const { email, outbox } = mailTask()
    const { outcome } = await runTask(email, { ...HELLO, cc: ['ada@EXAMPLE.com', 'bob@example.com'] })
    const sent = { status: 'sent', code: '250', enhancedCode: '2.0.0', response: '250 2.0.0 queued' }
    const recipients = { 'ada@example.com': sent, 'bob@example.com': sent }
    expect(outcome).toEqual({
      type: 'succeeded',
      output: { messageId: expect.any(String), complete: true, recipients },
    })
    outbox.assertEmailSent({ envelope: { to: Object.keys(recipients) } }, { count: 1 })
  })

  it('may have hidden recipients only', async () => {
    const { email, outbox } = mailTask()
    await runTask(email, { ...HELLO, to: [], bcc: 'bob@example.com' })
    outbox.assertEmailSent({ to: [], bcc: ['bob@example.com'], raw: (raw) => !/bob|^To:/m.test(String(raw)) })
  })

  it('has the types of its input and output', () => {
    const task = emailTask({ transport: 'smtp://localhost', from: FROM })
    expectTypeOf(task).toEqualTypeOf<TaskDefinition<EmailMessage, EmailResult>>()
    expect(task).toMatchObject({ timeout: 60_000, concurrency: 10, retry: { attempts: 100, maxAge: 86_400_000 } })
  })
})

describe('what the server says', () => {
  it.each(['mail', 'rcpt', 'data', 'end'] as const)('550 at %s fails the task at once', async (stage) => {
    const server = await smtpServer({ [stage]: () => '550 5.1.1 no such user here' })
    const runner = mailRunner({ transport: server.url })
    const record = await (await runner.submit('email', HELLO)).wait()
    expect(told(record)).toEqual({ state: 'failed', attempt: 1, code: '550' })
    expect(record.error).toMatchObject({
      name: 'NonRetryableError',
      message: expect.stringContaining('550 5.1.1 no such user here'),
      details: {
        recipients: {
          'ada@example.com': { status: 'rejected', code: '550', response: '550 5.1.1 no such user here' },
        },
      },
    })
    expect(server.deliveries).toEqual([])
  })

  it.each(['mail', 'rcpt', 'data', 'end'] as const)('451 at %s is tried again under one Message-ID', async (stage) => {
    const offered: string[] = []
    let refusals = 1
    const server = await smtpServer({
      [stage]: () => (refusals-- > 0 ? '451 4.7.1 greylisted' : undefined),
    })
    const seeing = server.hooks.end
    server.hooks.end = async (step) => {
      offered.push((await simpleParser(step.raw)).messageId ?? '')
      return seeing?.(step)
    }
    const runner = mailRunner({ transport: server.url })
    const record = await (await runner.submit('email', HELLO)).wait()
    expect(told(record)).toEqual({ state: 'succeeded', attempt: 2, code: undefined })
    expect(record.attempts[0]?.error).toMatchObject({
      name: 'EmailError',
      code: '451',
      details: { recipients: { 'ada@example.com': { status: 'failed', code: '451' } } },
    })
    expect(offered).toHaveLength(stage === 'end' ? 2 : 1)
    expect(new Set(offered)).toEqual(new Set([(record.output as unknown as EmailResult).messageId]))
    expect(server.deliveries).toHaveLength(1)
  })

  it('keeps one Message-ID over the attempts of a task and gives another task another', async () => {
    const ids: (string | undefined)[] = []
    const server = await smtpServer({
      end: async ({ raw }) => {
        ids.push((await simpleParser(raw)).messageId)
        return ids.length < 3 ? '451 later' : undefined
      },
    })
    const runner = mailRunner({ transport: server.url })
    await (await runner.submit('email', HELLO)).result()
    await (await runner.submit('email', HELLO)).result()
    expect(ids).toHaveLength(4)
    expect(new Set(ids.slice(0, 3)).size).toBe(1)
    expect(ids[3]).not.toBe(ids[0])
  })

  it.each([
    ['rcpt', '552 too many recipients', '552', 3],
    ['rcpt', '421 4.3.2 shutting down', '421', 3],
    ['mail', '503 5.5.1 what?', '503', 3],
    ['end', '552 5.3.4 too large', '552', 1],
    ['mail', '553 5.1.7 no such sender', '553', 1],
  ] as const)('at %s %j ends with code %s after %i attempts', async (stage, reply, code, attempt) => {
    const server = await smtpServer({ [stage]: () => reply })
    const runner = mailRunner({ transport: server.url })
    const record = await (await runner.submit('email', HELLO)).wait()
    expect(told(record)).toEqual({ state: 'failed', attempt, code })
    expect(record.error?.message).toContain(reply)
  })

  it.each(['554 5.3.2 no service', '421 4.3.2 shutting down'])('a greeting of %j is tried again', async (reply) => {
    const server = await smtpServer({ greeting: () => reply })
    const runner = mailRunner({ transport: server.url, retry: { ...QUICK, attempts: 2 } })
    const record = await (await runner.submit('email', HELLO)).wait()
    expect(told(record)).toEqual({ state: 'failed', attempt: 2, code: reply.slice(0, 3) })
  })

  it('of several refused recipients: those that are put off are tried again, those refused for good are not', async () => {
    const server = await smtpServer({
      rcpt: ({ address }) => (address.startsWith('ada') ? '450 4.2.1 later' : '550 5.1.1 no such user'),
    })
    const runner = mailRunner({ transport: server.url })
    const record = await (await runner.submit('email', { ...HELLO, cc: 'bob@example.com' })).wait()
    expect(told(record)).toEqual({ state: 'failed', attempt: 3, code: '450' })
    expect(record.error?.details).toEqual({
      recipients: {
        'ada@example.com': { status: 'failed', code: '450', enhancedCode: '4.2.1', response: '450 4.2.1 later' },
        'bob@example.com': {
          status: 'rejected',
          code: '550',
          enhancedCode: '5.1.1',
          response: '550 5.1.1 no such user',
        },
      },
    })
    expect(server.commands.filter((line) => line.startsWith('RCPT')).map((line) => line.slice(9, 12))).toEqual([
      'ada',
      'bob',
      'ada',
      'ada',
    ])
  })
})

describe('when some recipients are refused', () => {
  const message = { ...HELLO, to: ['ada@example.com', 'bob@example.com', 'eve@example.com'] }
  const recipients = {
    'ada@example.com': { status: 'sent', code: '250', enhancedCode: '2.0.0', response: '250 2.0.0 queued' },
    'bob@example.com': { status: 'rejected', code: '550', enhancedCode: '5.1.1', response: '550 5.1.1 no such user' },
    'eve@example.com': { status: 'failed', code: '450', enhancedCode: '4.2.1', response: '450 4.2.1 later' },
  }
  const replies: Readonly<Record<string, string>> = {
    'bob@example.com': '550 5.1.1 no such user',
    'eve@example.com': '450 4.2.1 later',
  }

  it.each([[], ['PIPELINING']])(
    'nobody who has it is mailed again, and nobody who was refused for good (%j)',
    async (...extensions) => {
      const server = await smtpServer({ extensions, rcpt: ({ address }) => replies[address] })
      const runner = mailRunner({ transport: server.url })
      const record = await (await runner.submit('email', message)).wait()
      expect(told(record)).toEqual({ state: 'failed', attempt: 3, code: 'PARTIALLY_SENT' })
      expect(record.error?.details).toEqual({ recipients })
      expect(server.deliveries.map(({ to }) => to)).toEqual([['ada@example.com']])
      expect(server.commands.filter((line) => line.startsWith('RCPT'))).toHaveLength(3 + 1 + 1)
    },
  )

  it('whoever was put off gets it in the end, and the headers still name everybody', async () => {
    let puts = 1
    const server = await smtpServer({
      rcpt: ({ address }) => (address.startsWith('eve') && puts-- > 0 ? '450 4.2.1 later' : undefined),
    })
    const runner = mailRunner({ transport: server.url })
    const record = await (await runner.submit('email', message)).wait()
    expect(told(record)).toEqual({ state: 'succeeded', attempt: 2, code: undefined })
    expect(record.output).toMatchObject({ complete: true })
    expect(server.deliveries.map(({ to }) => to)).toEqual([['ada@example.com', 'bob@example.com'], ['eve@example.com']])
    const mails = await Promise.all(server.deliveries.map(({ raw }) => simpleParser(raw)))
    for (const { to, messageId } of mails) {
      expect([to].flat()[0]?.value.map(({ address }) => address)).toEqual(message.to)
      expect(messageId).toBe(mails[0]?.messageId)
    }
  })

  it('a manual retry addresses everyone who has it not, the refused too', async () => {
    const server = await smtpServer({ rcpt: ({ address }) => replies[address] })
    const runner = mailRunner({ transport: server.url, retry: { attempts: 1 } })
    const handle = await runner.submit('email', message)
    expect(told(await handle.wait())).toEqual({ state: 'failed', attempt: 1, code: 'PARTIALLY_SENT' })
    delete server.hooks.rcpt
    await handle.retry()
    const record = await handle.wait()
    expect(record.output).toMatchObject({ complete: true })
    expect(server.deliveries.map(({ to }) => to)).toEqual([['ada@example.com'], ['bob@example.com', 'eve@example.com']])
  })

  it('the task succeeds if it may, and says that it is not complete', async () => {
    const server = await smtpServer({ rcpt: ({ address }) => replies[address] })
    const runner = mailRunner({ transport: server.url, onPartial: 'succeed' })
    const result = await (await runner.submit('email', message)).result()
    expect(result).toMatchObject({ complete: false, recipients })
  })
})

describe('when the server is not there, or goes', () => {
  it('a refused connection is tried again', async () => {
    // A port of a server that has gone may soon be that of another test; this one no test is ever given.
    const transport = 'smtp://127.0.0.1:1'
    const runner = mailRunner({ transport, retry: { ...QUICK, attempts: 2 } })
    const record = await (await runner.submit('email', HELLO)).wait()
    expect(told(record)).toEqual({ state: 'failed', attempt: 2, code: 'ESOCKET' })
    expect(record.error?.message).toContain('ECONNREFUSED')
    expect(record.error?.details).toMatchObject({ recipients: { 'ada@example.com': { status: 'failed' } } })
  })

  it('a name that does not resolve is tried again', async () => {
    const runner = mailRunner({ transport: 'smtp://mail.invalid', retry: { ...QUICK, attempts: 2 } })
    const record = await (await runner.submit('email', HELLO)).wait()
    expect(told(record)).toEqual({ state: 'failed', attempt: 2, code: 'EDNS' })
  })

  it.each(['greeting', 'ehlo', 'mail', 'rcpt', 'data', 'end'] as const)(
    'a connection that drops at %s is tried again by the task, never by the pool',
    async (stage) => {
      let drops = 1
      const server = await smtpServer({ [stage]: () => (drops-- > 0 ? DROP : undefined) })
      const runner = mailRunner({ transport: server.url })
      const record = await (await runner.submit('email', HELLO)).wait()
      expect(told(record)).toEqual({ state: 'succeeded', attempt: 2, code: undefined })
      expect(record.attempts[0]?.error?.code).toBe('ECONNECTION')
      expect(record.attempts[0]?.error?.message).toMatch(/^(Connection closed unexpectedly|the server closed)/)
      expect(server.connections.total).toBe(2)
      expect(server.deliveries).toHaveLength(1)
    },
  )

  it('a message whose fate is not known is said to be unknown', async () => {
    const server = await smtpServer({ end: () => DROP_AFTER_STORING })
    const runner = mailRunner({ transport: server.url, retry: { attempts: 1 } })
    const record = await (await runner.submit('email', HELLO)).wait()
    expect(record.error?.details).toEqual({
      recipients: { 'ada@example.com': { status: 'unknown', code: 'ECONNECTION' } },
    })
  })

  it('a session that hangs is ended by the timeout, and the others go on', async () => {
    const server = await smtpServer({ rcpt: ({ address }) => (address.startsWith('hung') ? HANG : undefined) })
    const runner = mailRunner({ transport: server.url, timeout: 500, concurrency: 3, retry: { ...QUICK, attempts: 2 } })
    const hung = await runner.submitMany(
      'email',
      [1, 2].map((i) => ({ ...HELLO, to: `hung${i}@example.com` })),
    )
    const others = await runner.submitMany(
      'email',
      Array.from({ length: 10 }, () => HELLO),
    )
    const records = await Promise.all([...others, ...hung].map((handle) => handle.wait()))
    expect(records.map(({ state }) => state)).toEqual([...others.map(() => 'succeeded'), 'failed', 'failed'])
    expect(records.slice(-2).map(told)).toEqual(hung.map(() => ({ state: 'failed', attempt: 2, code: 'TASK_TIMEOUT' })))
    expect(server.connections.most).toBeLessThanOrEqual(3)
    await server.until(() => server.connections.open <= 1)
  })
})

describe('a cancel', () => {
  it.each(['greeting', 'mail', 'rcpt', 'data', 'end'] as const)(
    'ends a send that hangs at %s and frees its connection',
    async (stage) => {
      let reached = (): void => {}
      const hanging = new Promise<void>((resolve) => {
        reached = resolve
      })
      const server = await smtpServer({
        [stage]: () => {
          reached()
          return HANG
        },
      })
      const runner = mailRunner({ transport: server.url }, { cancelGrace: 100 })
      let unresponsive = 0
      runner.on('unresponsive', () => void unresponsive++)
      const handle = await runner.submit('email', HELLO)
      await hanging
      await handle.cancel({ reason: 'unsubscribed' })
      const record = await handle.wait()
      expect(record.state).toBe('cancelled')
      expect(record.error?.message).toContain('unsubscribed')
      const { name, details } = record.attempts[0]?.error ?? {}
      if (stage === 'end')
        expect(details).toEqual({ recipients: { 'ada@example.com': { status: 'unknown', code: 'EABORT' } } })
      else expect(name).toBe('TaskCancelledError')
      expect(unresponsive).toBe(0)
      await server.until(() => server.connections.open === 0)
      expect(server.deliveries).toEqual([])
      delete server.hooks[stage]
      await (await runner.submit('email', HELLO)).result()
    },
  )

  it('of a message that the server has is waited for: the record says what happened', async () => {
    let reached = (): void => {}
    const asked = new Promise<void>((resolve) => {
      reached = resolve
    })
    let answer = (): void => {}
    const answering = new Promise<void>((resolve) => {
      answer = resolve
    })
    const server = await smtpServer({
      end: async () => {
        reached()
        await answering
        return undefined
      },
    })
    const runner = mailRunner({ transport: server.url })
    const handle = await runner.submit('email', HELLO)
    await asked
    await handle.cancel()
    answer()
    expect(await handle.wait()).toMatchObject({ state: 'succeeded', output: { complete: true } })
  })
})

describe('the connections', () => {
  it('are kept from message to message, as many as there may be handlers', async () => {
    const server = await smtpServer()
    const runner = mailRunner({ transport: server.url, concurrency: 2 })
    const handles = await runner.submitMany(
      'email',
      Array.from({ length: 20 }, () => HELLO),
    )
    await Promise.all(handles.map((handle) => handle.result()))
    expect(server.deliveries).toHaveLength(20)
    expect(server.connections.total).toBeLessThanOrEqual(2)
  })

  it('are no more where two runners share a definition', async () => {
    const server = await smtpServer()
    const email = emailTask({ transport: server.url, from: FROM, concurrency: 2 })
    const runners = [new BackgroundRunner({ tasks: { email } }), new BackgroundRunner({ tasks: { email } })]
    onTestFinished(async () => void (await Promise.all(runners.map((runner) => runner.close()))))
    const submitted = await Promise.all(
      runners.map((runner) =>
        runner.submitMany(
          'email',
          Array.from({ length: 10 }, () => HELLO),
        ),
      ),
    )
    await Promise.all(submitted.flat().map((handle) => handle.result()))
    expect(server.deliveries).toHaveLength(20)
    expect(server.connections.most).toBeLessThanOrEqual(2)
  })

  it('end with the last runner of a definition', async () => {
    const server = await smtpServer()
    const email = emailTask({ transport: server.url, from: FROM })
    const [first, second] = [new BackgroundRunner({ tasks: { email } }), new BackgroundRunner({ tasks: { email } })]
    onTestFinished(async () => void (await Promise.all([first.close(), second.close()])))
    await Promise.all([first, second].map(async (runner) => (await runner.submit('email', HELLO)).result()))
    await first.close()
    expect(server.connections.open).toBeGreaterThan(0)
    await (await second.submit('email', HELLO)).result()
    await second.close()
    await server.until(() => server.connections.open === 0)
    const third = new BackgroundRunner({ tasks: { email } })
    await (await third.submit('email', HELLO)).result()
    await third.close()
    await server.until(() => server.connections.open === 0)
    expect(server.deliveries).toHaveLength(4)
  })

  it('end with the runner, also where a session hangs', async () => {
    let reached = (): void => {}
    const hanging = new Promise<void>((resolve) => {
      reached = resolve
    })
    const server = await smtpServer({
      end: () => {
        reached()
        return HANG
      },
    })
    const runner = mailRunner({ transport: server.url })
    await runner.submit('email', HELLO)
    await hanging
    const report = await runner.close({ deadline: 0 })
    expect(report).toMatchObject({ returned: 1, abandoned: 0 })
    await server.until(() => server.connections.open === 0)
  })

  it('of a transporter of the app are not ended', async () => {
    const server = await smtpServer()
    const transport = nodemailer.createTransport({ host: '127.0.0.1', port: server.port, pool: true })
    onTestFinished(() => transport.close())
    const runner = mailRunner({ transport })
    await (await runner.submit('email', HELLO)).result()
    await runner.close()
    await transport.sendMail({ from: FROM, to: HELLO.to, text: 'mine' })
    expect(server.connections).toMatchObject({ total: 1, open: 1 })
  })
})

describe('a transport', () => {
  it('may be anything with sendMail', async () => {
    const sent: unknown[] = []
    const { email } = mailTask({ transport: { sendMail: async (message) => void sent.push(message) } })
    const { outcome } = await runTask(email, HELLO)
    const [{ messageId }] = sent as [EmailResult]
    const output = { messageId, complete: true, recipients: { 'ada@example.com': { status: 'sent' } } }
    expect(outcome).toEqual({ type: 'succeeded', output })
    expect(sent).toMatchObject([{ disableFileAccess: true, disableUrlAccess: true }])
  })

  it('that puts off one recipient and refuses the rest is tried again, whatever its own code is', async () => {
    const error = (code: number, recipient: string) =>
      Object.assign(new Error('refused'), { code: 'EENVELOPE', responseCode: code, response: `${code} no`, recipient })
    const thrown = Object.assign(error(550, 'bob@example.com'), {
      rejectedErrors: [error(450, 'ada@example.com'), error(550, 'bob@example.com')],
    })
    const { email } = mailTask({ transport: { sendMail: () => Promise.reject(thrown) } })
    const { outcome } = await runTask(email, { ...HELLO, cc: 'bob@example.com' })
    expect(outcome).toMatchObject({ type: 'retry', error: { code: '450' } })
  })

  it('that tells the refusal of another with what it took (LMTP) says nothing by it of who has it', async () => {
    const full = '550 5.2.2 full'
    const rejectedErrors = [
      Object.assign(new Error('no'), { response: full, responseCode: 550, recipient: 'bob@example.com' }),
    ]
    const sendMail = async () => ({ rejected: ['bob@example.com'], rejectedErrors, response: full })
    const { email } = mailTask({ transport: { sendMail }, onPartial: 'succeed' })
    const { outcome } = await runTask(email, { ...HELLO, cc: 'bob@example.com' })
    expect(outcome).toMatchObject({ type: 'succeeded' })
    expect((outcome as { output: EmailResult }).output.recipients).toEqual({
      'ada@example.com': { status: 'sent' },
      'bob@example.com': { status: 'rejected', code: '550', enhancedCode: '5.2.2', response: full },
    })
  })

  it.each([
    ['nothing', undefined, 'SEND_FAILED'],
    ['a string', 'no way', 'SEND_FAILED'],
    ['an error of its own', Object.assign(new Error('no way'), { code: 'ESES' }), 'ESES'],
    ['lists that are none', { message: 'no way', code: 1, rejectedErrors: [null, 7, {}] }, 'SEND_FAILED'],
  ])('may throw %s: it is tried again', async (_, thrown, code) => {
    const { email } = mailTask({ transport: { sendMail: () => Promise.reject(thrown) } })
    const details = { recipients: { 'ada@example.com': { status: 'failed' } } }
    for (const [attempt, type] of [
      [1, 'retry'],
      [99, 'retry'],
      [100, 'failed'],
    ] as const)
      expect((await runTask(email, HELLO, { attempt })).outcome).toMatchObject({ type, error: { code, details } })
  })

  it('needs Nodemailer, and says so', async () => {
    vi.doMock('nodemailer', () => {
      throw new Error('Cannot find package')
    })
    onTestFinished(() => void vi.doUnmock('nodemailer'))
    const { outcome } = await runTask(emailTask({ transport: 'smtp://localhost', from: FROM }), HELLO)
    expect(outcome).toMatchObject({
      type: 'retry',
      error: { code: 'MISSING_DEPENDENCY', message: expect.stringContaining('npm install nodemailer') },
    })
  })

  it('may be a Nodemailer transport plugin', async () => {
    const envelopes: unknown[] = []
    const transport = {
      name: 'sink',
      version: '1',
      send: (mail: { message: { getEnvelope(): unknown } }, done: (error: null, info: object) => void): void => {
        envelopes.push(mail.message.getEnvelope())
        done(null, { rejected: [] })
      },
    }
    // biome-ignore lint/suspicious/noExplicitAny: a plugin as JavaScript would write it
    const { email } = mailTask({ transport: transport as any })
    expect((await runTask(email, HELLO)).outcome.type).toBe('succeeded')
    expect(envelopes).toEqual([{ from: 'app@example.com', to: ['ada@example.com'] }])
  })

  it('that sent in spite of a cancel makes the task succeed: the record says what happened', async () => {
    let finish = (): void => {}
    let begun = (): void => {}
    const beginning = new Promise<void>((resolve) => {
      begun = resolve
    })
    const transport = {
      sendMail: () =>
        new Promise((resolve) => {
          finish = () => resolve({})
          begun()
        }),
    }
    const runner = mailRunner({ transport })
    const handle = await runner.submit('email', HELLO)
    await beginning
    await handle.cancel()
    finish()
    const record = await handle.wait()
    expect(record.state).toBe('succeeded')
    expect(record.cancelRequestedAt).toBeTypeOf('number')
  })

  it('of SMTP options keeps our rules for the pool', async () => {
    let drops = 1
    const server = await smtpServer({ end: () => (drops-- > 0 ? DROP : undefined) })
    const transport = { url: `${server.url}?maxRequeues=5&pool=false`, maxRequeues: 7 }
    const runner = mailRunner({ transport, concurrency: 1, retry: { attempts: 1 } })
    const handles = await runner.submitMany('email', [HELLO, HELLO, HELLO])
    const states = await Promise.all(handles.map(async (handle) => (await handle.wait()).state))
    expect(states).toEqual(['failed', 'succeeded', 'succeeded'])
    expect(server.connections.most).toBe(1)
  })
})

describe('a connection that was idle', () => {
  it('and is closed just as a message comes costs that message no attempt', async () => {
    let closing = false
    const server = await smtpServer({
      mail: ({ connection }) => (closing && connection === 1 ? DROP : undefined),
    })
    const runner = mailRunner({ transport: server.url, concurrency: 1 })
    await (await runner.submit('email', HELLO)).result()
    closing = true
    const record = await (await runner.submit('email', HELLO)).wait()
    expect(told(record)).toEqual({ state: 'succeeded', attempt: 1, code: undefined })
    expect(server.connections.total).toBe(2)
    expect(server.deliveries).toHaveLength(2)
  })
})
