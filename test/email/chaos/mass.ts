/**
 * Mails by the thousand, through a server that fails at random, by processes that are killed on the way; when all is worked
 * off, the records are held to the mailboxes.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { EmailMessage } from 'background-runner/email'
import { Random } from '../../sqlite/support/random.js'
import { type Comparison, compareMailboxes } from '../../support/compare-mailboxes.js'
import { type Stage, startSmtpServer } from '../../support/smtp-server.js'
import { Mailers } from './mailers.js'
import { unreliable } from './unreliable.js'

export interface Plan {
  /** See `Settings`. */
  readonly path: string
  readonly seed: number
  readonly mails: number
  readonly kills: number
  /** Processes that mail at a time. */
  readonly processes: number
}

export interface Report {
  readonly kills: number
  /** Kills by what the process was at, as the server saw it. */
  readonly moments: Readonly<Record<string, number>>
  readonly connections: number
  /** Messages that the server took. */
  readonly deliveries: number
  /** Of the tasks that may send again where the outcome is unknown, and of those that may not. */
  readonly again: Comparison
  readonly once: Comparison
  readonly faults: readonly string[]
}

/** When a process is killed: as the server hears this of it, after its reply to the final dot, or whenever. */
const MOMENTS = [
  'greeting',
  'auth',
  'mail',
  'rcpt',
  'data',
  'body',
  'end',
  'end',
  'end',
  'replied',
  'replied',
  'whenever',
] as const
type Moment = (typeof MOMENTS)[number]

export async function mailAndKill({ path, seed, mails, kills, processes }: Plan): Promise<Report> {
  const random = new Random(seed)
  const strikes = plan(random, mails, kills)
  const moments: Record<string, number> = {}

  const strike = (stage: Stage, client: string): void => {
    const [next] = strikes
    if (next === undefined || server.deliveries.length < next.after) return
    // Who greets has no name yet, and one that does not come to its moment is killed all the same.
    const { moment } = next
    const due = moment === stage || (moment === 'replied' && stage === 'end') || moment === 'whenever'
    if (!due || (client === '' && moment !== 'greeting')) return
    const kill = (): void => {
      if (mailers.kill(client === '' ? undefined : client)) moments[moment] = (moments[moment] ?? 0) + 1
      else strikes.unshift(next)
    }
    strikes.shift()
    if (moment === 'replied') setImmediate(() => setImmediate(kill))
    else if (moment === 'whenever') setTimeout(kill, random.below(20))
    else kill()
  }
  const server = await startSmtpServer({
    extensions: random.next() < 0.5 ? ['PIPELINING', '8BITMIME'] : ['8BITMIME'],
    login: { user: 'app', pass: 'secret' },
    ...unreliable(random, (stage, { client }) => strike(stage, client)),
  })
  await using mailers = await Mailers.over(path, server)

  const { runner } = mailers
  for (const name of ['again', 'once'] as const)
    await runner.submitMany(
      name,
      Array.from({ length: Math.floor(mails / 2) }, (_, i) => message(random, i)),
    )
  for (let i = 0; i < processes; i++) mailers.start()
  const idle = runner.onIdle()
  await server.until(() => server.deliveries.length > mails / 3)
  // Shorter than it takes until all is held, or a little longer.
  await server.down()
  await sleep(random.below(200))
  await server.up()
  await idle
  await mailers.stop()
  await server.settled()

  const records = await mailers.records()
  const of = (name: 'again' | 'once', onUnknown: 'retry' | 'fail'): Comparison => {
    const ids = new Set(records.filter((record) => record.name === name).map(({ id }) => id))
    const deliveries = server.deliveries.filter(({ messageId }) => ids.has(messageId.slice(1, messageId.indexOf('.'))))
    return compareMailboxes(
      { deliveries },
      records.filter((record) => record.name === name),
      { onUnknown },
    )
  }
  const known = new Set(records.map(({ id }) => id))
  const strangers = server.deliveries.filter(({ messageId }) => !known.has(messageId.slice(1, messageId.indexOf('.'))))
  const report: Report = {
    kills: mailers.kills,
    moments,
    connections: server.connections.total,
    deliveries: server.deliveries.length,
    again: of('again', 'retry'),
    once: of('once', 'fail'),
    faults: [...mailers.faults, ...strangers.map(({ messageId }) => `a stranger: ${messageId}`)],
  }
  await server.close()
  return report
}

interface Strike {
  readonly moment: Moment
  /** Deliveries before it. */
  readonly after: number
}

function plan(random: Random, mails: number, kills: number): Strike[] {
  // Spread, so that few tasks run at two deaths in a row; the last ones are left to work in peace.
  return Array.from({ length: kills }, (_, i) => ({
    moment: random.of(MOMENTS),
    after: Math.floor((mails * 0.8 * (i + random.next())) / kills),
  }))
}

function message(random: Random, i: number): EmailMessage {
  const addresses = Array.from({ length: 1 + random.below(3) }, (_, n) => `user${i % 97}.${n}@example.com`)
  const text = 'All work and no play makes Jack a dull boy.\n'.repeat(1 + random.below(100))
  const [to = '', ...others] = addresses
  return { to, [random.next() < 0.5 ? 'cc' : 'bcc']: others, subject: `Mail ${i}`, text }
}

/** Rows of a table in Markdown. */
export function tableOf({ kills, moments, connections, deliveries, again, once }: Report): string {
  const row = (name: string, of: (each: Comparison) => number): string => `| ${name} | ${of(again)} | ${of(once)} |`
  return [
    "| | `onUnknown: 'retry'` | `onUnknown: 'fail'` |",
    '|---|---|---|',
    row('mails', (each) => each.mails),
    row('recipients `sent`', (each) => each.recipients.sent),
    row('recipients `rejected`', (each) => each.recipients.rejected),
    row('recipients `failed`', (each) => each.recipients.failed),
    row('recipients `unknown`', (each) => each.recipients.unknown),
    row('recipients of a task that `CRASHED` or timed out at last', (each) => each.recipients.untold),
    row('got it twice, through `unknown`', (each) => each.twice),
    row('**got it twice wrongly**', (each) => each.faults.wronglyTwice.length),
    row('**`sent`, and not there**', (each) => each.faults.missing.length),
    row('**not sent, and there**', (each) => each.faults.denied.length),
    row('**not at the end, or without a word**', (each) => each.faults.unfinished.length),
    row('**mail that nobody asked for**', (each) => each.faults.strange.length),
    '',
    `${kills} kills (${Object.entries(moments)
      .sort()
      .map(([moment, n]) => `${moment} ${n}`)
      .join(', ')}), ${connections} connections, ${deliveries} messages taken.`,
  ].join('\n')
}
