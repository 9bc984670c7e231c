/** Mails through a runner, or through whatever else sends them, to an SMTP server in another process. */
import { startSink } from './child.mjs'
import { email, library } from './library.mjs'
import { stopwatch } from './stopwatch.mjs'

export const CONNECTIONS = 10
export const FROM = 'noreply@example.com'
/** Mails sent before in a process that counts as warm: a server an hour after its start. */
const WARM_UP = 2_000

/** Mails that bare Nodemailer is given at once: its pool keeps the others, so that no connection waits for the feed. */
const WINDOW = 4 * CONNECTIONS

const messages = (count) =>
  Array.from({ length: count }, (_, i) => ({
    to: `user-${i}@example.com`,
    subject: `Welcome, user ${i}`,
    text: `Hello user ${i},\n\n${'your account is ready and waits for you. '.repeat(10)}\n\nThe example\n`,
  }))

/** @param options of the runner @param burst all are submitted before the first is acknowledged */
export async function viaRunner(url, { burst = false, ...options } = {}) {
  const [{ BackgroundRunner }, { emailTask }] = await Promise.all([import(library.href), import(email.href)])
  const task = emailTask({ transport: url, from: FROM, concurrency: CONNECTIONS })
  const runner = new BackgroundRunner({ tasks: { email: task }, concurrency: CONNECTIONS, ...options })
  await runner.ready()
  return async (mails) => {
    const submitted = []
    for (const mail of mails) {
      const submit = runner.submit('email', mail)
      if (burst) submitted.push(submit)
      else await submit
    }
    await Promise.all(submitted)
    await runner.onIdle()
    const { failed, queued } = await runner.counts()
    if (failed + queued > 0) throw new Error(`${failed} mails failed, ${queued} wait`)
  }
}

/** @param url of the SMTP server */
export async function viaNodemailer(url) {
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

/** What a mail costs. @param prepare makes what sends, given the server's URL @param latency ms the server takes for one */
export async function send(prepare, { mails: count, latency, warm = false }) {
  const sink = await startSink(latency)
  try {
    const sendAll = await prepare(sink.url)
    // The library loads Nodemailer with the first mail: what that takes is no part of what a mail costs.
    const before = warm ? WARM_UP : 1
    await sendAll(messages(before))
    const mails = messages(count)
    const read = stopwatch()
    await sendAll(mails)
    const spent = read(count)
    const taken = await sink.ask('taken')
    if (taken !== before + count) throw new Error(`${taken} of ${before + count} mails arrived`)
    return spent
  } finally {
    await sink.stop()
  }
}
