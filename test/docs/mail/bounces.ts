import { randomUUID } from 'node:crypto'
import { type EmailMessage, emailTask } from 'background-runner/email'
import { createTestRunner, testTransport } from 'background-runner/testing'

const suppressed = new Set<string>() // a table of yours

const transport = testTransport()
const email = emailTask({
  transport,
  from: 'News <news@example.com>',
  intercept: ({ to }) => (suppressed.has(String(to)) ? { drop: 'it has bounced' } : undefined),
})
const { runner, drain } = createTestRunner({ tasks: { email } }) // yours: retention: { succeeded: '14d' }

/** One message a recipient, each with a return address of its own (VERP). */
async function mail(to: string) {
  const id = randomUUID()
  const envelope = { from: `bounces+${id}@example.com` }
  return runner.submit('email', { to, subject: 'News', text: 'Hello', envelope }, { id })
}

/** Called by what reads the mailbox bounces@example.com, with the address to which a bounce came. */
async function onBounce(address: string) {
  const [, id = ''] = /^bounces\+([\w-]+)@/.exec(address) ?? []
  const task = await runner.status(id)
  if (task?.name === 'email') suppressed.add(String((task.input as unknown as EmailMessage).to))
}

await mail('bob@example.com')
await drain()
const [sent] = transport.outbox.messages
console.log(sent?.from, String(sent?.envelope.from).replace(/\+.*@/, '+…@'))

await onBounce(String(sent?.envelope.from))
const again = await mail('bob@example.com')
await drain()
console.log((await again.result()).recipients)
