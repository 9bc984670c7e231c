import assert from 'node:assert/strict'
import type { InvalidInputError, TaskRecord } from 'background-runner'
import { testTransport } from 'background-runner/testing'
import fc from 'fast-check'
import { type ParsedMail, simpleParser } from 'mailparser'
import nodemailer, { type SendMailOptions } from 'nodemailer'
import { describe, it } from 'vitest'
import { parseAddress } from '../../src/email/address.js'
import { FROM, HELLO, mailRunner, QUICK, smtpServer } from '../support/email.js'

/** What an assertion fails with. */
function failureOf(assertion: () => unknown): string {
  try {
    assertion()
  } catch (error) {
    assert.equal((error as Error).name, 'AssertionError')
    return (error as Error).message
  }
  return assert.fail('it should have failed')
}

/** Sends through Nodemailer itself. */
async function send(message: SendMailOptions, transport = testTransport()) {
  const info = await nodemailer.createTransport(transport, { from: FROM }).sendMail(message)
  return { info, outbox: transport.outbox }
}

describe('the outbox', () => {
  it('has what the email task sent, decoded', async () => {
    const transport = testTransport()
    const runner = mailRunner({ transport })
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
    const { messageId, recipients } = await handle.result()
    const [message, ...others] = transport.outbox.messages
    assert.deepEqual(others, [])
    const { raw, headers, ...rest } = message ?? assert.fail()
    assert.deepEqual(rest, {
      from: 'App <app@example.com>',
      to: ['"Lovelace, Ada" <ada@example.com>', 'Grace ✨ <grace@example.com>'],
      cc: ['Jürgen <juergen@xn--jgeva-dua.ee>'],
      bcc: ['secret@example.com'],
      replyTo: ['Help <help@example.com>'],
      subject: 'Grüße 你好',
      text: 'Hello\n.\n..dots',
      html: '<p>Hello</p>',
      attachments: [],
      messageId,
      envelope: {
        from: 'app@example.com',
        to: ['ada@example.com', 'grace@example.com', 'juergen@xn--jgeva-dua.ee', 'secret@example.com'],
      },
      rejected: [],
    })
    assert.equal(headers['x-campaign'], 'spring 2026')
    assert.equal(headers['bcc'], undefined)
    assert.ok(!raw.includes('secret@example.com'))
    assert.deepEqual(recipients['ada@example.com'], {
      status: 'sent',
      code: '250',
      enhancedCode: '2.0.0',
      response: '250 2.0.0 queued',
    })
  })

  it('has what Nodemailer sent: attachments, embedded images, headers that repeat', async () => {
    const { info, outbox } = await send({
      to: 'ada@example.com',
      subject: 'Your invoice',
      html: '<img src="cid:logo">',
      list: { unsubscribe: ['https://example.com/u', 'mailto:u@example.com'] },
      attachments: [
        {
          filename: 'Rechnung für Ada, März 2026, mit allem, was dazu gehört.pdf',
          content: Buffer.from([0, 255, 13, 10]),
        },
        { filename: 'logo.png', cid: 'logo', content: Buffer.from([137, 80]) },
        { filename: 'a "quoted"; name.txt', content: 'Hello\nü' },
      ],
    })
    const message = outbox.assertEmailSent()[0] ?? assert.fail()
    assert.equal(message.text, undefined)
    assert.equal(message.html, '<img src="cid:logo">')
    assert.equal(message.headers['list-unsubscribe'], '<https://example.com/u>\n<mailto:u@example.com>')
    assert.deepEqual(message.attachments, [
      { filename: 'logo.png', contentType: 'image/png', contentId: 'logo', content: Buffer.from([137, 80]) },
      {
        filename: 'Rechnung für Ada, März 2026, mit allem, was dazu gehört.pdf',
        contentType: 'application/pdf',
        contentId: undefined,
        content: Buffer.from([0, 255, 13, 10]),
      },
      {
        filename: 'a "quoted"; name.txt',
        contentType: 'text/plain',
        contentId: undefined,
        content: Buffer.from('Hello\nü'),
      },
    ])
    outbox.assertEmailSent({ attachments: [{ contentId: 'logo' }, { content: Buffer.from([0, 255, 13, 10]) }, {}] })
    outbox.assertEmailSent({ attachments: (all) => all.some(({ filename }) => filename?.endsWith('.pdf')) })
    outbox.refuteEmailSent({ attachments: [{ filename: /pdf/ }, {}, {}] })
    assert.equal(info.messageId, message.messageId)
    assert.equal(info.messageSize, message.raw.length)
  })

  it('has the very bytes that a server gets', async () => {
    const message = {
      ...HELLO,
      text: 'Dear Ada\r\n\n.\n..\nGrüße\rand lines that are far too long for one line of a mail, which has 76 at most\n',
      html: '<p>\n</p>',
      messageId: '<1@example.com>',
      date: new Date(0),
      baseBoundary: 'same',
    }
    const server = await smtpServer()
    const smtp = nodemailer.createTransport({ host: '127.0.0.1', port: server.port }, { from: FROM })
    await smtp.sendMail(message)
    const { outbox } = await send(message)
    assert.equal(outbox.messages[0]?.raw.toString('latin1'), server.deliveries[0]?.raw)
  })

  it('reads a message as mail clients do, whatever its text', async () => {
    const oneLine = fc
      .oneof(fc.string({ unit: 'binary', size: 'medium' }), fc.string())
      .map((text) => text.replace(/[\p{Cc}\p{Cs}\p{Zl}\p{Zp}]/gu, ' ').trim())
    const body = fc.oneof(
      oneLine,
      fc.array(oneLine, { maxLength: 5 }).map((lines) => lines.join('\n')),
    )
    const mail = fc.record({
      to: fc.array(fc.record({ name: oneLine, address: fc.constant('ada@example.com') }), {
        minLength: 1,
        maxLength: 3,
      }),
      subject: oneLine,
      text: body,
      html: fc.option(body, { nil: undefined }),
      attachments: fc.array(
        fc.record({
          filename: oneLine.filter((name) => name !== '' && !/[\\/]/.test(name)),
          content: fc.uint8Array().map((bytes) => Buffer.from(bytes)),
        }),
        { maxLength: 2 },
      ),
    })
    await fc.assert(
      fc.asyncProperty(mail, async (message) => {
        const { outbox } = await send(message as SendMailOptions)
        const read = outbox.messages[0] ?? assert.fail()
        const client: ParsedMail = await simpleParser(read.raw, {
          skipHtmlToText: true,
          skipTextToHtml: true,
          skipImageLinks: true,
          skipTextLinks: true,
        })
        const ours = {
          to: read.to.map((each) => parseAddress(each, [], [])),
          subject: read.subject,
          text: read.text?.trimEnd() ?? '',
          html: read.html?.trimEnd() ?? '',
          attachments: read.attachments.map(({ filename, content }) => ({ filename, content })),
        }
        assert.deepEqual(ours, {
          to: [client.to ?? []]
            .flat()
            .flatMap(({ value }) => value.map(({ name, address = '' }) => ({ name, address, key: address }))),
          subject: client.subject ?? '',
          text: client.text?.trimEnd() ?? '',
          html: (client.html || '').trimEnd(),
          attachments: client.attachments.map(({ filename, content }) => ({ filename, content })),
        })
      }),
      { numRuns: 100 },
    )
  })
})

describe('assertEmailSent', () => {
  const message = {
    to: ['Ada <ada@example.com>', 'bob@käse.example'],
    cc: 'carol@example.com',
    bcc: 'dan@example.com',
    replyTo: 'help@example.com',
    subject: 'Welcome, Ada',
    text: 'Hello Ada',
    headers: { 'X-Campaign': 'spring' },
  }

  it.each([
    {},
    { to: 'ada@example.com' },
    { to: 'ada@EXAMPLE.com' },
    { to: 'Ada <ada@example.com>' },
    { to: 'bob@käse.example' },
    { to: 'bob@xn--kse-qla.example' },
    { to: /^Ada/ },
    { to: ['ada@example.com', /^bob@/] },
    { to: (all: readonly string[]) => all.length === 2 },
    { cc: 'carol@example.com', bcc: 'dan@example.com', replyTo: 'help@example.com', from: 'app@example.com' },
    { subject: 'Welcome, Ada', text: /ada/i, html: undefined, attachments: [] },
    { headers: { 'X-Campaign': 'spring' } },
    { headers: { 'x-campaign': (value: string) => value.length === 6 } },
    { envelope: { to: (all: readonly string[]) => all.includes('dan@example.com') }, rejected: [] },
    ({ text }: { text: string | undefined }) => text === 'Hello Ada',
  ])('finds a mail by a part of it: %o', async (matcher) => {
    const { outbox } = await send(message)
    assert.deepEqual(outbox.assertEmailSent(matcher), outbox.messages)
    assert.match(
      failureOf(() => outbox.refuteEmailSent(matcher)),
      /^expected no mail that matches .*; 1 was sent:\n {2}1\. to ada@example\.com, .*: 'Welcome, Ada'$/,
    )
  })

  it.each([
    [
      { to: 'carol@example.com' },
      "to: expected 'carol@example.com', got [ 'Ada <ada@example.com>', 'bob@xn--kse-qla.example' ]",
    ],
    [{ to: 'Eve <ada@example.com>' }, "to: expected 'Eve <ada@example.com>', got ["],
    [{ to: ['ada@example.com'] }, "to: expected [ 'ada@example.com' ], got ["],
    [
      { to: ['bob@käse.example', 'ada@example.com'] },
      "to[0]: expected 'bob@käse.example', got 'Ada <ada@example.com>'",
    ],
    [{ bcc: 'ada@example.com' }, "bcc: expected 'ada@example.com', got [ 'dan@example.com' ]"],
    [
      { subject: /goodbye/i, text: 'Hello' },
      "subject: expected /goodbye/i, got 'Welcome, Ada'; text: expected 'Hello', got 'Hello Ada'",
    ],
    [{ html: /./ }, 'html: expected /./, got undefined'],
    [{ headers: { 'X-Other': 'spring' } }, 'headers["x-other"]: expected \'spring\', got undefined'],
  ])('tells what is different: %o', async (matcher, difference) => {
    const { outbox } = await send(message)
    outbox.refuteEmailSent(matcher)
    const told = failureOf(() => outbox.assertEmailSent(matcher))
    assert.match(
      told,
      /^expected a mail that matches .*; 1 was sent:\n {2}1\. to ada@example\.com, .*: 'Welcome, Ada'\n/,
    )
    assert.ok(told.includes(`\n     ${difference}`), told)
  })

  it('counts', async () => {
    const { outbox } = await send({ ...HELLO })
    await nodemailer.createTransport(testTransport()).sendMail({ ...HELLO, from: FROM })
    outbox.assertEmailSent({ to: HELLO.to }, { count: 1 })
    outbox.assertEmailSent({ to: 'nobody@example.com' }, { count: 0 })
    assert.match(
      failureOf(() => outbox.assertEmailSent(undefined, { count: 2 })),
      /^expected 2 mails; 1 was sent:\n/,
    )
    assert.match(
      failureOf(() => outbox.assertEmailSent({ to: HELLO.to }, { count: 0 })),
      /^expected 0 mails that match \{ to: 'ada@example\.com' \}; 1 did; 1 was sent:\n/,
    )
  })

  it('tells that there was none, and who was refused', async () => {
    const { outbox } = testTransport()
    outbox.refuteEmailSent()
    assert.equal(
      failureOf(() => outbox.assertEmailSent()),
      'expected a mail; none was sent',
    )
    const transport = testTransport()
    transport.outbox.refuse(HELLO.to, 550)
    await assert.rejects(send(HELLO, transport))
    assert.equal(
      failureOf(() => transport.outbox.assertEmailSent({ to: HELLO.to })),
      "expected a mail that matches { to: 'ada@example.com' }; none was sent\n" +
        'refused: ada@example.com (550 5.0.0 refused by the test)',
    )
  })

  it('does not find a mail by a recipient who was refused', async () => {
    const transport = testTransport()
    transport.outbox.refuse('bob@käse.example', 550)
    transport.outbox.refuse('dan@example.com', 550)
    const { outbox } = await send(message, transport)
    outbox.assertEmailSent({ to: ['ada@example.com'], bcc: [], rejected: 'bob@käse.example' })
    outbox.refuteEmailSent({ to: 'bob@käse.example' })
    outbox.refuteEmailSent({ bcc: 'dan@example.com' })
  })
})

describe('a refusal', () => {
  const two = { ...HELLO, to: ['ada@example.com', 'bob@example.com'] }
  const replies = [
    '550 5.1.1 no such user',
    '451 4.7.1 greylisted',
    '552 5.2.2 mailbox full',
    '421 4.3.2 closing',
  ] as const

  /** What a record says of a mail; what two runs cannot have in common is left out. */
  function told({ state, attempt, output, error, attempts }: TaskRecord): unknown {
    const plain = ({ stack: _, ...rest }: NonNullable<TaskRecord['error']>): unknown => rest
    return {
      state,
      attempt,
      recipients: (output as { recipients?: unknown } | undefined)?.recipients,
      error: error && plain(error),
      attempts: attempts.map(({ outcome, error }) => ({ outcome, error: error && plain(error) })),
    }
  }

  it.each(['fail', 'succeed'] as const)(
    'comes to the same as on a real server, whomever it meets (onPartial: %s)',
    async (onPartial) => {
      const cases = [
        {},
        ...replies.flatMap((reply) => [
          { 'ada@example.com': reply },
          { 'bob@example.com': reply },
          ...replies.map((other) => ({ 'ada@example.com': reply, 'bob@example.com': other })),
        ]),
      ] as Readonly<Record<string, string>>[]
      for (const refusals of cases) {
        const server = await smtpServer({ rcpt: ({ address }) => refusals[address] })
        const transport = testTransport()
        for (const [address, reply] of Object.entries(refusals)) transport.outbox.refuse(address, reply)
        const retry = { ...QUICK, attempts: 2 }
        const runners = [server.url, transport].map((transport) => mailRunner({ transport, retry, onPartial }))
        const [real, double] = await Promise.all(
          runners.map(async (runner) => told(await (await runner.submit('email', two)).wait())),
        )
        assert.deepEqual(double, real, JSON.stringify(refusals))
        assert.deepEqual(
          transport.outbox.messages.map(({ envelope }) => envelope),
          server.deliveries.map(({ from, to }) => ({ from, to })),
        )
      }
    },
  )

  it('answers Nodemailer as its own transport would', async () => {
    const refusals: Readonly<Record<string, string>> = { 'bob@example.com': '550 5.1.1 no such user' }
    const server = await smtpServer({ rcpt: ({ address }) => refusals[address] })
    const transport = testTransport()
    transport.outbox.refuse('bob@example.com', '550 5.1.1 no such user')
    const smtp = nodemailer.createTransport({ host: '127.0.0.1', port: server.port, maxRequeues: 0, pool: true })
    const answers = async (to: string[], text: string | { path: string } = 'Hi'): Promise<unknown[]> =>
      await Promise.all(
        [smtp, nodemailer.createTransport(transport)].map(async (transporter) =>
          fields(
            await transporter
              .sendMail({ from: FROM, to, text, messageId: '<1@example.com>', date: new Date(0) })
              .catch((error: unknown) => error),
          ),
        ),
      )
    for (const to of [[], two.to, ['ada@example.com'], ['bob@example.com']]) {
      const [real, double] = await answers(to)
      assert.deepEqual(double, real)
    }
    const [real, double] = await answers(two.to, { path: '/no/such/file' })
    assert.deepEqual(double, real)
    smtp.close()
  })

  it('says what it is told to, or the code in words, as often as it is told to', async () => {
    const transport = testTransport()
    transport.outbox.refuse('ada@EXAMPLE.com', 451, { times: 2 })
    const runner = mailRunner({ transport })
    const { attempts, state } = await (await runner.submit('email', HELLO)).wait()
    assert.equal(state, 'succeeded')
    assert.deepEqual(
      attempts.map(({ error }) => error?.details),
      [
        ...Array(2).fill({
          recipients: {
            'ada@example.com': {
              status: 'failed',
              code: '451',
              enhancedCode: '4.0.0',
              response: '451 4.0.0 refused by the test',
            },
          },
        }),
        undefined,
      ],
    )
    transport.outbox.assertEmailSent({ to: 'ada@example.com' }, { count: 1 })
  })

  it('may be of everybody; one of a recipient goes before it, and clear ends both', async () => {
    const transport = testTransport()
    const { outbox } = transport
    outbox.refuse('*', 452)
    outbox.refuse('bob@example.com', '550 5.1.1 no such user', { times: 1 })
    const refused = async (): Promise<unknown> => {
      const error = await send(two, transport).catch((error) => error)
      return error.rejectedErrors.map(({ recipient, responseCode }: Record<string, unknown>) => [
        recipient,
        responseCode,
      ])
    }
    assert.deepEqual(await refused(), [
      ['ada@example.com', 452],
      ['bob@example.com', 550],
    ])
    assert.deepEqual(await refused(), [
      ['ada@example.com', 452],
      ['bob@example.com', 452],
    ])
    outbox.clear()
    await send(two, transport)
    outbox.assertEmailSent({ to: ['ada@example.com', 'bob@example.com'] }, { count: 1 })
    outbox.clear()
    outbox.refuteEmailSent()
    assert.doesNotMatch(
      failureOf(() => outbox.assertEmailSent()),
      /refused/,
    )
  })

  it.each([
    [['ada', 451], ['address']],
    [['Ada <ada@example.com>', 451], ['address']],
    [['ada@example.com', 250], ['reply']],
    [['ada@example.com', Number.NaN], ['reply']],
    [['ada@example.com', 'no'], ['reply']],
    [
      ['nobody', '354 go on', { times: 0 }],
      ['address', 'reply', 'times'],
    ],
    [['*', 550, { times: 1.5 }], ['times']],
  ] as [Parameters<ReturnType<typeof testTransport>['outbox']['refuse']>, string[]][])(
    'that no server would give is refused itself: %o',
    (args, wrong) => {
      const { outbox } = testTransport()
      assert.throws(
        () => outbox.refuse(...args),
        (error: InvalidInputError) => {
          assert.deepEqual(
            error.issues.map(({ path }) => path[0]),
            wrong,
          )
          return error.code === 'INVALID_INPUT'
        },
      )
    },
  )
})

/** What Nodemailer's answers and errors have in common whoever gives them: no times, no stack, nothing of a session. */
function fields(answer: unknown): unknown {
  if (Array.isArray(answer)) return answer.map(fields)
  if (!(answer instanceof Error)) {
    const { ehlo, envelopeTime, messageTime, messageSize, rejectedErrors, ...rest } = answer as Record<string, unknown>
    return typeof answer === 'object' ? { ...rest, rejectedErrors: rejectedErrors && fields(rejectedErrors) } : answer
  }
  const { rejectedErrors, message, ...rest } = answer as Error & { rejectedErrors?: unknown }
  return { ...rest, message, rejectedErrors: rejectedErrors && fields(rejectedErrors) }
}
