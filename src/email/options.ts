/** What an email task is told: each option, its default, and the table that reads them. */
import type { Duration } from '../duration.js'
import { show } from '../errors.js'
import { type RetryLayer, type RetryPolicy, retryPolicy } from '../retry-policy.js'
import { callable, concurrency, fields, type Rule, type Rules, required, rule, span, whole } from '../rules.js'
import type { StandardSchema } from '../schema.js'
import { type EmailAddress, type Mailbox, parseAddress } from './address.js'
import { type AttachmentOptions, attachmentRules } from './attachments.js'
import { type DkimOptions, dkimOptions } from './dkim.js'
import {
  type CheckedMessage,
  type EmailMessage,
  type MessageLimits,
  type MessageRules,
  messageLimits,
  messageSchema,
} from './message.js'
import type { EmailTransport } from './outlet.js'
import type { EmailRateLimit } from './rate-limit.js'
import { type EmailFailure, type EmailVerdict, submission } from './verdict.js'

export interface EmailTaskOptions {
  /** An SMTP URL, Nodemailer's SMTP options, or a transporter. One that is ready stays the app's: it is not closed. */
  readonly transport: EmailTransport
  /** The sender of every message that names none. */
  readonly from: EmailAddress
  /** Messages that are sent at once, and the most SMTP connections. @default 10 */
  readonly concurrency?: number
  /** How long one attempt may take. @default '60s' */
  readonly timeout?: Duration
  /** Field by field over the default. @default `submission`: after up to 1 min, 2 min, 4 min, … 1 h, for a day */
  readonly retry?: RetryPolicy
  /** Some have it and the others will not: `'fail'` with code `PARTIALLY_SENT`, or `'succeed'`, not `complete`. @default 'fail' */
  readonly onPartial?: 'fail' | 'succeed'
  /**
   * The message may have been taken, and no reply was seen: `'retry'` under the same Message-ID, so that somebody may get
   * it twice, or `'fail'` with code `UNKNOWN_OUTCOME`, so that somebody may not get it. @default 'retry'
   */
  readonly onUnknown?: 'retry' | 'fail'
  /** What a failure asks for; `standard` is what it asks for otherwise. @default the standard */
  readonly verdict?: (failure: EmailFailure, standard: EmailVerdict) => EmailVerdict
  /** Never more than `max` messages in any `interval`, of this process. @default no limit */
  readonly rateLimit?: { readonly max: number; readonly interval: Duration }
  /**
   * Called before each attempt with the message as it was submitted: what it returns is mailed instead; with
   * `{ drop: reason }` nothing is, and the task has succeeded, not `complete`.
   *
   * @default the message goes out as it is
   */
  readonly intercept?: (message: EmailMessage) => Intercepted | Promise<Intercepted>
  /** Where attachments may come from beside the message itself. @default nowhere */
  readonly attachments?: AttachmentOptions
  /** How much one message may be. @default { recipients: 100, size: 25 MiB } */
  readonly limits?: Partial<MessageLimits>
  /** Signs every message, as Nodemailer's option of this name. @default the transport's, if it has one */
  readonly dkim?: DkimOptions
}

/** What `intercept` may return; nothing: the message goes out as it is, with what was changed in it. */
// biome-ignore lint/suspicious/noConfusingVoidType: a function without a return statement
export type Intercepted = EmailMessage | { readonly drop: string } | undefined | void

/** Options with every field filled; spans in ms. */
export interface FilledEmailOptions {
  readonly from: Mailbox
  readonly concurrency: number
  readonly timeout: number
  readonly retry: RetryLayer
  readonly onPartial: 'fail' | 'succeed'
  readonly onUnknown: 'retry' | 'fail'
  readonly verdict: EmailTaskOptions['verdict']
  readonly rateLimit: EmailRateLimit | undefined
  readonly intercept: EmailTaskOptions['intercept']
  readonly rules: MessageRules
  readonly dkim: DkimOptions | undefined
  readonly schema: StandardSchema<EmailMessage, CheckedMessage>
}

const TABLE = {
  transport: rule<EmailTransport>(() => true, ''), // read by the outlet, which never shows it
  from: required<Mailbox>((value, path, issues) => parseAddress(value, path, issues) as Mailbox),
  concurrency,
  timeout: span,
  retry: retryPolicy,
  onPartial: oneOf('fail', 'succeed'),
  onUnknown: oneOf('retry', 'fail'),
  verdict: callable<NonNullable<EmailTaskOptions['verdict']>>(),
  rateLimit: fields({ max: required(whole(1)), interval: required(span) }),
  intercept: callable<NonNullable<EmailTaskOptions['intercept']>>(),
  attachments: attachmentRules,
  limits: messageLimits,
  dkim: dkimOptions,
} satisfies Rules & Record<keyof EmailTaskOptions, unknown>

/** Reads the options of an email task; `transport` apart. */
export const emailOptions: Rule<FilledEmailOptions> = (value, path, issues) => {
  const given = fields(TABLE)(value, path, issues)
  const rules: MessageRules = {
    attachments: given.attachments ?? attachmentRules(undefined, [], []),
    limits: given.limits ?? messageLimits({}, [], []),
  }
  return {
    from: given.from,
    concurrency: given.concurrency ?? 10,
    timeout: given.timeout ?? 60_000,
    retry: { ...SUBMISSION, ...given.retry },
    onPartial: given.onPartial ?? 'fail',
    onUnknown: given.onUnknown ?? 'retry',
    verdict: given.verdict,
    rateLimit: given.rateLimit,
    intercept: given.intercept,
    rules,
    dkim: given.dkim,
    schema: messageSchema(rules),
  }
}

const SUBMISSION: RetryLayer = retryPolicy(submission, ['retry'], [])

function oneOf<const Word extends string>(...words: Word[]): Rule<Word> {
  return (value, path, issues) => {
    if (!words.includes(value as Word))
      issues.push({ path, message: `must be ${words.map((word) => `'${word}'`).join(' or ')}, got ${show(value)}` })
    return value as Word
  }
}
