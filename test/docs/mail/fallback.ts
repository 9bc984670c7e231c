import { type EmailMessage, emailTask } from 'background-runner/email'
import { createTestRunner, testTransport } from 'background-runner/testing'

const first = testTransport()
const second = testTransport()
const from = 'App <app@example.com>'

const { runner, drain } = createTestRunner({
  tasks: {
    email: emailTask({ transport: first, from }),
    backup: emailTask({ transport: second, from }),
  },
})

/** What is submitted while the first provider is sick goes by the second. */
async function send(message: EmailMessage) {
  const held = (await runner.holds()).some(({ name }) => name === 'email')
  return runner.submit(held ? 'backup' : 'email', message)
}

first.outbox.refuse('*', '535 5.7.8 account suspended')
await send({ to: 'ada@example.com', subject: 'One', text: 'Hello' })
await drain()
await send({ to: 'ada@example.com', subject: 'Two', text: 'Hello' })
await drain()
console.log(second.outbox.messages.map(({ subject }) => subject))

/** What has waited since is taken back and sent by the second, where it is certain that nobody has it. */
const { tasks } = await runner.list({ names: ['email'], states: ['queued', 'scheduled'] })
for (const { id, input, attempt, error } of tasks) {
  const { recipients = {} } = (error?.details ?? {}) as { recipients?: Record<string, { status: string }> }
  const results = Object.values(recipients)
  const nobodyHasIt = attempt === 0 || (results.length > 0 && results.every(({ status }) => status === 'failed'))
  if (!nobodyHasIt || (await runner.cancel(id)).state !== 'cancelled') continue // it runs by now
  await runner.submit('backup', input as unknown as EmailMessage, { key: id })
}
await drain()
console.log(second.outbox.messages.map(({ subject }) => subject))
