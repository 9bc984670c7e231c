/** What the tests of email share: a server that ends with its test, a runner that closes with it, quick retries. */
import { BackgroundRunner, type Logger, type TaskDefinition, type TaskRecord } from 'background-runner'
import { type EmailMessage, type EmailResult, type EmailTaskOptions, emailTask } from 'background-runner/email'
import { onTestFinished } from 'vitest'
import { type SmtpServer, type SmtpServerOptions, startSmtpServer } from './smtp-server.js'

export const FROM = 'App <app@example.com>'
export const QUICK = { attempts: 3, backoff: { type: 'fixed', delay: 5 } } as const
export const HELLO = { to: 'ada@example.com', subject: 'Hi', text: 'Hello Ada' }

export async function smtpServer(options?: SmtpServerOptions): Promise<SmtpServer> {
  const server = await startSmtpServer(options)
  onTestFinished(() => server.close())
  return server
}

export type MailRunner = BackgroundRunner<{ readonly email: TaskDefinition<EmailMessage, EmailResult> }>

export function mailRunner(
  options: Partial<EmailTaskOptions> & Pick<EmailTaskOptions, 'transport'>,
  logger?: Logger,
): MailRunner {
  const runner: MailRunner = new BackgroundRunner({
    tasks: { email: emailTask({ from: FROM, retry: QUICK, ...options }) },
    ...(logger && { logger }),
  })
  onTestFinished(async () => void (await runner.close({ deadline: 0, drain: false })))
  return runner
}

/** What a failed task says of its error. */
export function told({ state, attempt, error }: TaskRecord): unknown {
  return { state, attempt, code: error?.code }
}
