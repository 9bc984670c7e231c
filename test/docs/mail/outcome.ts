import { emailTask } from 'background-runner/email'
import { createTestRunner, testTransport } from 'background-runner/testing'

const transport = testTransport() // in the place of a mail server
transport.outbox.refuse('bob@example.com', '550 5.1.1 no such user')
transport.outbox.refuse('eve@example.com', '451 4.7.1 greylisted', { times: 1 })

const email = emailTask({ transport, from: 'App <app@example.com>', onPartial: 'succeed' })
const { runner, clock } = createTestRunner({ tasks: { email } })

const everybody = ['ada@example.com', 'bob@example.com', 'eve@example.com']
const handle = await runner.submit('email', { to: everybody, subject: 'Hi', text: 'Hello' })
await clock.advance('1h')

const { complete, recipients } = await handle.result()
console.log(complete, recipients)
for (const { envelope, to } of transport.outbox.messages) console.log(envelope.to, 'of', to.length)
