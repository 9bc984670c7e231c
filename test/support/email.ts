/**
 * What the tests of email share: a server that ends with its test, a runner that closes with it, quick retries; and the
 * task without any of it, for tests of what is mailed and not of the dialogue.
 */
import { BackgroundRunner, type Logger, type TaskDefinition, type TaskRecord } from 'background-runner'
import { type EmailMessage, type EmailResult, type EmailTaskOptions, emailTask } from 'background-runner/email'
import { type Outbox, testTransport } from 'background-runner/testing'
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

type EmailTask = TaskDefinition<EmailMessage, EmailResult>
export type MailRunner = BackgroundRunner<{ readonly email: EmailTask }>

export function mailRunner(
  options: Partial<EmailTaskOptions> & Pick<EmailTaskOptions, 'transport'>,
  more: { readonly logger?: Logger; readonly cancelGrace?: number } = {},
): MailRunner {
  const runner: MailRunner = new BackgroundRunner({
    tasks: { email: emailTask({ from: FROM, retry: QUICK, ...options }) },
    ...more,
  })
  onTestFinished(async () => void (await runner.close({ deadline: 0, drain: false })))
  return runner
}

/** The task, with an outbox for a server. */
export function mailTask(options?: Partial<EmailTaskOptions>): { readonly email: EmailTask; readonly outbox: Outbox } {
  const transport = testTransport()
  return { email: emailTask({ transport, from: FROM, ...options }), outbox: transport.outbox }
}

/** What a failed task says of its error. */
export function told({ state, attempt, error }: TaskRecord): unknown {
  return { state, attempt, code: error?.code }
}
