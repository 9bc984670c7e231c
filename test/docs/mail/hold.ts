import { emailTask } from 'background-runner/email'
import { createTestRunner, testTransport } from 'background-runner/testing'

const transport = testTransport()
transport.outbox.refuse('*', '535 5.7.8 authentication failed', { times: 2 }) // until somebody mends the password

const email = emailTask({ transport, from: 'App <app@example.com>', concurrency: 1 })
const { runner, clock, log } = createTestRunner({ tasks: { email } })

runner.on('held', async ({ error }) => console.log('held:', error.message))
runner.on('unheld', () => console.log('it works again'))

for (const to of ['ada@example.com', 'bob@example.com', 'eve@example.com'])
  await runner.submit('email', { to, subject: 'Hi', text: 'Hello' })
await clock.advance('2s')
console.log((await runner.holds()).map(({ name }) => name))
await clock.advance('1m')
console.log(String(log))
