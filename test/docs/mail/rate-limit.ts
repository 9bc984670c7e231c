import { emailTask } from 'background-runner/email'
import { createTestRunner, testTransport } from 'background-runner/testing'

const email = emailTask({
  transport: testTransport(),
  from: 'App <app@example.com>',
  rateLimit: { max: 2, interval: '1s' },
})
const { runner, clock } = createTestRunner({ tasks: { email } })
runner.on('succeeded', ({ startedAt = 0, createdAt, attempt }) =>
  console.log(`sent after ${startedAt - createdAt} ms, put back ${attempt - 1} times`),
)

const message = { to: 'ada@example.com', subject: 'Hi', text: 'Hello' }
await runner.submitMany('email', [message, message, message, message, message])
await clock.advance('10s')
