import { emailTask } from 'background-runner/email'
import { createTestRunner, testTransport } from 'background-runner/testing'
import { expect, it } from 'vitest'

// with mail.record_messages() as outbox: …
it('welcomes a user', async () => {
  const transport = testTransport()
  const email = emailTask({ transport, from: 'App <app@example.com>' })
  const { runner, drain } = createTestRunner({ tasks: { email } })

  await runner.submit('email', { to: 'ada@example.com', subject: 'testing', text: 'test' })
  await drain()

  expect(transport.outbox.messages).toHaveLength(1)
  expect(transport.outbox.messages[0]?.subject).toBe('testing')
})
