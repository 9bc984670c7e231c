/**
 * Many machines, on one: two web processes take 1 000 mails, three workers send them, and one worker is killed meanwhile.
 *
 *   npm run example:cluster       REDIS_URL=… for another Redis than the one on this machine; MAILS=… for more or fewer
 */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { startSmtpCatcher } from '../shared/smtp-catcher.js'
import { findRedis } from './redis.js'

const MAILS = Number(process.env['MAILS'] ?? 1_000)
/** Requests that are under way at once. */
const REQUESTS = 50

const redis = await findRedis()
const catcher = await startSmtpCatcher(2 * MAILS)
const NAME = `cluster-${process.pid}`
const settings = { REDIS_URL: redis.url, SMTP_URL: catcher.url, NAME }

const children: ChildProcess[] = []
function start(role: 'web' | 'worker'): ChildProcess {
  const file = fileURLToPath(new URL(`./${role}.${import.meta.url.endsWith('.ts') ? 'ts' : 'js'}`, import.meta.url))
  const child = fork(file, { env: { ...process.env, ...settings } })
  children.push(child)
  return child
}

const webs = await Promise.all(
  [start('web'), start('web')].map(async (web) => (await once(web, 'message'))[0] as string),
)
const workers = ['worker', 'worker', 'worker'].map(() => start('worker'))
console.log(`Redis ${redis.url}; web ${webs.join(' and ')}; workers ${workers.map(({ pid }) => pid).join(', ')}`)

const ids: string[] = []
const mails = Array.from({ length: MAILS }, (_, i) => i)
await Promise.all(
  Array.from({ length: REQUESTS }, async () => {
    for (let i = mails.pop(); i !== undefined; i = mails.pop()) {
      const response = await fetch(`${webs[i % 2]}/mails/reader-${i}@example.com`, { method: 'POST' })
      ids.push(((await response.json()) as { id: string }).id)
    }
  }),
)
console.log(`${ids.length} mails accepted, ${arrived().size} of them arrived`)

const [victim] = workers
while (arrived().size < MAILS / 4) await new Promise((resolve) => setTimeout(resolve, 5))
victim?.kill('SIGKILL')
console.log(`worker ${victim?.pid} killed when ${arrived().size} had arrived`)

const response = await fetch(`${webs[0]}/idle`)
const counts = (await response.json()) as Record<string, number>
const twice = catcher.mails.length - arrived().size
console.log(
  `${counts['succeeded']} tasks succeeded; ${arrived().size} of ${MAILS} mails arrived, ${twice} of them twice`,
)

for (const child of children) child.kill('SIGTERM')
await Promise.all(
  children
    .filter(({ exitCode, signalCode }) => exitCode === null && signalCode === null)
    .map((child) => once(child, 'exit')),
)
await redis.close(NAME)
await catcher.close()
process.exitCode = arrived().size === MAILS && counts['succeeded'] === MAILS ? 0 : 1

/** Whom a mail has reached. */
function arrived(): Set<string> {
  return new Set(catcher.mails.flatMap(({ to }) => to))
}
