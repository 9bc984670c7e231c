/**
 * Mails through `emailTask` on the memory engine and on a file, submitted in one burst, and through bare pooled Nodemailer:
 * to the same SMTP server in another process, which takes no time for a message, or 20 ms.
 */
import { driverInUse, withFile } from '../../database.mjs'
import { sqlite as sqliteUrl } from '../../library.mjs'
import { CONNECTIONS, send } from '../../mails.mjs'

const MAILS = 1_000
const SERVERS = { '0 ms, warm': { latency: 0, warm: true }, '20 ms': { latency: 20 } }

export const title = `${MAILS} mails over ${CONNECTIONS} connections, kept in a file`
export const unit = 'µs/mail'

const inFile = (options) =>
  withFile(async (path) => {
    const { sqlite } = await import(sqliteUrl.href)
    const spent = await send('background-runner-mails', { ...options, burst: true, engine: sqlite({ path }) })
    return { ...spent, durability: 'process', on: `${driverInUse()}, NORMAL` }
  })

export const cases = Object.fromEntries(
  Object.entries(SERVERS).flatMap(([server, each]) => {
    const options = { mails: MAILS, ...each }
    return [
      [`sqlite, ${server}`, () => inFile(options)],
      [`memory, ${server}`, () => send('background-runner-mails', { ...options, burst: true })],
      [`nodemailer, ${server}`, () => send('nodemailer', options)],
    ]
  }),
)

/** Unless more are asked for: the group mails has memory beside Nodemailer. */
export const once = Object.keys(SERVERS).map((server) => `memory, ${server}`)

export const targets = Object.keys(SERVERS).flatMap((server) => [
  {
    say: `mails/s on sqlite over memory, ${server}`,
    ratio: [`memory, ${server}`, `sqlite, ${server}`],
    by: 'wall',
    atLeast: 0.9,
  },
  {
    say: `mails/s on sqlite over Nodemailer, ${server}`,
    ratio: [`nodemailer, ${server}`, `sqlite, ${server}`],
    by: 'wall',
    atLeast: 0.93,
  },
])
