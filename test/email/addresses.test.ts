import { InvalidInputError } from 'background-runner'
import { type EmailMessage, emailTask } from 'background-runner/email'
import { createTestRunner, runTask } from 'background-runner/testing'
import fc from 'fast-check'
import nodemailer from 'nodemailer'
import { describe, expect, it } from 'vitest'
import { addressKey, parseAddress } from '../../src/email/address.js'
import { FROM, HELLO, mailTask } from '../support/email.js'

/** The paths of what is wrong with a message; submitted past its type, as a request body would be. */
async function issuesOf(message: unknown): Promise<unknown[]> {
  const { email } = mailTask()
  const { runner, refuteSubmitted } = createTestRunner({ tasks: { email } })
  try {
    await runner.submit('email', message as EmailMessage)
    return []
  } catch (refused) {
    refuteSubmitted('email')
    expect(refused).toBeInstanceOf(InvalidInputError)
    return (refused as InvalidInputError).issues.map(({ path }) => path)
  }
}

const ALWAYS = ['Content-Transfer-Encoding', 'Content-Type', 'Date', 'From', 'MIME-Version', 'Message-ID']

/** The names of a message's headers, folded lines left out. */
function headerNames(message: unknown): string[] {
  const [head = ''] = String(message).split('\r\n\r\n', 1)
  return head
    .split(/\r\n|\r|\n/)
    .filter((line) => !/^[ \t]/.test(line))
    .map((line) => line.split(':', 1)[0] ?? '')
    .toSorted()
}

const INJECTIONS = [
  'x@example.com\r\nBcc: evil@example.com',
  'x@example.com\nBcc: evil@example.com',
  'x@example.com\r',
  'x@example.com\0',
  'x@example.com\u2028Bcc: evil@example.com',
  'x@example.com\u2029',
  'x@example.com\u0085',
  'Name\r\nBcc: evil@example.com <x@example.com>',
  '"Name\r\nBcc: evil@example.com" <x@example.com>',
  'a@example.com,b@example.com',
  'a@example.com, b@example.com',
  'a@example.com;b@example.com',
  'a@example.com b@example.com',
  '<a@example.com> <b@example.com>',
  '<a@example.com>, <b@example.com>',
  '<a@example.com><b@example.com>',
  'A <a@example.com>, B <b@example.com>',
  'A <a@example.com> b@example.com',
  'a@example.com <b@example.com>',
  'Doe, Jane <jane@example.com>',
  'group: a@example.com;',
  'group:a@example.com,b@example.com;',
  ':a@example.com;',
  '"a@evil.example,b"@example.com',
  '"a b"@example.com',
  'a@evil.example@example.com',
  'a@[127.0.0.1]',
  'a@[x@evil.example]',
  'a@127.0.0.1',
  'a(comment)@example.com',
  'a@example.com (comment)',
  'a＠evil.example@example.com',
  'a@evil.example＠example.com',
  'a@example．com/ü',
  'a@ex ample.com',
  'a@example..com',
  'a@-example.com',
  'a@example.com.',
  '.a@example.com',
  'a.@example.com',
  'a@',
  '@example.com',
  'a',
  '',
  ' ',
  '<>',
  'A <>',
  'A <a@example.com',
  'a@example.com>',
  'a@exa\u200bmple.com',
  '=?utf-8?q?a=40evil.example=3e=00?=@example.com',
  '=?utf-8?q?a?= <a@example.com>',
  '"=?utf-8?q?a?=" <a@example.com>',
  'a\u202e@example.com',
  'a\ud800@example.com',
  `${'a'.repeat(65)}@example.com`,
  `a@${'b'.repeat(64)}.com`,
  `a@${'b.'.repeat(130)}com`,
  `${' '.repeat(300_000)}<a@example.com>`,
  'a'.repeat(300_000),
  `${'=?'.repeat(150_000)}@example.com`,
]

const SHORT_INJECTIONS = INJECTIONS.filter((each) => each.length < 1_000)

const GOOD: readonly (readonly [string, string, string])[] = [
  ['a@x', '', 'a@x'],
  ["o'brien+tag@Example.com", '', "o'brien+tag@example.com"],
  ['Ada <ada@example.com>', 'Ada', 'ada@example.com'],
  ['<ada@example.com>', '', 'ada@example.com'],
  ['"Doe, Jane" <jane@example.com>', 'Doe, Jane', 'jane@example.com'],
  ['"say \\"hi\\" \\\\" <jane@example.com>', 'say "hi" \\', 'jane@example.com'],
  ["J. R. O'Neill <jr@example.com>", "J. R. O'Neill", 'jr@example.com'],
  ['Jürgen 你好 👩‍🚀 <j@example.com>', 'Jürgen 你好 👩‍🚀', 'j@example.com'],
  ['info@jõgeva.ee', '', 'info@xn--jgeva-dua.ee'],
  ['info@例え.テスト', '', 'info@xn--r8jz45g.xn--zckzah'],
  ['用户@例え.テスト', '', '用户@xn--r8jz45g.xn--zckzah'],
]

describe('an address', () => {
  it.each(INJECTIONS.map((each) => [each.length > 80 ? `${each.slice(0, 20)}… (${each.length})` : each, each]))(
    '%j is refused in every field',
    async (_, address) => {
      expect(await issuesOf({ ...HELLO, to: [address] })).toEqual([['to', 0]])
      expect(await issuesOf({ ...HELLO, cc: address, bcc: ['b@x', address] })).toEqual([['cc'], ['bcc', 1]])
      expect(await issuesOf({ ...HELLO, from: address, replyTo: address })).toEqual([['from'], ['replyTo']])
      expect(await issuesOf({ ...HELLO, to: { address } })).toEqual([['to', 'address']])
    },
  )

  it.each(GOOD)('%j is the name %j and the mailbox %j', (text, name, key) => {
    const issues: [] = []
    expect(parseAddress(text, [], issues)).toMatchObject({ name, key })
    expect(issues).toEqual([])
  })

  it('in parts has a name of any characters but line breaks, and nothing else', async () => {
    expect(await issuesOf({ ...HELLO, to: { name: 'a@b, <c@d>: "e"', address: 'a@x' } })).toEqual([])
    expect(await issuesOf({ ...HELLO, to: { name: 'A\r\nBcc: evil@x', address: 'a@x' } })).toEqual([['to', 'name']])
    expect(await issuesOf({ ...HELLO, to: { name: 7, address: 'a@x' } })).toEqual([['to', 'name']])
    expect(await issuesOf({ ...HELLO, to: { name: 'A', address: 'A <a@x>' } })).toEqual([['to', 'address']])
    expect(await issuesOf({ ...HELLO, to: { address: 'a@x', group: [] } })).toEqual([['to', 'group']])
    expect(await issuesOf({ ...HELLO, to: [['a@x']] })).toEqual([['to', 0]])
    expect(await issuesOf({ ...HELLO, to: 7 })).toEqual([['to']])
  })

  it('that is accepted is one recipient to Nodemailer, whatever it is made of', async () => {
    const transport = nodemailer.createTransport({ streamTransport: true, buffer: true })
    const part = fc.oneof(
      fc.constantFrom('a', 'b@x', '@', ',', ';', ':', '<', '>', '"', '\\', '(', ')', '[', ']', ' ', '.', '\r\n', '\n'),
      fc.constantFrom('Bcc: evil@x', 'example.com', 'ü', '\u2028', '＠', '，', '．', '。', '\0', '%', '\ud800', 'xn--'),
      fc.integer({ min: 0, max: 0xffff }).map((code) => String.fromCharCode(code)),
    )
    const text = fc.array(part, { maxLength: 8 }).map((parts) => parts.join(''))
    const entry = fc.oneof(
      text,
      fc.record({ name: text, address: text }),
      text.map((name) => ({ name, address: 'a@x' })),
      text.map((name) => `${name} <a@x>`),
      text.map((tail) => `a${tail}@x`),
      text.map((tail) => `a@x${tail}`),
    )
    let accepted = 0
    await fc.assert(
      fc.asyncProperty(entry, async (value) => {
        const mailbox = parseAddress(value, [], [])
        if (mailbox === undefined) return
        accepted += 1
        const { name, key } = mailbox
        const info = await transport.sendMail({ to: { name, address: key }, from: FROM, text: 'Hello' })
        expect(info.envelope.to.map(addressKey)).toEqual([key])
        expect(headerNames(info.message)).toEqual([...ALWAYS, 'To'].toSorted())
      }),
      {
        numRuns: 200,
        examples: [[{ name: 'x', address: 'a@x' }], ...SHORT_INJECTIONS.map((each): [string] => [each])],
      },
    )
    expect(accepted).toBeGreaterThan(10)
  })

  it('that is well formed is accepted', () => {
    fc.assert(
      fc.property(fc.emailAddress(), (address) => {
        expect(parseAddress(address, [], [])).toMatchObject({ name: '', address })
      }),
    )
  })
})

describe('a message', () => {
  it.each<[string, unknown, unknown[]]>([
    ['that is none', 'hello', [[]]],
    ['that is a list', [], [[]]],
    ['that is empty', {}, [['to'], ['subject'], ['text']]],
    ['without a recipient', { ...HELLO, to: [] }, [['to']]],
    ['without a body', { to: 'a@x', subject: 'Hi' }, [['text']]],
    ['with an unknown field', { ...HELLO, attachment: [{ path: '/etc/passwd' }] }, [['attachment']]],
    ['with a path for a body', { ...HELLO, html: { path: '/etc/passwd' } }, [['html']]],
    ['with a line break in its subject', { ...HELLO, subject: 'Hi\r\nBcc: evil@x' }, [['subject']]],
    ['with a separator in its subject', { ...HELLO, subject: 'Hi\u2028there' }, [['subject']]],
    ['with a list of senders', { ...HELLO, from: ['a@x', 'b@x'] }, [['from']]],
    ['with headers that are none', { ...HELLO, headers: ['Bcc: evil@x'] }, [['headers']]],
    ['with a header that is no string', { ...HELLO, headers: { 'X-A': 7 } }, [['headers', 'X-A']]],
    ['with a line break in a header', { ...HELLO, headers: { 'X-A': 'b\r\nBcc: evil@x' } }, [['headers', 'X-A']]],
    ['with a line break in a name', { ...HELLO, headers: { 'X-A\r\nBcc': 'evil@x' } }, [['headers', 'X-A\r\nBcc']]],
    ['with a colon in a name', { ...HELLO, headers: { 'Bcc:': 'evil@x' } }, [['headers', 'Bcc:']]],
    ...['Bcc', 'bcc', 'To', 'CC', 'From', 'Sender', 'Reply-To', 'Message-ID', 'Subject', 'Date'].map(
      (name): [string, unknown, unknown[]] => [
        `with the header ${name}`,
        { ...HELLO, headers: { [name]: 'evil@x' } },
        [['headers', name]],
      ],
    ),
    ...['Content-Type', 'content-transfer-encoding', 'MIME-Version', 'Resent-Bcc', 'Return-Path', 'Received'].map(
      (name): [string, unknown, unknown[]] => [
        `with the header ${name}`,
        { ...HELLO, headers: { [name]: 'x' } },
        [['headers', name]],
      ],
    ),
    [
      'with a prototype',
      JSON.parse('{"to":"a@x","subject":"","text":"","headers":{"__proto__":"x"}}'),
      [['headers', '__proto__']],
    ],
  ])('%s is refused', async (_, message, paths) => {
    expect(await issuesOf(message)).toEqual(paths)
  })

  it('that is refused mails nobody, and all that is wrong is told', async () => {
    const { email, outbox } = mailTask()
    const { runner, drain, refuteSubmitted } = createTestRunner({ tasks: { email } })
    for (const to of INJECTIONS)
      await expect(runner.submit('email', { ...HELLO, to })).rejects.toThrow(InvalidInputError)
    await expect(runner.submitMany('email', [HELLO, { ...HELLO, to: ['a@x', 'b@x\r\nBcc: evil@x'] }])).rejects.toThrow(
      InvalidInputError,
    )
    refuteSubmitted('email')
    expect(await drain()).toEqual([])
    outbox.refuteEmailSent()
  })

  it('may have further headers', async () => {
    const { email, outbox } = mailTask()
    const headers = { 'List-Unsubscribe': '<mailto:out@example.com>', 'Auto-Submitted': 'auto-generated' }
    await runTask(email, { ...HELLO, headers })
    const [mail] = outbox.assertEmailSent({ headers }, { count: 1 })
    for (const [name, value] of Object.entries(headers)) expect(String(mail?.raw)).toContain(`${name}: ${value}\r\n`)
  })

  it('that is accepted has the headers that it was given, whatever they hold', async () => {
    const nasty = fc.constantFrom('\r\nBcc: evil@x', '\n', '\r', '\u2028', '\0', '\ud800')
    const harmless = fc.string({ unit: 'grapheme', maxLength: 40 })
    const text = fc
      .array(fc.oneof({ arbitrary: nasty, weight: 1 }, { arbitrary: harmless, weight: 9 }), { maxLength: 3 })
      .map((parts) => `a${parts.join('')}`)
    let accepted = 0
    await fc.assert(
      fc.asyncProperty(text, text, text, async (subject, value, name) => {
        const { email, outbox } = mailTask()
        const message = { to: { name, address: 'a@x' }, subject, text: value, headers: { 'X-A': value } }
        try {
          await runTask(email, message)
        } catch (refused) {
          expect(refused).toBeInstanceOf(InvalidInputError)
          return outbox.refuteEmailSent()
        }
        accepted += 1
        const wanted = { to: ['a@x'], bcc: [], subject, text: value, headers: { 'X-A': value } }
        const [mail] = outbox.assertEmailSent(wanted, { count: 1 })
        expect(headerNames(mail?.raw)).toEqual([...ALWAYS, 'Subject', 'To', 'X-A'].toSorted())
      }),
      { numRuns: 200 },
    )
    expect(accepted).toBeGreaterThan(20)
  })
})

describe('the options', () => {
  const good = { transport: 'smtp://localhost', from: FROM }

  it.each<[string, object, unknown[]]>([
    ['no transport', { transport: undefined }, [['transport']]],
    ['a transport that is none', { transport: 7 }, [['transport']]],
    ['a transport of another kind', { transport: { jsonTransport: true } }, [['transport', 'jsonTransport']]],
    [
      'LMTP, which has several replies to one message',
      { transport: { host: 'a', lmtp: true } },
      [['transport', 'lmtp']],
    ],
    ['a limit of each connection', { transport: { host: 'a', rateLimit: 5 } }, [['transport', 'rateLimit']]],
    ['a limit of each connection in a URL', { transport: 'smtp://a?rateLimit=5' }, [['transport', 'rateLimit']]],
    ['a number of connections', { transport: { host: 'a', maxConnections: 2 } }, [['transport', 'maxConnections']]],
    ['a transport without a host', { transport: { port: 25 } }, [['transport']]],
    ['a URL of another kind', { transport: 'https://localhost' }, [['transport']]],
    ['a URL without a host', { transport: 'smtp://' }, [['transport']]],
    ['a bad sender', { from: 'app@x\r\nBcc: evil@x' }, [['from']]],
    ['no sender', { from: undefined }, [['from']]],
    ['a bad onPartial', { onPartial: 'ignore' }, [['onPartial']]],
    ['a bad concurrency', { concurrency: 0 }, [['concurrency']]],
    ['a bad timeout', { timeout: 'soon' }, [['timeout']]],
    ['a bad retry', { retry: 5 }, [['retry']]],
    ['a bad field of retry', { retry: { attempts: 0 } }, [['retry', 'attempts']]],
    ['an unknown option', { rateLimits: 1, from: 'a' }, [['rateLimits'], ['from']]],
  ])('%s is refused by its name', (_, options, paths) => {
    let refused: unknown
    try {
      emailTask({ ...good, ...options } as typeof good)
    } catch (error) {
      refused = error
    }
    expect(refused).toBeInstanceOf(InvalidInputError)
    expect((refused as InvalidInputError).issues.map(({ path }) => path)).toEqual(paths)
  })

  it('retry goes field by field over the default', () => {
    const { retry } = emailTask({ ...good, retry: { attempts: 2 } })
    expect(retry).toMatchObject({ attempts: 2, maxAge: 86_400_000, backoff: { type: 'exponential', factor: 2 } })
  })
})
