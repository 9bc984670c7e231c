/**
 * What may be mailed: the message as it is submitted, and the schema that refuses at submit what would mail somebody
 * else, break a header, or read a file. What it accepts is parsed once, here; nothing behind it parses a string again.
 */
import { type InputIssue, kindOf, show } from '../errors.js'
import type { StandardResult, StandardSchema } from '../schema.js'
import {
  distinct,
  type EmailAddress,
  isOneLine,
  type Mailbox,
  oneLineExpected,
  parseAddress,
  parseAddresses,
} from './address.js'

/**
 * A message to be mailed. One address in each entry; at least one recipient, and `text` or `html`.
 *
 * @example { to: 'Ada <ada@example.com>', subject: 'Welcome', text: 'Hello Ada' }
 */
export interface EmailMessage {
  /** May be `[]` where `cc` or `bcc` name somebody. */
  readonly to: EmailAddress | readonly EmailAddress[]
  readonly cc?: EmailAddress | readonly EmailAddress[]
  /** Gets the message and is named in none of its headers. */
  readonly bcc?: EmailAddress | readonly EmailAddress[]
  /** @default the task's `from` */
  readonly from?: EmailAddress
  readonly replyTo?: EmailAddress | readonly EmailAddress[]
  readonly subject: string
  readonly text?: string
  readonly html?: string
  /** Further headers by name, such as `List-Unsubscribe`; none that the message itself is made of. */
  readonly headers?: { readonly [name: string]: string }
}

/** What a task allows in its messages. */
export type MessageRules = {}

/** A message that was checked. */
export interface CheckedMessage {
  /** As it was submitted. */
  readonly source: EmailMessage
  readonly to: readonly Mailbox[]
  readonly cc: readonly Mailbox[]
  readonly bcc: readonly Mailbox[]
  readonly from: Mailbox | undefined
  readonly replyTo: readonly Mailbox[]
  readonly subject: string
  readonly text: string | undefined
  readonly html: string | undefined
  readonly headers: { readonly [name: string]: string }
}

const FIELDS: ReadonlySet<string> = new Set([
  'to',
  'cc',
  'bcc',
  'from',
  'replyTo',
  'subject',
  'text',
  'html',
  'headers',
] satisfies (keyof EmailMessage)[])

/** A token of RFC 9110, stricter than RFC 5322 3.6.8. */
const HEADER_NAME = /^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,76}$/

/** Headers that decide who gets the message, from whom, and how it is read: they come from the message's own fields. */
const STRUCTURAL =
  /^(?:bcc|cc|to|from|sender|reply-to|return-path|subject|date|message-id|mime-version|received|dkim-signature|content-.*|resent-.*|__proto__)$/i

/** The schema of `EmailMessage`. */
export function messageSchema(_rules: MessageRules): StandardSchema<EmailMessage, CheckedMessage> {
  return { '~standard': { version: 1, vendor: 'background-runner', validate: check } }
}

export function recipientsOf({ to, cc, bcc }: CheckedMessage): readonly Mailbox[] {
  return distinct([...to, ...cc, ...bcc])
}

export function senderOf(_message: CheckedMessage, from: Mailbox): string {
  return from.key
}

function check(value: unknown): StandardResult<CheckedMessage> {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return { issues: [{ message: `must be an email message, got ${kindOf(value)}`, path: [] }] }
  const issues: InputIssue[] = []
  const refuse = (message: string, ...path: string[]): void => {
    issues.push({ message, path })
  }
  const message = value as { readonly [Field in keyof EmailMessage]?: unknown }
  for (const field of Object.keys(message)) if (!FIELDS.has(field)) refuse('is not a field of an email message', field)
  const list = (field: 'to' | 'cc' | 'bcc' | 'replyTo'): Mailbox[] =>
    message[field] === undefined ? [] : parseAddresses(message[field], [field], issues)
  const body = (field: 'text' | 'html'): string | undefined => {
    const text = message[field]
    if (text === undefined || typeof text === 'string') return text
    refuse(`must be a string, got ${show(text)}`, field)
    return undefined
  }

  if (message.to === undefined) refuse('is required; it may be [] where cc or bcc name somebody', 'to')
  const to = list('to')
  const cc = list('cc')
  const bcc = list('bcc')
  const from = message.from === undefined ? undefined : parseAddress(message.from, ['from'], issues)
  const replyTo = list('replyTo')
  const subject = message.subject
  if (typeof subject !== 'string') refuse(`must be a string, got ${show(subject)}`, 'subject')
  else if (!isOneLine(subject)) refuse(oneLineExpected, 'subject')
  const text = body('text')
  const html = body('html')
  const headers = checkHeaders(message.headers, refuse)
  // Said only where nothing else is wrong: a refused recipient is no missing one.
  if (issues.length === 0 && to.length + cc.length + bcc.length === 0) refuse('must name at least one recipient', 'to')
  if (message.text === undefined && message.html === undefined) refuse('text or html is required', 'text')
  if (issues.length > 0) return { issues }
  return {
    value: {
      source: value as EmailMessage,
      to,
      cc,
      bcc,
      from,
      replyTo,
      subject: subject as string,
      text,
      html,
      headers,
    },
  }
}

function checkHeaders(
  value: unknown,
  refuse: (message: string, ...path: string[]) => void,
): { readonly [name: string]: string } {
  if (value === undefined) return {}
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    refuse(`must be an object of names and values, got ${show(value)}`, 'headers')
    return {}
  }
  for (const [name, text] of Object.entries(value)) {
    if (!HEADER_NAME.test(name)) refuse('is not the name of a header', 'headers', name)
    else if (STRUCTURAL.test(name)) refuse("is made from the message's own fields", 'headers', name)
    else if (typeof text !== 'string') refuse(`must be a string, got ${show(text)}`, 'headers', name)
    else if (!isOneLine(text)) refuse(oneLineExpected, 'headers', name)
  }
  return value as { readonly [name: string]: string }
}
