/** Mails through a runner, or through whatever else sends them, to an SMTP server in another process. */
import { startSink } from './child.mjs'
import { stopwatch } from './stopwatch.mjs'

export const CONNECTIONS = 10
const FROM = 'noreply@example.com'
/** Mails sent before in a process that counts as warm: a server an hour after its start. */
const WARM_UP = 2_000

const messages = (count) =>
  Array.from({ length: count }, (_, i) => ({
    to: `user-${i}@example.com`,
    subject: `Welcome, user ${i}`,
    text: `Hello user ${i},\n\n${'your account is ready and waits for you. '.repeat(10)}\n\nThe example\n`,
  }))

/** What a mail costs. @param latency ms the server takes for one @param options of the adapter */
export async function send(adapter, { mails: count, latency, warm = false, ...options }) {
  const { createSender, durability } = await import(`./adapters/${adapter}.mjs`)
  const sink = await startSink(latency)
  try {
    const sendAll = await createSender(sink.url, { connections: CONNECTIONS, from: FROM, ...options })
    // The library loads Nodemailer with the first mail: what that takes is no part of what a mail costs.
    const before = warm ? WARM_UP : 1
    await sendAll(messages(before))
    const mails = messages(count)
    const read = stopwatch()
    await sendAll(mails)
    const spent = read(count)
    const taken = await sink.ask('taken')
    if (taken !== before + count) throw new Error(`${taken} of ${before + count} mails arrived`)
    return { ...spent, durability }
  } finally {
    await sink.stop()
  }
}
