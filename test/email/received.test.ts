/**
 * A message as its receiver has it: submitted to the email task, sent to a real server, read by a MIME parser of others,
 * and compared field by field with what was submitted.
 */
import type { EmailAddress, EmailMessage } from 'background-runner/email'
import fc from 'fast-check'
import type { AddressObject } from 'mailparser'
import { describe, expect, it } from 'vitest'
import { HELLO } from '../support/email.js'
import { receive, receiver } from '../support/received.js'

/** The encoded words of RFC 2047 in UTF-8, adjacent ones as one. */
function decodeWords(text: string): string {
  return text
    .replace(/\?= =\?/g, '?==?')
    .replace(/=\?utf-8\?([bq])\?([^?]*)\?=/gi, (_, encoding: string, word: string) =>
      encoding.toLowerCase() === 'b'
        ? Buffer.from(word, 'base64').toString()
        : decodeURIComponent(
            word
              .replaceAll('_', ' ')
              .replaceAll('%', '%25')
              .replace(/=(?=[0-9A-F]{2})/g, '%'),
          ),
    )
}

const people = (of: AddressObject | AddressObject[] | undefined): unknown[] =>
  [of ?? []].flat().flatMap(({ value }) => value)

describe('what is received', () => {
  it.each<[EmailAddress, string, string]>([
    ['ada@example.com', '', 'ada@example.com'],
    ['Ada Lovelace <ada@example.com>', 'Ada Lovelace', 'ada@example.com'],
    ['"Lovelace, Ada" <ada@example.com>', 'Lovelace, Ada', 'ada@example.com'],
    [{ name: 'Ada "the first" \\ Byron', address: 'ada@example.com' }, 'Ada "the first" \\ Byron', 'ada@example.com'],
    [{ name: 'a@b <c@d>; e: f, (g)', address: 'ada@example.com' }, 'a@b <c@d>; e: f, (g)', 'ada@example.com'],
    [
      { name: 'Jürgen Größe 你好 👩‍🚀 مرحبا', address: 'j@example.com' },
      'Jürgen Größe 你好 👩‍🚀 مرحبا',
      'j@example.com',
    ],
    [{ name: 'ü'.repeat(300), address: 'u@example.com' }, 'ü'.repeat(300), 'u@example.com'],
    [{ name: '"'.repeat(440), address: 'q@example.com' }, '"'.repeat(440), 'q@example.com'],
    ['info@jõgeva.ee', '', 'info@jõgeva.ee'],
    ['Info <info@例え.テスト>', 'Info', 'info@例え.テスト'],
    ['用户@例え.テスト', '', '用户@例え.テスト'],
    ['BIG.Local+Tag@EXAMPLE.com', '', 'BIG.Local+Tag@example.com'],
  ])('names %j in every field of addresses', async (submitted, name, address) => {
    const other = 'Other <other@example.com>'
    const { mail, raw } = await receive({
      from: submitted,
      sender: submitted,
      to: [other, submitted],
      cc: submitted,
      replyTo: [submitted, other],
      bcc: 'hidden@example.com',
    })
    const expected = { name, address }
    const others = { name: 'Other', address: 'other@example.com' }
    expect(mail.from?.value).toEqual([expected])
    expect((mail.headers.get('sender') as AddressObject).value).toEqual([expected])
    expect(people(mail.to)).toEqual([others, expected])
    expect(people(mail.cc)).toEqual([expected])
    expect(people(mail.replyTo)).toEqual([expected, others])
    expect(mail.bcc).toBeUndefined()
    expect(raw).not.toContain('hidden')
    for (const line of raw.split('\r\n')) expect(line.length).toBeLessThanOrEqual(998)
  })

  it.each([
    ...[
      'Hi',
      'Grüße 你好 👩‍🚀',
      'a "quoted" \\ subject',
      ' spaces  in   it ',
      '=?utf-8?Q?not_decoded?=',
      '[x] Re: <a@b>; (c), d',
    ],
    ...[
      'x'.repeat(3_000),
      'word '.repeat(600).trim(),
      'ü'.repeat(2_000),
      '你好 '.repeat(500),
      `a${' '.repeat(300)}b`,
      '.',
      'From: x',
    ],
  ])('has the subject %j', async (subject) => {
    const { mail, raw } = await receive({ subject })
    expect(mail.subject).toBe(subject)
    for (const line of raw.split('\r\n')) expect(line.length).toBeLessThanOrEqual(998)
  })

  it('has its texts, whatever they hold', { timeout: 60_000 }, async () => {
    const send = await receiver()
    const lines = fc.array(
      fc.oneof(
        fc.string({ unit: 'grapheme' }),
        fc.constantFrom('.', '..', 'From x', '--', '=3D', ' ', '\t', 'a'.repeat(2_000)),
      ),
      { minLength: 1, maxLength: 6 },
    )
    const text = lines.map((each) => `${each.join('\n')}.`)
    await fc.assert(
      fc.asyncProperty(text, text, async (plain, html) => {
        const { mail } = await send({ ...HELLO, text: plain, html: `<p>${html}</p>` })
        expect(mail.text?.replace(/\n$/, '')).toBe(plain.replace(/\r\n?/g, '\n'))
        expect(String(mail.html).replace(/\n$/, '')).toBe(`<p>${html.replace(/\r\n?/g, '\n')}</p>`)
      }),
      { numRuns: 60 },
    )
  })

  it('has its alternatives, in their own types', async () => {
    const ics = 'BEGIN:VCALENDAR\r\nSUMMARY:Grüße\r\nEND:VCALENDAR\r\n'
    const { mail, raw } = await receive({
      html: '<p>Hello</p>',
      alternatives: [
        { contentType: 'text/calendar; method=REQUEST', content: ics },
        { contentType: 'text/x-amp-html', content: '<html amp4email>⚡</html>' },
        {
          contentType: 'text/x-latin; charset=iso-8859-1',
          content: Buffer.from('ä', 'latin1').toString('base64'),
          encoding: 'base64',
        },
      ],
    })
    expect(mail).toMatchObject({ text: 'Hello Ada', html: '<p>Hello</p>' })
    expect(raw).toMatch(/^Content-Type: multipart\/alternative;/m)
    const found = mail.attachments.map(({ contentType, content }) => [contentType, content])
    expect(found).toEqual([
      ['text/calendar', Buffer.from(ics)],
      ['text/x-amp-html', Buffer.from('<html amp4email>⚡</html>')],
      ['text/x-latin', Buffer.from('ä', 'latin1')],
    ])
    expect(raw).toMatch(/Content-Type: text\/calendar; charset=utf-8; method=REQUEST|method=REQUEST; charset=utf-8/)
    expect(raw).toMatch(/Content-Type: text\/x-amp-html; charset=utf-8/)
    expect(raw).toMatch(/Content-Type: text\/x-latin; charset=iso-8859-1/)
  })

  it('has its attachments, byte for byte', async () => {
    const bytes = Buffer.from(Array.from({ length: 70_000 }, (_, i) => (i * 7) % 256))
    const nested = `From: a@x\r\nTo: b@x\r\nSubject: inner\r\n\r\n${'.dots\r\n'.repeat(3)}`
    const { mail, raw } = await receive({
      html: '<img src="cid:logo@x">',
      attachments: [
        { filename: 'logo.png', cid: 'logo@x', content: bytes.toString('base64'), encoding: 'base64' },
        { filename: 'Grüße 你好 "a"; b=\\c.txt', content: 'Grüße\n' },
        { filename: 'inner.eml', content: nested, contentType: 'message/rfc822' },
        { filename: `${'long name '.repeat(20)}.csv`, content: 'a;ä', contentType: 'text/csv; header=present' },
        {
          content: '',
          filename: 'empty.bin',
          contentDisposition: 'inline',
          headers: { 'Content-Description': 'Nichts für Ungut', 'X-A': ['b', 'c'] },
        },
      ],
    })
    const [logo, text, inner, csv, empty] = mail.attachments
    expect(mail.attachments).toHaveLength(5)
    expect(logo).toMatchObject({ filename: 'logo.png', contentType: 'image/png', contentId: '<logo@x>', related: true })
    expect(logo?.contentDisposition).toBe('inline')
    expect(logo?.content.equals(bytes)).toBe(true)
    expect(text).toMatchObject({ filename: 'Grüße 你好 "a"; b=\\c.txt', contentDisposition: 'attachment' })
    expect(text?.content.toString()).toBe('Grüße\n')
    expect(inner).toMatchObject({
      filename: 'inner.eml',
      contentType: 'message/rfc822',
      contentDisposition: 'attachment',
    })
    expect(inner?.content.toString().trimEnd()).toBe(nested.trimEnd())
    expect(csv).toMatchObject({ filename: `${'long name '.repeat(20)}.csv`, contentType: 'text/csv' })
    expect(csv?.content.toString()).toBe('a;ä')
    expect(raw.replace(/\r\n /g, ' ')).toMatch(/text\/csv; header=present; charset=utf-8; name=/)
    expect(empty).toMatchObject({ filename: 'empty.bin', contentType: 'application/octet-stream', size: 0 })
    expect(empty?.contentDisposition).toBe('inline')
    expect(decodeWords(String(empty?.headers.get('content-description')))).toBe('Nichts für Ungut')
    expect(empty?.headers.get('x-a')).toEqual(['b', 'c'])
  })

  it('has its headers, repeated ones in their order', async () => {
    const long = `${'word '.repeat(1_000)}end`
    const json = JSON.stringify({ category: ['a', 'b'], 'unique args': { id: '"1"' } })
    const headers = {
      'X-Campaign': 'spring 2026',
      'X-Unicode': 'Grüße, 你好',
      'X-Json': json,
      'X-Long': long,
      'X-Word': '=?utf-8?q?not_decoded?=',
      'X-Spaces': ' a  b ',
      'X-Twice': ['first', 'second', 'third'],
      'List-Id': '"My, list" <list.example.com>',
      key: 'Bcc',
      value: 'evil@example.com',
    }
    const { mail, raw } = await receive({ headers })
    for (const [name, value] of Object.entries(headers)) {
      const found = mail.headerLines.filter(({ key }) => key === name.toLowerCase())
      const values = found.map(({ line }) => decodeWords(line.replace(/\r\n(?= )/g, '').slice(name.length + 2)))
      expect(values, name).toEqual([value].flat())
    }
    expect(raw.match(/^X-Twice: \w+/gm)).toEqual(['X-Twice: first', 'X-Twice: second', 'X-Twice: third'])
    // Structured: an encoded word would be no list's name.
    expect(raw).toContain('List-ID: "My, list" <list.example.com>\r\n')
    expect(raw).not.toMatch(/^Bcc/im)
  })

  it.each([
    ['2026-11-26T10:20:30Z', '2026-11-26T10:20:30.000Z'],
    ['2026-11-26T10:20:30.999+05:30', '2026-11-26T04:50:30.000Z'],
    ['1999-12-31T23:59-01:00', '2000-01-01T00:59:00.000Z'],
    [0, '1970-01-01T00:00:00.000Z'],
    [1_795_694_400_123, '2026-11-26T12:00:00.000Z'],
  ])('is of the date %j', async (date, expected) => {
    const { mail } = await receive({ date })
    expect(mail.date?.toISOString()).toBe(expected)
  })

  it('belongs to its thread', async () => {
    const ids = Array.from({ length: 100 }, (_, i) => `<${'a'.repeat(60)}${i}=?x?=@mail.example.com>`)
    const { mail } = await receive({ inReplyTo: ids[99] as string, references: ids })
    expect(mail.inReplyTo).toBe(ids[99])
    expect(mail.references).toEqual(ids)
    const several = await receive({ inReplyTo: ['<a@b>', '<c@d>'], references: '<a@b>  <c@d>' })
    expect(several.mail.inReplyTo).toBe('<a@b> <c@d>')
    expect(several.mail.references).toEqual(['<a@b>', '<c@d>'])
    const single = await receive({ references: '<a@b>' })
    expect(single.mail.references).toBe('<a@b>')
  })

  it.each([
    ['high', 'high', /^X-Priority: 1/m],
    ['low', 'low', /^X-Priority: 5/m],
    ['normal', undefined, /^From/m],
  ] as const)('is of %s priority', async (priority, read, line) => {
    const { mail, raw } = await receive({ priority })
    expect(mail.headers.get('priority')).toBe(read)
    expect(raw).toMatch(line)
  })

  it.each<[NonNullable<EmailMessage['listUnsubscribe']>, string, boolean]>([
    [{ url: 'https://x.example/u?t=a,b', oneClick: true }, '<https://x.example/u?t=a,b>', true],
    [{ url: 'http://x.example/u' }, '<http://x.example/u>', false],
    [
      { url: 'https://käse.example/ü', oneClick: true, mailto: 'out@käse.example' },
      '<https://xn--kse-qla.example/%C3%BC>, <mailto:out@xn--kse-qla.example>',
      true,
    ],
    [
      { mailto: 'mailto:out@x.example?subject=unsubscribe%20me' },
      '<mailto:out@x.example?subject=unsubscribe%20me>',
      false,
    ],
    [{ mailto: 'o%ut@x.example', oneClick: false }, '<mailto:o%25ut@x.example>', false],
    [{ url: `https://x.example/${'a'.repeat(800)}`, oneClick: true }, `<https://x.example/${'a'.repeat(800)}>`, true],
  ])('can be unsubscribed from by %j', async (listUnsubscribe, header, isOneClick) => {
    const { raw } = await receive({ listUnsubscribe })
    const unfolded = raw.replace(/\r\n(?= )/g, '')
    expect(unfolded.split('\r\n')).toContain(`List-Unsubscribe: ${header}`)
    expect(unfolded.includes('\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n')).toBe(isOneClick)
  })

  it('has an envelope of its own, and the headers that it would have had', async () => {
    const { mail, from, to } = await receive({
      to: ['a@example.com', 'b@example.com'],
      envelope: {
        from: 'bounces+a=example.com@Käse.example',
        to: ['c@example.com', 'Dora <d@例え.テスト>', 'c@EXAMPLE.com'],
      },
    })
    expect(from).toBe('bounces+a=example.com@xn--kse-qla.example')
    expect(to).toEqual(['c@example.com', 'd@xn--r8jz45g.xn--zckzah'])
    expect(people(mail.to)).toMatchObject([{ address: 'a@example.com' }, { address: 'b@example.com' }])
    expect(mail.from?.value).toMatchObject([{ address: 'app@example.com' }])
  })
})
