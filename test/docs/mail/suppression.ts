import { type EmailAddress, emailTask } from 'background-runner/email'
import { createTestRunner, testTransport } from 'background-runner/testing'

const suppressed = new Set(['bob@example.com']) // a table of yours

const mayGet = (to: EmailAddress): boolean => {
  const text = typeof to === 'string' ? to : to.address
  return !suppressed.has((/<(.*)>$/.exec(text)?.[1] ?? text).toLowerCase())
}

const transport = testTransport()
const email = emailTask({
  transport,
  from: 'App <app@example.com>',
  intercept: (message) => {
    const lists = [message.to, message.cc ?? [], message.bcc ?? []]
    const [to = [], cc = [], bcc = []] = lists.map((list) => [list].flat().filter(mayGet))
    if (to.length + cc.length + bcc.length === 0) return { drop: 'on the suppression list' }
    return { ...message, to, cc, bcc }
  },
})
const { runner, drain } = createTestRunner({ tasks: { email } })

for (const to of ['Bob <bob@example.com>', ['ada@example.com', 'bob@example.com']]) {
  const handle = await runner.submit('email', { to, subject: 'News', text: 'Hello' })
  await drain()
  const { complete, recipients } = await handle.result()
  for (const [address, { status, response }] of Object.entries(recipients)) console.log(address, status, response)
  console.log('complete:', complete)
}
