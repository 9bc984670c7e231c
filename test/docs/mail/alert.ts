import { defineTask } from 'background-runner'
import { emailTask } from 'background-runner/email'
import { createTestRunner, testTransport } from 'background-runner/testing'

const transport = testTransport()
const { runner, drain } = createTestRunner({
  tasks: {
    email: emailTask({ transport, from: 'App <app@example.com>' }),
    report: defineTask({
      retry: { attempts: 1 },
      run: (_month: string) => Promise.reject(new Error('the disk is full')),
    }),
  },
})

runner.on('failed', async ({ id, name, attempt, error }) => {
  if (name === 'email') return // a mail about a mail that failed would fail, too
  await runner.submit(
    'email',
    { to: 'ops@example.com', subject: `${name} failed`, text: `${id}, attempt ${attempt}: ${error?.message}` },
    { key: `failed-${id}-${attempt}` },
  )
})

await runner.submit('report', '2026-11', { id: 'november' })
await drain()
console.log(transport.outbox.messages.map(({ subject, text }) => [subject, text?.trim()]))
