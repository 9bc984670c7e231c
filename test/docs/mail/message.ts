import { emailTask } from 'background-runner/email'
import { createTestRunner, testTransport } from 'background-runner/testing'

const transport = testTransport()
const email = emailTask({ transport, from: { name: 'Ümit, from the shop', address: 'shop@example.com' } })
const { runner, drain } = createTestRunner({ tasks: { email } })

await runner.submit('email', {
  to: ['Ada Lovelace <ada@example.com>', { name: 'Grace', address: 'grace@bücher.example' }],
  cc: 'office@example.com',
  bcc: ['archive@example.com'],
  replyTo: 'help@example.com',
  sender: 'robot@example.com', // who sends it on behalf of `from`
  subject: 'Your meeting',
  text: 'Tomorrow at ten.',
  html: '<p>Tomorrow at ten.</p>',
  alternatives: [{ contentType: 'text/calendar; method=REQUEST', content: 'BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n' }],
  attachments: [{ filename: 'map.png', content: 'iVBORw0KGgo=', encoding: 'base64' }],
  headers: { 'X-Campaign': 'meetings', 'Auto-Submitted': 'auto-generated' },
  inReplyTo: '<question@example.com>',
  references: ['<first@example.com>', '<question@example.com>'],
  priority: 'high',
  date: '2026-11-26T10:00:00Z',
})
await drain()

const [message] = transport.outbox.messages
const { 'content-type': _, ...headers } = message?.headers ?? {}
console.log(message?.envelope.to, headers)
