/**
 * Mails through `emailTask` and through bare pooled Nodemailer: the same messages over as many connections to the same
 * SMTP server in another process, which takes no time for a message, or 20 ms.
 */
import { CONNECTIONS, FROM, send, viaRunner } from '../../mails.mjs'

const MAILS = 2_000
/** Mails that bare Nodemailer is given at once: its pool keeps the others, so that no connection waits for the feed. */
const WINDOW = 4 * CONNECTIONS

export const title = `${MAILS} mails over ${CONNECTIONS} connections`
export const unit = 'µs/mail'

async function viaNodemailer(url) {
  const { createTransport } = await import('nodemailer')
  const { hostname, port } = new URL(url)
  const transporter = createTransport({ host: hostname, port, pool: true, maxConnections: CONNECTIONS })
  return async (mails) => {
    const waiting = mails.values()
    const feed = async () => {
      for (const mail of waiting) await transporter.sendMail({ from: FROM, ...mail })
    }
    await Promise.all(Array.from({ length: WINDOW }, feed))
  }
}

const SERVERS = {
  '0 ms': { latency: 0 },
  '0 ms, warm': { latency: 0, warm: true },
  '20 ms': { latency: 20 },
}

export const cases = Object.fromEntries(
  Object.entries(SERVERS).flatMap(([server, options]) => [
    [`background-runner, ${server}`, () => send((url) => viaRunner(url), { mails: MAILS, ...options })],
    [`nodemailer, ${server}`, () => send(viaNodemailer, { mails: MAILS, ...options })],
  ]),
)

export const targets = Object.keys(SERVERS).map((server) => ({
  say: `mails/s over Nodemailer, ${server}`,
  ratio: [`nodemailer, ${server}`, `background-runner, ${server}`],
  by: 'wall',
  atLeast: 0.95,
}))
