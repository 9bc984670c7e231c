/** Bare Nodemailer with its pool, which keeps the next mails at hand, so that no connection waits for the feed. */
import { createTransport } from 'nodemailer'

export const durability = 'none'

/** @param url of the SMTP server @returns what sends mails, and resolves when all are sent */
export function createSender(url, { connections, from }) {
  const { hostname, port } = new URL(url)
  const transporter = createTransport({ host: hostname, port, pool: true, maxConnections: connections })
  return async (mails) => {
    const waiting = mails.values()
    const feed = async () => {
      for (const mail of waiting) await transporter.sendMail({ from, ...mail })
    }
    await Promise.all(Array.from({ length: 4 * connections }, feed))
  }
}
