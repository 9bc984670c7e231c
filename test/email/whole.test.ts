/** What is sent in one piece is what Nodemailer would have streamed. */
import { Readable, Transform } from 'node:stream'
import { finished } from 'node:stream/promises'
import fc from 'fast-check'
import type { SendMailOptions } from 'nodemailer'
import MailComposer from 'nodemailer/lib/mail-composer'
import type MimeNode from 'nodemailer/lib/mime-node'
import { expect, it } from 'vitest'
import { loadEncoders, WholeMessage } from '../../src/email/whole.js'

const compiled = (message: SendMailOptions): MimeNode =>
  new MailComposer({
    from: 'a@example.com',
    to: 'b@example.com',
    subject: 'Hi',
    messageId: '<1@example.com>',
    baseBoundary: 'between',
    date: new Date(0),
    ...message,
  }).compile()

/** A soft line break of quoted-printable may stand elsewhere where a text ends in spaces. */
const joined = (raw: Buffer | undefined): string | undefined => raw?.toString().replaceAll('=\r\n', '')

const piece = fc.constantFrom(
  'Hello ',
  'ü',
  '你好',
  '👩‍🚀',
  '\n',
  '\r\n',
  '\r',
  '\n.',
  '.',
  '=',
  '\t',
  ' ',
  'x'.repeat(80),
  '--',
)
const text = fc.array(piece, { maxLength: 60 }).map((pieces) => pieces.join(''))
const bytes = fc.uint8Array({ maxLength: 300 }).map((given) => Buffer.from(given))
const attachment = fc.record({
  content: fc.oneof(text, bytes),
  filename: fc.constantFrom('a.txt', 'ü "b".pdf', 'c'),
  contentType: fc.constantFrom('text/plain', 'application/pdf', 'text/csv; charset=latin1'),
})
const message = fc.record(
  {
    text,
    html: text,
    alternatives: fc.array(fc.record({ content: text, contentType: fc.constant('text/calendar; charset=utf-8') }), {
      maxLength: 2,
    }),
    attachments: fc.array(attachment, { maxLength: 3 }),
    headers: fc.constantFrom({}, { 'X-Long': 'word '.repeat(40).trim() }),
  },
  { requiredKeys: ['text'] },
)

it('is what Nodemailer streams', async () => {
  const encoders = await loadEncoders()
  await fc.assert(
    fc.asyncProperty(message, async (given) => {
      // Nodemailer writes into what it is given.
      const copy = () => ({ ...given, attachments: given.attachments?.map((each) => ({ ...each })) })
      const whole = WholeMessage.of(compiled(copy()), encoders)
      expect(joined(whole?.bytes)).toBe(joined(await compiled(copy()).build()))
    }),
  )
})

it.each<[string, SendMailOptions]>([
  ['is large', { text: 'x\n'.repeat(40_000) }],
  ['is large in all', { text: 'x\n'.repeat(5_000), html: 'y\n'.repeat(5_000) }],
  ['is large in bytes', { text: '你'.repeat(6_000) }],
  ['is read while it is sent', { text: 'Hi', attachments: [{ content: Readable.from(['a']) }] }],
  [
    'holds bytes that stay as they are',
    { text: 'Hi', attachments: [{ content: Buffer.from('Subject: \xe4', 'latin1'), contentType: 'message/rfc822' }] },
  ],
])('is streamed if it %s', async (_, given) => {
  expect(WholeMessage.of(compiled(given), await loadEncoders())).toBeUndefined()
})

it.each([100, 5_000, 16_000])('goes out in one write with its final dot: %i bytes', async (size) => {
  const whole = WholeMessage.of(compiled({ text: 'x\n'.repeat(size / 2) }), await loadEncoders())
  const writes: Buffer[] = []
  const dotted = new Transform({
    transform: (chunk, _, done) => done(null, chunk),
    flush(done) {
      this.push('.\r\n')
      done()
    },
  })
  dotted.on('data', (chunk) => writes.push(chunk))
  whole?.pipe(dotted)
  await finished(dotted)
  expect(writes.map(String)).toEqual([`${whole?.bytes}.\r\n`])
})
