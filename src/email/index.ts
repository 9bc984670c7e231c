/**
 * `background-runner/email`: `emailTask`, a task definition that sends mail through Nodemailer.
 *
 * `message.ts` checks a message at submit, `delivery.ts` is one attempt to mail it, `outlet.ts` hands it to the server
 * and watches the dialogue, `verdict.ts` judges what went wrong, and `ledger.ts` remembers who has it.
 */
import { type InputIssue, InvalidInputError, kindOf } from '../errors.js'
import { defineTask, type TaskDefinition } from '../task.js'
import { Mailer } from './delivery.js'
import type { EmailMessage } from './message.js'
import { type EmailTaskOptions, emailOptions } from './options.js'
import { Outlet } from './outlet.js'
import type { EmailResult } from './report.js'

export type { EmailAddress } from './address.js'
export type {
  AttachmentOptions,
  EmailAttachment,
  ResolveAttachment,
  ResolvedAttachment,
} from './attachments.js'
export type { EmailAlternative } from './content.js'
export type { DkimOptions } from './dkim.js'
export { type SmtpFromEnv, smtpFromEnv } from './env.js'
export type { ListUnsubscribe } from './headers.js'
export type { EmailTransporter } from './lanes.js'
export type { EmailMessage, MessageLimits } from './message.js'
export type { EmailTaskOptions, Intercepted } from './options.js'
export type { EmailTransport } from './outlet.js'
export type { EmailResult, RecipientResult } from './report.js'
export { type EmailFailure, type EmailVerdict, relay, type SmtpStage, submission } from './verdict.js'

/**
 * A task that mails one message. Nodemailer, an optional peer dependency, is loaded when the first one is sent.
 *
 * @example
 * const email = emailTask({ transport: 'smtp://localhost:1025', from: 'App <app@example.com>' })
 * const runner = new BackgroundRunner({ tasks: { email } })
 * await runner.submit('email', { to: 'ada@example.com', subject: 'Hi', text: 'Hello' })
 *
 * @throws {InvalidInputError} naming each option that is wrong
 */
export function emailTask(options: EmailTaskOptions): TaskDefinition<EmailMessage, EmailResult> {
  if (typeof options !== 'object' || options === null)
    throw new InvalidInputError('bad email task', [{ message: `must be an object, got ${kindOf(options)}`, path: [] }])
  const others: InputIssue[] = []
  const filled = emailOptions(options, [], others)
  const issues: InputIssue[] = []
  const outlet = Outlet.of(options.transport, filled.concurrency, issues)
  issues.push(...others)
  if (outlet === undefined || issues.length > 0) throw new InvalidInputError('bad email task', issues)
  const mailer = new Mailer(filled, outlet)
  const { schema, concurrency, timeout, retry } = filled
  return defineTask({
    input: schema,
    concurrency,
    timeout,
    retry,
    setup: () => outlet.open(),
    run: (message, ctx) => mailer.deliver(message, ctx),
  })
}
