/**
 * The pictures of the README, of a runner that has worked for a minute or two:
 *
 *   node --import tsx scripts/screenshots.mjs
 */
import { createServer } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { getRequestListener } from '@hono/node-server'
import { BackgroundRunner, defineTask, NonRetryableError } from 'background-runner'
import { createHandler } from 'background-runner/http'
import { findChromium, launch } from '../test/support/browser.ts'

const SECONDS = 150
const IMAGES = new URL('../docs/images/', import.meta.url).pathname

const sent = (address) => ({ [address]: { status: 'sent', code: '250', response: '250 2.0.0 queued as 4F1A2' } })
const REFUSED = { status: 'rejected', code: '550', enhancedCode: '5.1.1', response: '550 5.1.1 no such mailbox' }

const runner = new BackgroundRunner({
  concurrency: 8,
  tasks: {
    email: defineTask({
      run: async ({ to }) => {
        await sleep(300 + Math.random() * 900)
        if (Math.random() > 0.08) return { messageId: '<1@example.com>', complete: true, recipients: sent(to) }
        const details = { recipients: { ...sent('ada@example.com'), [to]: REFUSED } }
        throw new NonRetryableError('sent to 1 of 2 recipients; not to the others: 550 5.1.1 no such mailbox', {
          code: '550',
          details,
        })
      },
    }),
    picture: defineTask({
      run: async (_, { progress }) => {
        for (let part = 1; part <= 10; part++) {
          progress(part / 10)
          await sleep(400)
        }
      },
    }),
    report: defineTask({
      run: async () => {
        await sleep(800)
        if (Math.random() < 0.3) throw new Error('the export is not ready yet')
      },
    }),
  },
})
const handler = createHandler(runner, { authorize: () => ['read', 'submit', 'manage'], submit: ['email'] })
const server = createServer(getRequestListener(handler)).listen(0, '127.0.0.1')

let n = 0
const busy = setInterval(() => {
  const pace = 1 + Math.round(2 * (1 + Math.sin(n / 12)))
  for (let each = 0; each < pace; each++) {
    const to = `user${++n}@example.com`
    const mail = { to, subject: 'Welcome', text: 'Hello,\n\nyour account is ready.\n', html: '<h1>Welcome</h1>' }
    void runner.submit('email', mail, { tags: [n % 3 ? 'welcome' : 'invoice'] })
  }
  if (n % 9 < 2) void runner.submit('picture', { src: 'cat.png' })
  if (n % 7 < 2) void runner.submit('report', { month: '2026-10' })
}, 800)
await sleep(SECONDS * 1_000)

const browser = await launch(findChromium())
const shoot = async (name, hash, options, prepare = async () => {}) => {
  const context = await browser.newContext({ viewport: { width: 1280, height: 860 }, ...options })
  const page = await context.newPage()
  await page.goto(`http://127.0.0.1:${server.address().port}/${hash}`)
  await page.locator('[data-live=open]').waitFor()
  await page.getByRole('button', { name: '5 min' }).click()
  await prepare(page)
  await sleep(1_500)
  await page.screenshot({ path: `${IMAGES}dashboard-${name}.png` })
  await context.close()
}
const failed = async (page) => {
  await page.locator('.tile[data-state=failed]').click()
  await page.locator('tr[data-state=failed] a', { hasText: 'email' }).first().click()
  await page.locator('tr[data-outcome]').first().waitFor()
}
await shoot('light', '', { colorScheme: 'light' })
await shoot('dark', '', { colorScheme: 'dark' })
await shoot('task', '', { colorScheme: 'light' }, failed)
await shoot('phone', '', { colorScheme: 'dark', viewport: { width: 390, height: 800 }, isMobile: true })
await browser.close()
clearInterval(busy)
server.closeAllConnections()
server.close()
await runner.close({ deadline: 0, drain: false })
