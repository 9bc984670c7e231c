import type { EmailMessage } from 'background-runner/email'
import { describe, expect, expectTypeOf, it } from 'vitest'
import { recipientsOf, senderOf } from '../../src/email/message.js'
import { HELLO } from '../support/email.js'
import { checked, faults, paths, post } from '../support/message.js'

const CONTROLS = [
  '\r\nBcc: evil@x',
  '\n',
  '\r',
  '\0',
  '\t',
  '\x1b',
  '\x7f',
  '\x85',
  '\u2028',
  '\u2029',
  '\ud800',
  '\udc00',
]
const ID = '<left@right>'

describe('a message is refused', () => {
  it.each(CONTROLS)('with %j in any text that goes into a line', (control) => {
    const bad = `a${control}b`
    const headers = ['subject', 'inReplyTo', 'references', 'date', 'priority'].map((field) => [field, { [field]: bad }])
    const others: [string, object][] = [
      ['to.name', { to: { name: bad, address: 'a@x' } }],
      ['to', { to: `a${control}b@x` }],
      ['sender', { sender: `${bad} <a@x>` }],
      ['headers.X-A', { headers: { 'X-A': bad } }],
      ['headers.X-A.1', { headers: { 'X-A': ['good', bad] } }],
      [`headers.X-${bad}`, { headers: { [`X-${bad}`]: 'good' } }],
      ['inReplyTo', { inReplyTo: `<${bad}@right>` }],
      ['references.1', { references: [ID, `<left@${bad}>`] }],
      ['listUnsubscribe.url', { listUnsubscribe: { url: `https://x/${bad}` } }],
      ['listUnsubscribe.mailto', { listUnsubscribe: { mailto: `mailto:a@x?subject=${bad}` } }],
      ['envelope.from', { envelope: { from: `a${control}@x` } }],
      ['envelope.to.0', { envelope: { to: [`a${control}@x`] } }],
      ['attachments.0.filename', { attachments: [{ content: '', filename: bad }] }],
      ['attachments.0.contentType', { attachments: [{ content: '', contentType: `text/${bad}` }] }],
      ['attachments.0.contentType', { attachments: [{ content: '', contentType: `text/x; a="${bad}"` }] }],
      ['attachments.0.cid', { attachments: [{ content: '', cid: bad }] }],
      ['attachments.0.headers.X-A', { attachments: [{ content: '', headers: { 'X-A': bad } }] }],
      ['alternatives.0.contentType', { alternatives: [{ content: '', contentType: `text/x${control}` }] }],
    ]
    for (const [path, field] of [...headers, ...others] as [string, object][])
      expect(paths({ ...HELLO, ...field }), JSON.stringify(field)).toEqual([path])
  })

  it.each<[string, object, string[]]>([
    ['html: half a character', { html: 'a\ud800' }, ['html']],
    ['raw', { raw: 'To: evil@x' }, ['raw']],
    ['messageId', { messageId: ID }, ['messageId']],
    ...[
      ...[
        'watchHtml',
        'amp',
        'icalEvent',
        'list',
        'dsn',
        'attachDataUrls',
        'encoding',
        'textEncoding',
        'normalizeHeaderKey',
      ],
      ...['envelopes', 'xMailer', 'otp', 'baseBoundary', 'auth', 'dkim', '_dkim', 'disableFileAccess', 'constructor'],
    ].map((field): [string, object, string[]] => [`the field ${field}`, { [field]: 'x' }, [field]]),
    ['a prototype', JSON.parse('{"__proto__":{"raw":"To: evil@x"}}'), ['__proto__']],
    ['an address with a group', { to: { address: 'a@x', group: [{ address: 'evil@x' }] } }, ['to.group']],
    ['an address with a prototype', { to: JSON.parse('{"address":"a@x","__proto__":{"group":[]}}') }, ['to.__proto__']],
    ['an address that is a list', { to: { address: ['a@x', 'evil@x'] } }, ['to.address']],
    ['a name that is an object', { to: { name: { toString: 'x' }, address: 'a@x' } }, ['to.name']],
    ['a list in a list', { to: [['a@x', 'b@x']] }, ['to.0']],
    ['two senders', { sender: ['a@x', 'b@x'] }, ['sender']],
    ['a name that is an encoded word', { to: { name: '=?utf-8?q?a?=', address: 'a@x' } }, ['to.name']],
    ['a subject that is an object', { subject: { prepared: true, value: 'a\r\nBcc: evil@x' } }, ['subject']],
    ['a subject that is too long', { subject: 'a '.repeat(5_001) }, ['subject']],
    ['text from a file', { text: { path: '/etc/passwd' } }, ['text']],
    ['html from a URL', { html: { href: 'http://127.0.0.1/' } }, ['html']],
  ])('with %s', (_, field, expected) => {
    expect(paths(Object.create({}, Object.getOwnPropertyDescriptors(HELLO)))).toEqual([])
    const message = Object.defineProperties({ ...HELLO }, Object.getOwnPropertyDescriptors(field))
    expect(paths(message)).toEqual(expected)
  })

  it.each<[string, unknown, string[]]>([
    ['a prepared value', { 'X-A': { prepared: true, value: 'a\r\nBcc: evil@x' } }, ['headers.X-A']],
    ['a list of objects', { 'X-A': [{ value: 'x' }] }, ['headers.X-A.0']],
    ['a list of pairs', [{ key: 'Bcc', value: 'evil@x' }], ['headers']],
    ['an empty list', { 'X-A': [] }, ['headers.X-A']],
    ['no value', { 'X-A': ' ' }, ['headers.X-A']],
    ['too long a value', { 'X-A': 'a '.repeat(5_001) }, ['headers.X-A']],
    ['too long a word', { 'X-A': 'a'.repeat(901) }, ['headers.X-A']],
    ['too many values', { 'X-A': Array(101).fill('a') }, ['headers.X-A']],
    ['too many headers', Object.fromEntries([...Array(101).keys()].map((i) => [`X-${i}`, 'a'])), ['headers']],
    ['too much in all', { 'X-A': Array(6).fill('a '.repeat(4_500)) }, ['headers']],
    ['the same name twice', { 'X-A': 'a', 'x-a': 'b' }, ['headers.x-a']],
    ['a colon in a name', { 'From: a@x (': ')' }, ['headers.From: a@x (']],
    ['a space in a name', { 'Bcc ': 'evil@x' }, ['headers.Bcc ']],
    ['a name in Unicode', { 'X-Ä': 'a' }, ['headers.X-Ä']],
    ['In-Reply-To', { 'in-reply-to': ID }, ['headers.in-reply-to']],
    ['References', { References: ID }, ['headers.References']],
    ['Content-Disposition', { 'Content-Disposition': 'inline' }, ['headers.Content-Disposition']],
  ])('with headers of %s', (_, headers, expected) => {
    expect(paths({ ...HELLO, headers })).toEqual(expected)
  })

  it('whose headers are set by a field as well', () => {
    const headers = { 'List-Unsubscribe': '<https://x>', 'list-unsubscribe-post': 'x', Importance: 'low' }
    expect(paths({ ...HELLO, headers })).toEqual([])
    expect(faults({ ...HELLO, headers, priority: 'high', listUnsubscribe: { url: 'https://x/1' } })).toEqual([
      ['headers.List-Unsubscribe', 'is set by listUnsubscribe'],
      ['headers.list-unsubscribe-post', 'is set by listUnsubscribe'],
      ['headers.Importance', 'is set by priority'],
    ])
  })

  it.each<[string, unknown]>([
    ['nothing', ''],
    ['spaces', '  '],
    ['no brackets', 'left@right'],
    ['no at', '<left>'],
    ['two ats', '<a@b@c>'],
    ['a space inside', '<a @b>'],
    ['two in one', '<a@b><c@d>'],
    ['a comma', '<a@b>, <c@d>'],
    ['another header', '<a@b> Bcc:evil@x'],
    ['no string', [7]],
    ['an empty list', []],
    ['a very long one', `<${'a'.repeat(900)}@b>`],
    ['very many', Array(101).fill(ID)],
    ['what is no ASCII', '<ä@b>'],
  ])('whose message ids are %s', (_, value) => {
    expect(paths({ ...HELLO, inReplyTo: value })[0]).toMatch(/^inReplyTo(?:\.0)?$/)
    expect(paths({ ...HELLO, references: value })[0]).toMatch(/^references(?:\.0)?$/)
  })

  it.each<[unknown]>(
    [
      ...[
        '2026-11-26',
        '2026-11-26T10:00:00',
        '2026-02-30T10:00:00Z',
        '2026-13-01T10:00:00Z',
        '26 Nov 2026 10:00:00 Z',
        '',
      ],
      ...[-1, 1.5, 253_402_300_800_000, '2026-11-26T10:00:00Z\r\nBcc: evil@x', {}, { toString: 1 }, null, true],
    ].map((date): [unknown] => [date]),
  )('whose date is %j', (date) => {
    expect(paths({ ...HELLO, date })).toEqual(['date'])
  })

  it.each<[unknown, string[]]>([
    ['https://x', ['listUnsubscribe']],
    [{}, ['listUnsubscribe']],
    [{ oneClick: true }, ['listUnsubscribe.url', 'listUnsubscribe']],
    [{ oneClick: true, mailto: 'a@x' }, ['listUnsubscribe.url']],
    [{ oneClick: true, url: 'http://x' }, ['listUnsubscribe.url']],
    [{ oneClick: 'yes', url: 'https://x' }, ['listUnsubscribe.oneClick']],
    [{ url: 'ftp://x' }, ['listUnsubscribe.url']],
    [{ url: 'https://user:pass@x' }, ['listUnsubscribe.url']],
    [{ url: 'https://x>, <https://evil' }, ['listUnsubscribe.url']],
    [{ url: 'https://x\\@evil' }, ['listUnsubscribe.url']],
    [{ url: ['https://x'] }, ['listUnsubscribe.url']],
    [{ url: `https://x/${'a'.repeat(900)}` }, ['listUnsubscribe.url']],
    [{ mailto: 'Ada <a@x>' }, ['listUnsubscribe.mailto']],
    [{ mailto: 'mailto:a@x>,<b@x' }, ['listUnsubscribe.mailto']],
    [{ mailto: 'mailto:a@x,b@x' }, ['listUnsubscribe.mailto']],
    [{ url: 'https://x', comment: 'x)\r\nBcc: evil@x' }, ['listUnsubscribe.comment']],
  ])('whose listUnsubscribe is %j', (listUnsubscribe, expected) => {
    expect(paths({ ...HELLO, listUnsubscribe })).toEqual(expected)
  })

  it.each<[unknown, string[]]>([
    ['a@x', ['envelope']],
    [{ from: 'Ada <a@x>' }, ['envelope.from']],
    [{ from: { address: 'a@x' } }, ['envelope.from']],
    [{ from: ' ' }, ['envelope.from']],
    [{ from: ['a@x', 'b@x'] }, ['envelope.from']],
    [{ to: 'a@x, b@x' }, ['envelope.to']],
    [{ to: [] }, ['to']],
    [{ size: '1\r\nRCPT TO:<evil@x>' }, ['envelope.size']],
    [{ dsn: {}, use8BitMime: true }, ['envelope.dsn', 'envelope.use8BitMime']],
  ])('whose envelope is %j', (envelope, expected) => {
    expect(paths({ ...HELLO, envelope })).toEqual(expected)
  })

  it('with more recipients than the limit, each counted once', () => {
    const people = [...Array(101).keys()].map((i) => `a${i}@x`)
    const [first = '', ...rest] = people
    expect(paths({ ...HELLO, to: people })).toEqual(['to'])
    expect(faults({ ...HELLO, to: first, bcc: rest })).toEqual([['to', 'must name at most 100 recipients, got 101']])
    expect(paths({ ...HELLO, to: rest, cc: rest })).toEqual([])
    expect(paths({ ...HELLO, envelope: { to: people } })).toEqual(['envelope.to'])
    expect(paths({ ...HELLO, to: ['a@x', 'b@x'] }, { limits: { recipients: 1 } })).toEqual(['to'])
    // A list that is much too long is not read.
    expect(paths({ ...HELLO, to: Array(200_000).fill('not one') })).toEqual(['to'])
  })

  it('with more bytes than the limit, each counted as it will be', () => {
    const size = (message: object): string[] => paths({ ...HELLO, text: '', ...message }, { limits: { size: 8 } })
    expect(size({ text: 'ääää' })).toEqual([])
    expect(faults({ ...HELLO, text: 'äääää' }, { limits: { size: 8 } })).toEqual([
      ['', 'must be at most 8 bytes, got 10'],
    ])
    expect(size({ text: 'aaaa', html: 'aaaaa' })).toEqual([''])
    const base64 = Buffer.from('12345678').toString('base64')
    expect(size({ attachments: [{ content: base64, encoding: 'base64' }] })).toEqual([])
    expect(size({ attachments: [{ content: base64, encoding: 'base64' }], text: 'a' })).toEqual([''])
    expect(size({ alternatives: [{ contentType: 'text/x-a', content: '12345' }], text: 'aaaa' })).toEqual([''])
  })

  it('and of what it holds only addresses, headers and dates are shown', () => {
    const secret = 's3cr3t'
    const url = `https://user:${secret}@x/?token=${secret}`
    const told = faults({
      ...HELLO,
      listUnsubscribe: { url },
      html: [secret],
      attachments: [
        { href: url },
        { path: `/${secret}` },
        { content: `${secret}!`, encoding: 'base64' },
        { content: secret, filename: `${secret}\n` },
      ],
      alternatives: [{ contentType: 'text/x-a', content: [secret] }],
    })
    expect(told).toHaveLength(7)
    expect(JSON.stringify(told)).not.toContain(secret)
  })
})

describe('a message', () => {
  it('is kept as it was submitted, beside what it was read as', () => {
    const message: EmailMessage = { ...HELLO, to: 'Ada <ada@Example.com>', cc: [] }
    const { source, to } = checked(message)
    expect(source).toBe(message)
    expect(to).toEqual([{ name: 'Ada', address: 'ada@Example.com', key: 'ada@example.com' }])
    expectTypeOf(source).toEqualTypeOf<EmailMessage>()
  })

  it('goes to everyone that it names, once', () => {
    const all = (message: object): string[] =>
      recipientsOf(checked({ ...HELLO, ...message })).map(({ address }) => address)
    expect(all({})).toEqual(['ada@example.com'])
    expect(all({ to: ['a@x', 'b@X'], cc: 'a@X', bcc: ['c@x', 'b@x'] })).toEqual(['a@x', 'b@X', 'c@x'])
    expect(all({ cc: 'c@x', envelope: { to: ['d@x', 'd@X'] } })).toEqual(['d@x'])
    expect(all({ to: [], envelope: { to: 'd@x' } })).toEqual(['d@x'])
    expect(all({ bcc: 'c@x', envelope: { from: '' } })).toEqual(['ada@example.com', 'c@x'])
  })

  it('has the sender of its envelope, or of its headers', () => {
    const from = { name: 'App', address: 'app@käse.example', key: 'app@xn--kse-qla.example' }
    const sender = (envelope: object): string => senderOf(checked({ ...HELLO, envelope }), from)
    expect(sender({})).toBe('app@xn--kse-qla.example')
    expect(sender({ from: 'bounces+ada=example.com@käse.example' })).toBe('bounces+ada=example.com@xn--kse-qla.example')
    expect(sender({ from: '' })).toBe('')
  })

  it('without a sender bounces to nobody', async () => {
    const { send } = await post()
    const { commands, raw } = await send({ ...HELLO, envelope: { from: '', to: 'eve@example.com' } })
    expect(commands).toEqual(['MAIL FROM:<>', 'RCPT TO:<eve@example.com>'])
    expect(raw).toMatch(/^From: App <app@example\.com>\r$/m)
    expect(raw).toMatch(/^To: ada@example\.com\r$/m)
  })
})
