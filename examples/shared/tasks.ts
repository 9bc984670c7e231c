/** The background work of the examples: which tasks there are, and the runner that works on them. */
import { BackgroundRunner, type Duration, type Engine, memory, type TaskDefinition } from 'background-runner'
import { type EmailMessage, type EmailResult, emailTask } from 'background-runner/email'
import { sqlite } from 'background-runner/sqlite'

export interface MailSettings {
  readonly smtpUrl: string
  readonly mailFrom: string
  /** The file that the mails are kept in, or `memory`. */
  readonly databasePath: string
  /** Mails that are sent at once: over so many connections, by so many slots of the runner. */
  readonly concurrency: number
  /** ms before the first retry; each further one waits twice as long. @default as `emailTask` does it */
  readonly retryDelay?: number | undefined
  /** How often a mail is tried. @default as `emailTask` does it */
  readonly attempts?: number
  /** How long one attempt to send may take. */
  readonly timeout?: Duration
  /** Mails that may wait; beyond it a request is answered with 503 instead of a promise that may take hours. */
  readonly maxPending?: number
}

export type MailRunner = BackgroundRunner<{ email: TaskDefinition<EmailMessage, EmailResult> }>

/** Where the mails are: in a file, which outlives this process however it ends, or in its memory. */
export function engineAt(databasePath: string): Engine {
  return databasePath === 'memory' ? memory() : sqlite({ path: databasePath })
}

export function createRunner(settings: MailSettings): MailRunner {
  const { smtpUrl, mailFrom, databasePath, concurrency, retryDelay, attempts } = settings
  const { timeout = '60s', maxPending = 10_000 } = settings
  return new BackgroundRunner({
    tasks: {
      email: emailTask({
        transport: smtpUrl,
        from: mailFrom,
        concurrency,
        timeout,
        retry: {
          ...(attempts !== undefined && { attempts }),
          ...(retryDelay !== undefined && { backoff: { type: 'exponential', delay: retryDelay, jitter: false } }),
        },
      }),
    },
    engine: engineAt(databasePath),
    concurrency,
    maxPending,
  })
}
