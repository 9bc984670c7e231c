/**
 * `background-runner/email`: `emailTask`, a task definition that sends mail through Nodemailer.
 *
 * One message goes through four rooms: `message.ts` checks it at submit, this file gives it its Message-ID, `outlet.ts`
 * sends it, and `report.ts` tells what became of each recipient, by the table in `verdict.ts`.
 */
import type { Duration } from '../duration.js'
import { type InputIssue, InvalidInputError, kindOf, show } from '../errors.js'
import type { RetryPolicy } from '../retry-policy.js'
import { defineTask, type TaskContext, type TaskDefinition } from '../task.js'
import { domainOf, type EmailAddress, type Mailbox, parseAddress } from './address.js'
import { type AttachmentOptions, attachmentRules } from './attachments.js'
import { compose } from './compose.js'
import { type DkimOptions, dkimOptions } from './dkim.js'
import {
  type CheckedMessage,
  type EmailMessage,
  type MessageLimits,
  type MessageRules,
  messageLimits,
  messageSchema,
  recipientsOf,
  senderOf,
} from './message.js'
import { type EmailTransport, Outlet } from './outlet.js'
import { type EmailResult, errorOf, partiallySent, resultOf, type SendInfo } from './report.js'

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
export type { EmailMessage, MessageLimits } from './message.js'
export type { EmailTransport, EmailTransporter } from './outlet.js'
export type { EmailResult, RecipientResult } from './report.js'

export interface EmailTaskOptions {
  /** An SMTP URL, Nodemailer's SMTP options, or a transporter. One that is ready stays the app's: it is not closed. */
  readonly transport: EmailTransport
  /** The sender of every message that names none. */
  readonly from: EmailAddress
  /** Messages that are sent at once, and the most SMTP connections. @default 10 */
  readonly concurrency?: number
  /** How long one attempt may take. @default '60s' */
  readonly timeout?: Duration
  /** Field by field over the default. @default 8 attempts within a day: after 1 s, 4 s, 16 s, … up to 1 h, full jitter */
  readonly retry?: RetryPolicy
  /** Some recipients were refused: `'fail'` with code `PARTIALLY_SENT`, or `'succeed'`, not `complete`. @default 'fail' */
  readonly onPartial?: 'fail' | 'succeed'
  /** Where attachments may come from beside the message itself. @default nowhere */
  readonly attachments?: AttachmentOptions
  /** How much one message may be. @default { recipients: 100, size: 25 MiB } */
  readonly limits?: Partial<MessageLimits>
  /** Signs every message, as Nodemailer's option of this name. @default the transport's, if it has one */
  readonly dkim?: DkimOptions
}

const FIELDS: ReadonlySet<string> = new Set([
  'transport',
  'from',
  'concurrency',
  'timeout',
  'retry',
  'onPartial',
  'attachments',
  'limits',
  'dkim',
] satisfies (keyof EmailTaskOptions)[])

/** Quick at first, for a server that restarts; long enough in all for greylisting (RFC 6647 4: up to a day). */
const RETRY: RetryPolicy = {
  attempts: 8,
  maxAge: '1d',
  backoff: { type: 'exponential', delay: '1s', factor: 4, max: '1h' },
}

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
  const issues: InputIssue[] = []
  for (const field of Object.keys(options))
    if (!FIELDS.has(field)) issues.push({ message: 'is not an option of an email task', path: [field] })
  const { transport, concurrency = 10, timeout = '60s', retry = {}, onPartial = 'fail' } = options
  const outlet = Outlet.of(transport, concurrency, issues)
  const from = parseAddress(options.from, ['from'], issues)
  if (onPartial !== 'fail' && onPartial !== 'succeed')
    issues.push({ message: `must be 'fail' or 'succeed', got ${show(onPartial)}`, path: ['onPartial'] })
  const rules: MessageRules = {
    attachments: attachmentRules(options.attachments, ['attachments'], issues),
    limits: messageLimits(options.limits ?? {}, ['limits'], issues),
  }
  const dkim = dkimOptions(options.dkim, ['dkim'], issues)
  if (outlet === undefined || from === undefined || issues.length > 0)
    throw new InvalidInputError('bad email task', issues)
  return defineTask({
    input: messageSchema(rules),
    concurrency,
    timeout,
    retry: typeof retry === 'object' && retry !== null ? overlay(RETRY, retry) : retry,
    setup: () => outlet.open(),
    run: (message, ctx) => send(outlet, { ...message, from: message.from ?? from }, ctx, onPartial, rules, dkim),
  })
}

async function send(
  outlet: Outlet,
  message: CheckedMessage & { readonly from: Mailbox },
  ctx: TaskContext,
  onPartial: 'fail' | 'succeed',
  rules: MessageRules,
  dkim: DkimOptions | undefined,
): Promise<EmailResult> {
  const { signal } = ctx
  const messageId = messageIdOf(ctx, message.from)
  const recipients = recipientsOf(message)
  const composed = await compose(message, { messageId, rules, dkim, signal })
  let info: unknown
  try {
    // The envelope decides who gets it, the headers only say so.
    const envelope = { from: senderOf(message, message.from), to: recipients.map(({ key }) => key) }
    info = await outlet.send({ ...composed, envelope })
  } catch (thrown) {
    if (signal.aborted) throw signal.reason
    throw errorOf(thrown, recipients, outlet.scrub)
  }
  const result = resultOf(info as SendInfo, messageId, recipients, outlet.scrub)
  if (result.complete || onPartial === 'succeed') return result
  throw partiallySent(result)
}

/** One Message-ID for the task's whole life: a receiver that gets a message twice can tell. */
function messageIdOf({ id, createdAt }: TaskContext, from: Mailbox): string {
  return `<${id}.${createdAt.toString(36)}@${domainOf(from)}>`
}

function overlay(under: RetryPolicy, over: RetryPolicy): RetryPolicy {
  return { ...under, ...Object.fromEntries(Object.entries(over).filter(([, value]) => value !== undefined)) }
}
