/**
 * Mails through `emailTask` and through bare pooled Nodemailer: the same messages over as many connections to the same
 * SMTP server in another process, which takes no time for a message, or 20 ms.
 */
import { CONNECTIONS, send } from '../../mails.mjs'

const MAILS = 1_000
export const title = `${MAILS} mails over ${CONNECTIONS} connections`
export const unit = 'µs/mail'

const SERVERS = {
  '0 ms': { latency: 0 },
  '0 ms, warm': { latency: 0, warm: true },
  '20 ms': { latency: 20 },
}

export const cases = Object.fromEntries(
  Object.entries(SERVERS).flatMap(([server, options]) => [
    [`background-runner, ${server}`, () => send('background-runner-mails', { mails: MAILS, ...options })],
    [`nodemailer, ${server}`, () => send('nodemailer', { mails: MAILS, ...options })],
  ]),
)

export const targets = Object.keys(SERVERS).map((server) => ({
  say: `mails/s over Nodemailer, ${server}`,
  ratio: [`nodemailer, ${server}`, `background-runner, ${server}`],
  by: 'wall',
  atLeast: 0.97,
}))
