import { emailTask } from 'background-runner/email'
import { createTestRunner, testTransport } from 'background-runner/testing'

const transport = testTransport()
transport.outbox.refuse('*', '550 5.7.0 too many emails per second', { times: 1 })

const email = emailTask({
  transport,
  from: 'App <app@example.com>',
  retry: { backoff: { type: 'fixed', delay: '2s' } },
  verdict: ({ reply, response }, standard) =>
    reply === 550 && response?.includes('too many emails per second') ? 'retry' : standard,
})
const { runner, clock, log } = createTestRunner({ tasks: { email } })

await runner.submit('email', { to: 'ada@example.com', subject: 'Hi', text: 'Hello' })
await clock.advance('1m')
console.log(String(log))
