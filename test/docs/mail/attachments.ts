import { mkdir, writeFile } from 'node:fs/promises'
import { emailTask } from 'background-runner/email'
import { createTestRunner, testTransport } from 'background-runner/testing'

await mkdir('invoices')
await writeFile('invoices/4711.pdf', '%PDF-1.7')

const transport = testTransport()
const email = emailTask({
  transport,
  from: 'Shop <shop@example.com>',
  attachments: {
    root: 'invoices', // paths: below this folder, also after symbolic links
    hosts: ['files.example.com'], // URLs: at these hosts, redirects too
    resolve: async (reference) => ({ content: `terms ${JSON.stringify(reference)}`, filename: 'terms.txt' }),
  },
})
const { runner, drain } = createTestRunner({ tasks: { email } })

await runner.submit('email', {
  to: 'ada@example.com',
  subject: 'Your invoice',
  html: '<img alt="" src="cid:logo"><p>Thank you.</p>',
  attachments: [
    { path: '4711.pdf' },
    { reference: { terms: 3 } }, // small in the record, fetched for each attempt
    { cid: 'logo', filename: 'logo.gif', content: 'R0lGODlhAQABAAAAACw=', encoding: 'base64' },
  ],
})
await drain()
for (const { filename, contentType, content } of transport.outbox.messages[0]?.attachments ?? [])
  console.log(filename, contentType, content.length)

const secret = { to: 'ada@example.com', subject: 'Hi', text: 'Hello', attachments: [{ path: '../.env' }] }
await runner.submit('email', secret).catch((error) => console.log(error.message))
