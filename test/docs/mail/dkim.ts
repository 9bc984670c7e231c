import { generateKeyPairSync } from 'node:crypto'
import { emailTask } from 'background-runner/email'
import { createTestRunner, testTransport } from 'background-runner/testing'

const { privateKey } = generateKeyPairSync('rsa', {
  modulusLength: 2048,
  privateKeyEncoding: { type: 'pkcs8', format: 'pem' }, // yours comes from a secret
  publicKeyEncoding: { type: 'spki', format: 'pem' }, // the TXT record of mail._domainkey.example.com
})

const transport = testTransport()
const email = emailTask({
  transport,
  from: 'App <app@example.com>',
  dkim: { domainName: 'example.com', keySelector: 'mail', privateKey },
})
const { runner, drain } = createTestRunner({ tasks: { email } })

await runner.submit('email', { to: 'ada@example.com', subject: 'Hi', text: 'Hello' })
await drain()
console.log(/^DKIM-Signature: .*$/m.exec(String(transport.outbox.messages[0]?.raw))?.[0])
