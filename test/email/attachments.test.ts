import { pathToFileURL } from 'node:url'
import { InvalidInputError } from 'background-runner'
import { type AttachmentOptions, emailTask } from 'background-runner/email'
import { describe, expect, it } from 'vitest'
import { FROM, HELLO } from '../support/email.js'
import { faults, paths, rulesOf } from '../support/message.js'

const told = (attachment: object, attachments?: AttachmentOptions): (readonly [string, string])[] =>
  faults({ ...HELLO, attachments: [attachment] }, attachments && { attachments })
const wrong = (attachment: object, attachments?: AttachmentOptions): string[] =>
  told(attachment, attachments).map(([path]) => path.replace(/^attachments\.0\.?/, ''))

describe('an attachment is refused', () => {
  it.each<[string, object, string[]]>([
    ['without a content', { filename: 'a.txt' }, ['']],
    ['with two contents', { content: 'a', path: 'b' }, ['']],
    ['with raw', { raw: 'Content-Type: text/html\r\n\r\n<p>' }, ['raw', '']],
    ['with raw beside its content', { content: 'a', raw: 'b' }, ['raw']],
    ...['contentTransferEncoding', 'httpHeaders', 'tls', 'method', 'Path'].map((field): [string, object, string[]] => [
      `with ${field}`,
      { content: 'a', [field]: 'x' },
      [field],
    ]),
    ['with a prototype', JSON.parse('{"content":"a","__proto__":{"path":"/etc/passwd"}}'), ['__proto__']],
    ['with content that is read elsewhere', { content: { path: '/etc/passwd' } }, ['content']],
    ['with content that is a list', { content: ['a'] }, ['content']],
    ['with half a character', { content: '\ud800' }, ['content']],
    ['with what is no base64', { content: 'a-_=', encoding: 'base64' }, ['content']],
    ['with base64 that is cut', { content: 'YWJ', encoding: 'base64' }, ['content']],
    ['with another encoding', { content: '00', encoding: 'hex' }, ['encoding']],
    ['with no name', { content: '', filename: '' }, ['filename']],
    ['with false for a name', { content: '', filename: false }, ['filename']],
    ['with too long a name', { content: '', filename: 'a'.repeat(256) }, ['filename']],
    ['with an encoded word for a name', { content: '', filename: '=?utf-8?Q?a=0D=0A?=' }, ['filename']],
    ['with an object for a name', { content: '', filename: { toString: 'a' } }, ['filename']],
    ['with a multipart type', { content: '', contentType: 'multipart/mixed; boundary=x' }, ['contentType']],
    ['with no type', { content: '', contentType: 'text' }, ['contentType']],
    ['with a second name', { content: '', contentType: 'text/x; name=a' }, ['contentType']],
    ['with a name in pieces', { content: '', contentType: 'text/x; name*0=a' }, ['contentType']],
    ['with an open quote', { content: '', contentType: 'text/x; a="b' }, ['contentType']],
    ['with a comment', { content: '', contentType: 'text/x (a)' }, ['contentType']],
    ['with text in another charset', { content: 'ä', contentType: 'text/csv; charset=latin1' }, ['contentType']],
    ['with brackets in its cid', { content: '', cid: '<logo>' }, ['cid']],
    ['with another disposition', { content: '', contentDisposition: 'attachment; filename=x' }, ['contentDisposition']],
    ['with a header of its parts', { content: '', headers: { 'Content-Type': 'text/html' } }, ['headers.Content-Type']],
    ['with a header of messages', { content: '', headers: { Subject: 'x' } }, ['headers.Subject']],
    ['with a header that is prepared', { content: '', headers: { 'X-A': { value: 'x' } } }, ['headers.X-A']],
  ])('%s', (_, attachment, expected) => {
    expect(wrong(attachment)).toEqual(expected)
  })

  it('that is none, or one of too many, or with the cid of another', () => {
    expect(paths({ ...HELLO, attachments: { content: 'a' } })).toEqual(['attachments'])
    expect(paths({ ...HELLO, attachments: ['a', null, []] })).toEqual([
      'attachments.0',
      'attachments.1',
      'attachments.2',
    ])
    expect(paths({ ...HELLO, attachments: Array(101).fill({ content: 'a' }) })).toEqual(['attachments'])
    expect(paths({ ...HELLO, attachments: Array(2).fill({ content: 'a', cid: 'logo' }) })).toEqual(['attachments'])
  })

  it('if it is elsewhere and the task allows nothing', () => {
    expect(told({ path: 'a' })).toEqual([['attachments.0.path', "is not allowed: the task has no 'attachments.root'"]])
    expect(told({ href: 'https://x' })).toEqual([
      ['attachments.0.href', "is not allowed: the task has no 'attachments.hosts'"],
    ])
    expect(told({ reference: 1 })).toEqual([
      ['attachments.0.reference', "is not allowed: the task has no 'attachments.resolve'"],
    ])
  })

  it.each(
    [
      ...['/etc/passwd', '../a', 'a/../../b', '..', '.', '', 'a\0', 'a\n', 'C:\\a', 'c:a', '\\\\host\\a', '\\a'],
      ...[
        'file:///etc/passwd',
        'http://x/a',
        'data:text/plain,a',
        `../${'x'.repeat(9)}`,
        { toString: 'a' },
        ['a'],
        null,
      ],
    ].map((path): [unknown] => [path]),
  )('if its path is %j', async (path) => {
    expect(wrong({ path }, { root: '/srv/files' })).toEqual(['path'])
  })

  it('never if its path stays below the root', () => {
    for (const path of ['a', 'a/b.txt', 'a/../b', './a', '..a', 'a..', 'ä/你'])
      expect(wrong({ path }, { root: '/srv/files' })).toEqual([])
    expect(wrong({ path: 'b' }, { root: pathToFileURL('/srv/files') })).toEqual([])
    expect(wrong({ path: '../files-of-others/b' }, { root: '/srv/files' })).toEqual(['path'])
  })

  it.each(
    [
      ...[
        'http://evil',
        'https://files.example.com.evil',
        'https://files.example.com@evil',
        'https://a@files.example.com',
      ],
      ...[
        'https://files.example.com:8443',
        'http://files.example.com:443',
        'https://files.example.com.',
        'ftp://files.example.com',
      ],
      ...['data:text/plain,a', 'file:///etc/passwd', '//files.example.com', 'https:files.example.com', '', 'https://'],
      ...[
        'https://files.example.com\\@evil',
        'https://evil\\.files.example.com',
        'https://files.example.com/\r\nHost: x',
      ],
      ...[
        ' https://files.example.com',
        'https://evil#@files.example.com',
        'https://evil?@files.example.com',
        ['https://files.example.com'],
      ],
      ...[
        'https://files%2eexample%2ecom.evil',
        'https://127.0.0.1',
        'https://0x7f.1',
        'https://[::1]',
        `https://files.example.com/${'a'.repeat(2_000)}`,
      ],
    ].map((href): [unknown] => [href]),
  )('if its href is %j', (href) => {
    expect(wrong({ href }, { hosts: ['files.example.com', 'other.example.com:8443'] })).toEqual(['href'])
  })

  it('never if its href is at an allowed host', () => {
    const hosts = ['files.example.com', 'Other.example.com:8443', 'käse.example', '[::1]:80', '127.0.0.1:3000']
    for (const href of [
      ...[
        'https://files.example.com/a?b=c',
        'http://FILES.example.com',
        'https://files.example.com:443/',
        'HTTPS://files%2eexample.com',
      ],
      ...[
        'https://other.example.com:8443/a',
        'https://käse.example',
        'https://xn--kse-qla.example',
        'http://[::1]/',
        'http://127.0.0.1:3000',
      ],
    ])
      expect(wrong({ href }, { hosts }), href).toEqual([])
  })

  it('by the task where its options are wrong', () => {
    const bad = (attachments: unknown): unknown => {
      try {
        rulesOf({ attachments: attachments as AttachmentOptions })
      } catch (error) {
        return (error as InvalidInputError).issues.map(({ path }) => path.join('.'))
      }
      return []
    }
    expect(bad('files')).toEqual(['attachments'])
    expect(bad({ roots: '/a' })).toEqual(['attachments.roots'])
    expect(bad({ root: '' })).toEqual(['attachments.root'])
    expect(bad({ root: new URL('https://x') })).toEqual(['attachments.root'])
    expect(bad({ resolve: 'x' })).toEqual(['attachments.resolve'])
    for (const host of ['', 'https://x', 'x/y', 'a@x', 'x:y', 'x:', '*.x', 'x:99999', 7, 'x y', '*'])
      expect(bad({ hosts: [host] }), String(host)).toEqual(['attachments.hosts'])
    expect(() => emailTask({ transport: 'smtp://x', from: FROM, attachments: { root: '' } })).toThrow(InvalidInputError)
    expect(() => emailTask({ transport: 'smtp://x', from: FROM, limits: { recipients: 0 } })).toThrow(
      'limits.recipients',
    )
  })
})
