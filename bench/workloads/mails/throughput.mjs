/**
 * Mails through `emailTask` and through bare pooled Nodemailer: the same messages over as many connections to the same
 * SMTP server in another process, which takes no time for a message, or 20 ms.
 */
import { startSink } from '../../child.mjs'
import { email, library } from '../../library.mjs'
import { stopwatch } from '../../stopwatch.mjs'

const MAILS = 2_000
/** Mails sent before in a process that counts as warm: a server an hour after its start. */
const WARM_UP = 6_000
const CONNECTIONS = 10
/** Mails that bare Nodemailer is given at once: its pool keeps the others, so that no connection waits for the feed. */
const WINDOW = 4 * CONNECTIONS
const FROM = 'noreply@example.com'

export const title = `${MAILS} mails over ${CONNECTIONS} connections`
export const unit = 'µs/mail'

const messages = (count) =>
  Array.from({ length: count }, (_, i) => ({
    to: `user-${i}@example.com`,
    subject: `Welcome, user ${i}`,
    text: `Hello user ${i},\n\n${'your account is ready and waits for you. '.repeat(10)}\n\nThe example\n`,
  }))

async function viaRunner(url) {
  const [{ BackgroundRunner }, { emailTask }] = await Promise.all([import(library.href), import(email.href)])
  const task = emailTask({ transport: url, from: FROM, concurrency: CONNECTIONS })
  const runner = new BackgroundRunner({ tasks: { email: task }, concurrency: CONNECTIONS })
  return async (mails) => {
    for (const mail of mails) await runner.submit('email', mail)
    await runner.onIdle()
    const { failed, queued } = await runner.counts()
    if (failed + queued > 0) throw new Error(`${failed} mails failed, ${queued} wait`)
  }
}

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

async function send(prepare, latency, { warm = false } = {}) {
  const sink = await startSink(latency)
  try {
    const sendAll = await prepare(sink.url)
    // The library loads Nodemailer with the first mail: what that takes is no part of what a mail costs.
    const before = warm ? WARM_UP : 1
    await sendAll(messages(before))
    const mails = messages(MAILS)
    const read = stopwatch()
    await sendAll(mails)
    const spent = read(MAILS)
    const taken = await sink.ask('taken')
    if (taken !== before + MAILS) throw new Error(`${taken} of ${before + MAILS} mails arrived`)
    return spent
  } finally {
    await sink.stop()
  }
}

export const cases = {
  'background-runner, 0 ms': () => send(viaRunner, 0),
  'nodemailer, 0 ms': () => send(viaNodemailer, 0),
  'background-runner, 0 ms, warm': () => send(viaRunner, 0, { warm: true }),
  'nodemailer, 0 ms, warm': () => send(viaNodemailer, 0, { warm: true }),
  'background-runner, 20 ms': () => send(viaRunner, 20),
  'nodemailer, 20 ms': () => send(viaNodemailer, 20),
}

export const targets = ['0 ms', '0 ms, warm', '20 ms'].map((server) => ({
  say: `mails/s over Nodemailer, ${server}`,
  ratio: [`nodemailer, ${server}`, `background-runner, ${server}`],
  by: 'wall',
  atLeast: 0.95,
}))
