/** The library's email task, on memory or on the engine that is given. */
import { email, library } from '../library.mjs'

const { BackgroundRunner } = await import(library.href)
const { emailTask } = await import(email.href)

export const durability = 'none'

/**
 * @param url of the SMTP server @param burst all are submitted before the first is acknowledged @param options of the runner
 * @returns what sends mails, and resolves when all are sent
 */
export async function createSender(url, { connections, from, burst = false, ...options }) {
  const task = emailTask({ transport: url, from, concurrency: connections })
  const runner = new BackgroundRunner({ tasks: { email: task }, concurrency: connections, ...options })
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
