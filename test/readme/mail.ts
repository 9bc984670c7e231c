import { BackgroundRunner } from 'background-runner'
import { emailTask } from 'background-runner/email'

const runner = new BackgroundRunner({
  tasks: {
    email: emailTask({ transport: process.env['SMTP_URL'] ?? 'smtp://localhost:1025', from: 'App <app@example.com>' }),
  },
})

const { id } = await runner.submit('email', { to: 'ada@example.com', subject: 'Hi', text: 'Hello Ada' })
console.log((await runner.wait(id)).state)
await runner.close()
