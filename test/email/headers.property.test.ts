/**
 * Whatever is submitted: a message that is accepted reaches exactly the recipients that it names, has exactly the headers
 * that it must have, and its receiver reads in them what was submitted. Over a real dialogue, byte by byte.
 */
import type { EmailMessage } from 'background-runner/email'
import fc from 'fast-check'
import { simpleParser } from 'mailparser'
import { describe, expect, it } from 'vitest'
import { addressKey, parseAddress } from '../../src/email/address.js'
import { recipientsOf, senderOf } from '../../src/email/message.js'
import { HELLO } from '../support/email.js'
import { checked, faults, headerNames, headLines, post } from '../support/message.js'

const SPACED = `a${' '.repeat(300)}b`
const ALWAYS = ['MIME-Version', 'Message-ID', 'Date', 'From', 'Content-Type']

/** What has broken a header, or an address, somewhere. */
const nasty = fc.constantFrom(
  ...[
    '\r\nBcc: evil@x',
    '\r\n\r\n',
    '\r\n ',
    '\n',
    '\r',
    '\0',
    '\t',
    '\x0b',
    '\x7f',
    '\x85',
    '\u2028',
    '\ud800',
    '\udc00',
  ],
  ...[
    '=?utf-8?Q?=0D=0ABcc:_evil@x?=',
    '=?utf-8?B?DQpCY2M6IGV2aWxAeA==?=',
    '=?',
    '?=',
    '=?x?q?a b?=',
    '%0d%0aBcc:',
    '\\r\\n',
  ],
  ...[
    '"',
    '\\',
    '\\"',
    "'",
    '(',
    ')',
    '<',
    '>',
    '[',
    ']',
    '@',
    ',',
    ';',
    ':',
    '<evil@x>',
    ', evil@x',
    '"><evil@x>',
    'x: evil@x;',
  ],
  ...[
    ' ',
    '  ',
    ' '.repeat(100),
    'a'.repeat(100),
    'a'.repeat(1_000),
    'ä'.repeat(100),
    '你'.repeat(80),
    '\u00a0',
    '\u3000',
  ],
  ...[
    '\u202e',
    '\u200b',
    '\u00ad',
    '\ufeff',
    '👩‍🚀',
    'e\u0301',
    '＠',
    '，',
    '\u037e',
    '--',
    '\r\n--',
    "utf-8''%0d%0a",
    ';filename=x',
    '*0*=',
  ],
)
const harmless = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 12 })
const text = fc
  .array(fc.oneof({ arbitrary: nasty, weight: 2 }, { arbitrary: harmless, weight: 3 }), { minLength: 1, maxLength: 5 })
  .map((parts) => parts.join(''))
/** Mostly without what is refused, so that enough is accepted. */
const fit = fc.oneof(
  { arbitrary: text, weight: 1 },
  { arbitrary: text.map((each) => each.replace(/[\p{Cc}\p{Cs}\p{Zl}\p{Zp}]|a{900,}/gu, '')), weight: 9 },
)
const domain = fc.constantFrom('x', 'Example.com', 'käse.example', '例え.テスト', 'xn--kse-qla.example')
const local = fc.constantFrom('a', 'B', "o'b+c=d", 'c.d', '%41', 'jürgen', '!#$&*{|}~')
const address = fc.tuple(local, domain).map(([left, right]) => `${left}@${right}`)
const mailbox = fc.oneof(
  { arbitrary: address, weight: 3 },
  { arbitrary: fc.record({ name: fit, address }), weight: 5 },
  { arbitrary: fc.tuple(fit, address).map(([name, at]) => `${name} <${at}>`), weight: 1 },
  { arbitrary: fc.tuple(fit, address).map(([name, at]) => `"${name.replace(/["\\]/g, '\\$&')}" <${at}>`), weight: 2 },
  { arbitrary: text, weight: 1 },
)
const mailboxes = fc.oneof(mailbox, fc.array(mailbox, { maxLength: 4 }))
const optional = <T>(of: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(of, { nil: undefined, freq: 3 })

const headerName = fc.oneof(
  {
    arbitrary: fc.constantFrom('X-A', 'X-Long-Name', 'key', 'value', 'constructor', 'toString', 'List-Id', 'prepared'),
    weight: 8,
  },
  {
    arbitrary: fc.constantFrom('Bcc', 'bcc', 'To', 'Content-Type', '__proto__', 'Subject', 'DKIM-Signature'),
    weight: 1,
  },
  { arbitrary: text, weight: 1 },
)
const headerValue = fc.oneof(fit, fc.array(fit, { maxLength: 3 }))
const headers = fc.dictionary(headerName, headerValue, { maxKeys: 3 })

/** The headers of every part, the message's own first. */
function heads(raw: string): string[] {
  const boundaries = [...raw.matchAll(/boundary="([^"]+)"/g)].map(([, boundary = '']) => boundary)
  const parts = boundaries.flatMap((boundary) => raw.split(`\r\n--${boundary}\r\n`).slice(1))
  return [raw, ...parts].map((part) => headLines(part).join('\r\n'))
}

/** Whether every reader agrees on where the headers of a part begin and end. */
function expectSound(raw: string): void {
  expect(raw.replaceAll('\r\n', '')).not.toMatch(/[\r\n\0]/)
  for (const head of heads(raw)) {
    for (const line of head.split('\r\n')) {
      expect(line).toMatch(/^(?:[!-9;-~]+:(?: |$)|[ \t]+[^ \t])/)
      expect(line.length).toBeLessThanOrEqual(998)
    }
    const names = headerNames(head).map((name) => name.toLowerCase())
    for (const once of [
      'content-type',
      'content-disposition',
      'content-transfer-encoding',
      'content-id',
      'from',
      'bcc',
    ])
      expect(names.filter((name) => name === once).length).toBeLessThanOrEqual(1)
  }
}

/** As a reader that unfolds and trims gives it. */
const unfolded = (value: string): string => value.replace(/ {2,}/g, ' ').replace(/^ | $/g, '')

// Each of these sends some hundred mails.
describe('a message that is accepted', { timeout: 60_000 }, () => {
  it('reaches exactly whom it names, and names them as they were named', async () => {
    const { send, server } = await post({ limits: { recipients: 20 } })
    let accepted = 0
    const message = fc.record({
      to: mailboxes,
      cc: optional(mailboxes),
      bcc: optional(mailboxes),
      from: optional(mailbox),
      sender: optional(mailbox),
      replyTo: optional(mailboxes),
      envelope: optional(
        fc.record({ from: optional(fc.oneof(address, fc.constant(''), text)), to: optional(mailboxes) }),
      ),
    })
    await fc.assert(
      fc.asyncProperty(message, async (fields) => {
        const submitted = { ...HELLO, ...fields } as EmailMessage
        const before = server.commands.length
        if (faults(submitted).length > 0) {
          await expect(send(submitted)).rejects.toMatchObject({ code: 'INVALID_INPUT' })
          expect(server.commands).toHaveLength(before)
          return
        }
        accepted += 1
        const { commands, raw, to, from } = await send(submitted)
        const result = checked(submitted)
        const sender = senderOf(result, result.from ?? parsed('app@example.com'))
        expect(commands).toHaveLength(recipientsOf(result).length + 1)
        expect(to.map(addressKey)).toEqual(recipientsOf(result).map(({ key }) => key))
        expect(from === '' ? '' : addressKey(from)).toBe(sender)
        expectSound(raw)
        const given = (['to', 'cc', 'sender', 'replyTo'] as const).filter((field) => [result[field]].flat().length > 0)
        const names = given.filter((field) => result[field] !== undefined).map((field) => FIELD_NAMES[field])
        expect(headerNames(raw).toSorted()).toEqual([...ALWAYS, ...BODY, 'Subject', ...names].toSorted())
        const mail = await simpleParser(Buffer.from(raw, 'latin1'))
        for (const field of ['to', 'cc', 'replyTo'] as const) {
          const read = [mail[field] ?? []].flat().flatMap(({ value }) => value)
          expect(read.map(({ address: at = '' }) => addressKey(at))).toEqual(result[field].map(({ key }) => key))
          expect(read.map(({ name }) => name)).toEqual(result[field].map(({ name }) => unfolded(name)))
        }
      }),
      { numRuns: 200 },
    )
    expect(accepted).toBeGreaterThan(20)
  })

  it('has exactly the headers that it was given, and they say what was submitted', async () => {
    const { send } = await post()
    let accepted = 0
    await fc.assert(
      fc.asyncProperty(fit, headers, async (subject, given) => {
        const submitted = { ...HELLO, subject, headers: given }
        if (faults(submitted).length > 0) return
        accepted += 1
        const { raw, commands } = await send(submitted)
        expect(commands).toHaveLength(2)
        expectSound(raw)
        const lines = Object.entries(given).flatMap(([name, values]) => [values].flat().map((value) => [name, value]))
        const lower = (names: readonly (string | undefined)[]): string[] =>
          names.map((name = '') => name.toLowerCase()).toSorted()
        expect(lower(headerNames(raw))).toEqual(
          lower([...ALWAYS, ...BODY, ...(subject === '' ? [] : ['Subject']), 'To', ...lines.map(([name]) => name)]),
        )
        const mail = await simpleParser(Buffer.from(raw, 'latin1'))
        expect(mail.subject ?? '').toBe(subject)
      }),
      { numRuns: 200, examples: [[SPACED, { 'X-A': [SPACED, ` ${SPACED} `], key: 'Bcc', value: 'evil@x' }]] },
    )
    expect(accepted).toBeGreaterThan(40)
  })

  it('has parts with exactly the headers of parts, and names that say what was submitted', async () => {
    const { send } = await post()
    let accepted = 0
    const token = fc.oneof(
      { arbitrary: text, weight: 1 },
      { arbitrary: fc.constantFrom('logo', 'a@b', "x'y", '=?'), weight: 4 },
    )
    const type = fc.oneof(
      { arbitrary: text.map((each) => `text/x; a="${each}"`), weight: 1 },
      {
        arbitrary: fc.constantFrom('image/png', 'text/csv', 'text/x; a="b c"', 'message/rfc822', 'multipart/mixed'),
        weight: 4,
      },
    )
    const attachment = fc.record(
      {
        content: fc.constant('a'),
        filename: fit,
        contentType: type,
        cid: token,
        headers: fc.dictionary(fc.constantFrom('X-A', 'key', 'Content-Description', 'Content-ID'), fit, { maxKeys: 1 }),
      },
      { requiredKeys: ['content'] },
    )
    await fc.assert(
      fc.asyncProperty(
        fc.array(attachment, { minLength: 1, maxLength: 2 }),
        fc.boolean(),
        async (attachments, isHtml) => {
          const submitted = { ...HELLO, ...(isHtml && { html: '<p>' }), attachments } as EmailMessage
          if (faults(submitted).length > 0) return
          accepted += 1
          const { raw, commands } = await send(submitted)
          expect(commands).toHaveLength(2)
          expectSound(raw)
          expect(headerNames(raw).toSorted()).toEqual([...ALWAYS, 'Subject', 'To'].toSorted())
          const parts = heads(raw)
            .slice(1)
            .map((head) => headerNames(head))
          for (const name of parts.flat()) expect(name).toMatch(/^(?:Content-[A-Za-z-]+|X-A)$/i)
          const mail = await simpleParser(Buffer.from(raw, 'latin1'))
          expect(mail.attachments).toHaveLength(attachments.length)
          const wanted = attachments.flatMap(({ filename, cid }) =>
            filename === undefined ? [] : [[unfolded(filename), cid]],
          )
          const found = mail.attachments.map(({ filename, contentId }) => [filename, contentId?.slice(1, -1)])
          for (const each of wanted) expect(found).toContainEqual(each)
        },
      ),
      { numRuns: 200 },
    )
    expect(accepted).toBeGreaterThan(20)
  })
})

const BODY = ['Content-Transfer-Encoding']
const FIELD_NAMES = { to: 'To', cc: 'Cc', sender: 'Sender', replyTo: 'Reply-To' } as const

function parsed(value: string): NonNullable<ReturnType<typeof parseAddress>> {
  return parseAddress(value, [], []) as NonNullable<ReturnType<typeof parseAddress>>
}
