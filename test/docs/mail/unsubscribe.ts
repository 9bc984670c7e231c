import { emailTask } from 'background-runner/email'
import { createTestRunner, testTransport } from 'background-runner/testing'

const transport = testTransport()
const email = emailTask({ transport, from: 'News <news@example.com>' })
const { runner, drain } = createTestRunner({ tasks: { email } })

await runner.submit('email', {
  to: 'ada@example.com',
  subject: 'News of November',
  text: 'Hello Ada',
  listUnsubscribe: { url: 'https://example.com/leave?token=2mQ8', oneClick: true, mailto: 'leave@example.com' },
})
await drain()
const { headers } = transport.outbox.messages[0] ?? {}
console.log(headers?.['list-unsubscribe'])
console.log(headers?.['list-unsubscribe-post'])
