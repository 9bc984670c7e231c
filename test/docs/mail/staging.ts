import { emailTask } from 'background-runner/email'
import { createTestRunner, testTransport } from 'background-runner/testing'

const transport = testTransport()
const email = emailTask({
  transport,
  from: 'App <app@example.com>',
  intercept: (message) => ({
    ...message,
    to: 'team@example.com',
    cc: [],
    bcc: [],
    envelope: {}, // whom it names would get it instead
    subject: `[staging] ${message.subject}`,
  }),
})
const { runner, drain } = createTestRunner({ tasks: { email } })

await runner.submit('email', { to: 'ada@example.org', bcc: 'eve@example.org', subject: 'Hi', text: 'Hello' })
await drain()
for (const { subject, envelope } of transport.outbox.messages) console.log(subject, envelope.to)
