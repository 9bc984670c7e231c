import { emailTask } from 'background-runner/email'
import { createTestRunner, testTransport } from 'background-runner/testing'
import { it } from 'vitest'

it('sends again what a mail server put off', async () => {
  const transport = testTransport()
  const email = emailTask({ transport, from: 'Shop <shop@example.com>' })
  const { runner, clock, assertSubmitted, assertSucceeded } = createTestRunner({ tasks: { email } })
  transport.outbox.refuse('ada@example.com', 451, { times: 2 })

  await runner.submit('email', { to: 'ada@example.com', subject: 'Hi', text: 'Hello' })
  assertSubmitted('email', { subject: 'Hi' }, { count: 1 }) // nothing runs by itself
  transport.outbox.refuteEmailSent()

  await clock.advance('10m') // takes some ms
  assertSucceeded('email', { to: 'ada@example.com' })
  transport.outbox.assertEmailSent({ to: 'ada@example.com', text: /^Hello/ }, { count: 1 })
})
