import { BackgroundRunner } from 'background-runner'
import { emailTask } from 'background-runner/email'

const url = process.env['SMTP_URL'] ?? 'smtp://localhost:1025'

const runner = new BackgroundRunner({
  tasks: {
    email: emailTask({ transport: url, from: 'Shop <shop@example.com>' }), // receipts, passwords
    newsletter: emailTask({
      transport: process.env['BULK_SMTP_URL'] ?? url,
      from: 'News <news@example.com>',
      concurrency: 2,
      rateLimit: { max: 10, interval: '1s' },
      onUnknown: 'fail', // rather none than two
    }),
  },
})

const news = (to: string) => ({ to, subject: 'News', text: 'Hello' })
await runner.submitMany('newsletter', ['ada@example.com', 'bob@example.com'].map(news), { priority: -10 })
await runner.submit('email', { to: 'ada@example.com', subject: 'Your password', text: 'Follow the link.' })
await runner.onIdle()
console.log((await runner.counts()).succeeded)
await runner.close()
