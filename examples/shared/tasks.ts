/** The background work of the examples: which tasks there are, and the runner that works on them. */
import { BackgroundRunner, type Duration, type TaskDefinition } from 'background-runner'
import { type EmailMessage, type EmailResult, emailTask } from 'background-runner/email'

export interface MailSettings {
  readonly smtpUrl: string
  readonly mailFrom: string
  /** Mails that are sent at once: over so many connections, by so many slots of the runner. */
  readonly concurrency: number
  /** ms before the first retry; each further one waits twice as long. @default as `emailTask` does it */
  readonly retryDelay?: number | undefined
  /** How often a mail is tried. @default as `emailTask` does it */
  readonly attempts?: number
  /** How long one attempt to send may take. */
  readonly timeout?: Duration
  /** Mails that may wait; beyond it a request is answered with 503 instead of a promise that costs memory. */
  readonly maxPending?: number
}

export type MailRunner = BackgroundRunner<{ email: TaskDefinition<EmailMessage, EmailResult> }>

export function createRunner(settings: MailSettings): MailRunner {
  const { smtpUrl, mailFrom, concurrency, retryDelay, attempts, timeout = '60s', maxPending = 10_000 } = settings
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
    concurrency,
    maxPending,
  })
}
