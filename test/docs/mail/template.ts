import { type EmailMessage, emailTask } from 'background-runner/email'
import { createTestRunner, testTransport } from 'background-runner/testing'

const ENTITIES: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' }
const escaped = (text: string): string => text.replace(/[&<>"']/g, (each) => ENTITIES[each] ?? each)

/** Rendered before it is submitted: what is in the record is what goes out. */
const welcome = ({ name, email }: { name: string; email: string }): EmailMessage => ({
  to: { name, address: email }, // an object: nothing in a name can become an address
  subject: `Welcome, ${name}`,
  text: `Hello ${name}`,
  html: `<p>Hello ${escaped(name)}</p>`,
})

/** What all mails share is put around them at each attempt. */
const layout = (html: string): string => `<!doctype html><body>${html}<footer>Shop, 1 Example Street</footer></body>`

const transport = testTransport()
const email = emailTask({
  transport,
  from: 'Shop <shop@example.com>',
  intercept: (message) => (message.html === undefined ? message : { ...message, html: layout(message.html) }),
})
const { runner, drain } = createTestRunner({ tasks: { email } })

await runner.submit('email', welcome({ name: 'Ada <3', email: 'ada@example.com' }))
await drain()
const [message] = transport.outbox.messages
console.log(message?.to, message?.subject)
console.log(message?.html)
