import { defineTask } from 'background-runner'
import { emailTask } from 'background-runner/email'
import { createTestRunner, testTransport } from 'background-runner/testing'

const users = new Map([[7, { name: 'Ada', email: 'ada@example.com' }]]) // a table of yours

const transport = testTransport()
const { runner, drain } = createTestRunner({
  tasks: {
    email: emailTask({ transport, from: 'Shop <shop@example.com>' }),
    welcome: defineTask({
      run: async (user: number, { id }): Promise<void> => {
        const found = users.get(user)
        if (found === undefined) return // has left since
        const { name, email } = found
        await runner.submit(
          'email',
          { to: { name, address: email }, subject: `Welcome, ${name}`, text: `Hello ${name}` },
          { key: `welcome-${id}` }, // this handler may run twice, the mail is submitted once
        )
      },
    }),
  },
})

await runner.submit('welcome', 7) // the record of this task holds a number
await drain()
console.log(transport.outbox.messages.map(({ subject }) => subject))
