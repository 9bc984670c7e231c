import { emailTask } from 'background-runner/email'
import { createTestRunner } from 'background-runner/testing'

let sends = 0
const transport = {
  sendMail: async () => {
    if (++sends > 1) return { rejected: [], response: '250 2.0.0 queued' }
    throw Object.assign(new Error('the connection was lost'), { code: 'ECONNECTION' }) // before the final dot, or after?
  },
}

const email = emailTask({ transport, from: 'App <app@example.com>', onUnknown: 'fail' })
const { runner, clock } = createTestRunner({ tasks: { email } })

const handle = await runner.submit('email', { to: 'ada@example.com', subject: 'Hi', text: 'Hello' })
await clock.advance('1d')
const { state, error } = await handle.wait()
console.log(state, error?.code, error?.details)

await handle.retry() // somebody has asked Ada
await clock.advance(0)
console.log((await handle.wait()).state, 'after', sends, 'sends')
