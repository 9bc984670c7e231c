import { emailTask } from 'background-runner/email'
import { createTestRunner, testTransport } from 'background-runner/testing'

const transport = testTransport()
transport.outbox.refuse('*', '535 5.7.8 wrong password', { times: 2 }) // until somebody mends the password

const email = emailTask({ transport, from: 'App <app@example.com>', concurrency: 1 })
const { runner, clock, log } = createTestRunner({ tasks: { email } })

runner.on('held', ({ name, error }) => console.log(name, 'is held:', error.code))
runner.on('unheld', ({ name }) => console.log(name, 'goes on'))

for (const to of ['ada@example.com', 'bob@example.com', 'eve@example.com'])
  await runner.submit('email', { to, subject: 'Hi', text: 'Hello' })
await clock.advance('2s')
console.log((await runner.holds()).map(({ name }) => name))
await clock.advance('1m')
console.log(String(log))
