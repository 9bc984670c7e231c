import { BackgroundRunner } from 'background-runner'
import { emailTask, smtpFromEnv } from 'background-runner/email'

const env = { SMTP_URL: 'smtp://localhost:1025', ...process.env } // or MAIL_SERVER and the rest, as they are

// mail = Mail(app); executor = Executor(app)
const runner = new BackgroundRunner({
  tasks: { email: emailTask({ from: 'App <app@example.com>', ...smtpFromEnv(env) }) },
})

// msg = Message(subject, recipients=[…], body=…, reply_to=…); msg.attach('a.csv', 'text/csv', data)
// executor.submit(mail.send, msg)
const handle = await runner.submit('email', {
  to: ['ada@example.com'],
  subject: 'Your figures',
  text: 'See the attachment.',
  replyTo: 'help@example.com',
  attachments: [{ filename: 'a.csv', contentType: 'text/csv', content: 'year,sum\r\n2026,17\r\n' }],
})
const { complete } = await handle.result()
console.log(complete)

// with mail.connect() as conn: for user in users: conn.send(Message(…))
const users = ['ada@example.com', 'bob@example.com', 'eve@example.com']
await runner.submitMany(
  'email',
  users.map((to) => ({ to, subject: 'News', text: 'Hello' })),
)
await runner.onIdle()
console.log((await runner.counts()).succeeded)
await runner.close()
