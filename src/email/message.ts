/**
 * What may be mailed: the message as it is submitted, and the schema that refuses at submit what would mail somebody
 * else, break a header, or read a file. What it accepts is parsed once, here; nothing behind it parses a string again.
 */
import { type InputIssue, kindOf, show } from '../errors.js'
import { fields, mapped, type Rule, whole } from '../rules.js'
import type { StandardResult, StandardSchema } from '../schema.js'
import { distinct, type EmailAddress, type Mailbox, parseAddress, parseAddresses } from './address.js'
import { type AttachmentRules, type CheckedAttachment, checkAttachments, type EmailAttachment } from './attachments.js'
import { type CheckedAlternative, checkAlternatives, type EmailAlternative, sizeOf } from './content.js'
import {
  checkHeaders,
  checkListUnsubscribe,
  checkMessageIds,
  type HeaderLines,
  type ListUnsubscribe,
  MAX_VALUE,
} from './headers.js'
import { isOneLine, isWhole, oneLineExpected, refuser, wholeExpected } from './text.js'

/**
 * A message to be mailed. One address in each entry; at least one recipient, and `text` or `html`. Its Message-ID is not
 * its own: a task has one for its whole life.
 *
 * @example { to: 'Ada <ada@example.com>', subject: 'Welcome', text: 'Hello Ada' }
 */
export interface EmailMessage {
  /** May be `[]` where `cc`, `bcc` or `envelope.to` name somebody. */
  readonly to: EmailAddress | readonly EmailAddress[]
  readonly cc?: EmailAddress | readonly EmailAddress[]
  /** Gets the message and is named in none of its headers. */
  readonly bcc?: EmailAddress | readonly EmailAddress[]
  /** @default the task's `from` */
  readonly from?: EmailAddress
  readonly replyTo?: EmailAddress | readonly EmailAddress[]
  /** Who sends it on behalf of `from`. */
  readonly sender?: EmailAddress
  readonly subject: string
  readonly text?: string
  readonly html?: string
  /** Further forms of it beside `text` and `html`, at most 10. */
  readonly alternatives?: readonly EmailAlternative[]
  /** At most 100. */
  readonly attachments?: readonly EmailAttachment[]
  /**
   * Further headers by name, one or several values each; none that the message itself is made of. Mail providers take
   * orders from some (`X-SMTPAPI`): let no stranger choose the names.
   */
  readonly headers?: { readonly [name: string]: string | readonly string[] }
  /** The Message-ID that it answers, `'<left@right>'`; in a list or with spaces between, several. */
  readonly inReplyTo?: string | readonly string[]
  /** The Message-IDs of its thread, the oldest first. */
  readonly references?: string | readonly string[]
  /** What mail clients show of its urgency. @default 'normal' */
  readonly priority?: 'high' | 'normal' | 'low'
  /** Epoch ms, or ISO 8601 with time zone, `'2026-11-26T10:00:00Z'`. Sent in whole seconds. @default when it is sent */
  readonly date?: string | number
  /** How to leave the list that it was sent to (RFC 8058). */
  readonly listUnsubscribe?: ListUnsubscribe
  /** Who is told to the server instead of `from` and the recipients; the headers stay. */
  readonly envelope?: {
    /** Where bounces go: one address without a name, or `''` for nowhere (the null sender, RFC 5321 4.5.5). */
    readonly from?: string
    /** Who gets it, instead of `to`, `cc` and `bcc`. */
    readonly to?: EmailAddress | readonly EmailAddress[]
  }
}

/** A message that was checked. */
export interface CheckedMessage {
  /** As it was submitted. */
  readonly source: EmailMessage
  readonly to: readonly Mailbox[]
  readonly cc: readonly Mailbox[]
  readonly bcc: readonly Mailbox[]
  readonly from: Mailbox | undefined
  readonly replyTo: readonly Mailbox[]
  readonly sender: Mailbox | undefined
  readonly subject: string
  readonly text: string | undefined
  readonly html: string | undefined
  readonly alternatives: readonly CheckedAlternative[]
  readonly attachments: readonly CheckedAttachment[]
  readonly headers: HeaderLines
  readonly inReplyTo: readonly string[]
  readonly references: readonly string[]
  readonly priority: 'high' | 'normal' | 'low' | undefined
  readonly date: Date | undefined
  readonly listUnsubscribe: HeaderLines
  readonly envelope: {
    /** With its domain in ASCII; `''` is the null sender. */
    readonly from: string | undefined
    readonly to: readonly Mailbox[] | undefined
  }
}

/** How much one message may be. */
export interface MessageLimits {
  /** Recipients of one message, at most 1 000: what became of each is kept with the task. @default 100, what every server takes (RFC 5321 4.5.3.1.8) */
  readonly recipients: number
  /** Bytes of text, html, alternatives and attachments, before they are encoded for the way. @default 25 MiB */
  readonly size: number
}

/** What a task asks of its messages. */
export interface MessageRules {
  readonly attachments: AttachmentRules
  readonly limits: MessageLimits
}

const LIMITS: MessageLimits = { recipients: 100, size: 25 * 1_048_576 }

/** Reads the option `limits` of a task; what is left out has its default. */
export const messageLimits: Rule<MessageLimits> = mapped(
  fields({ recipients: whole(1, 1_000), size: whole(1) }),
  (given) => ({ ...LIMITS, ...given }),
)

/** Who gets a message, each once. */
export function recipientsOf({ to, cc, bcc, envelope }: CheckedMessage): readonly Mailbox[] {
  return distinct(envelope.to ?? (cc.length + bcc.length === 0 ? to : [...to, ...cc, ...bcc]))
}

/** Whom the server is told as its sender: an address with its domain in ASCII, or `''` for none. */
export function senderOf({ envelope }: CheckedMessage, from: Mailbox): string {
  return envelope.from ?? from.key
}

const FIELDS: ReadonlySet<string> = new Set([
  'to',
  'cc',
  'bcc',
  'from',
  'replyTo',
  'sender',
  'subject',
  'text',
  'html',
  'alternatives',
  'attachments',
  'headers',
  'inReplyTo',
  'references',
  'priority',
  'date',
  'listUnsubscribe',
  'envelope',
] satisfies (keyof EmailMessage)[])
const ENVELOPE_FIELDS: ReadonlySet<string> = new Set(['from', 'to'])

/** What Nodemailer knows and a message of ours may not say, and why. */
const REFUSED: Readonly<Record<string, string>> = {
  raw: 'is not allowed: it would go out unchecked',
  messageId: 'is not settable: a task has one Message-ID for its whole life',
}

/** The schema of `EmailMessage` for a task with these rules. */
export function messageSchema(rules: MessageRules): StandardSchema<EmailMessage, CheckedMessage> {
  return {
    '~standard': { version: 1, vendor: 'background-runner', validate: (value) => new Reader(value, rules).read() },
  }
}

type Given = { readonly [Field in keyof EmailMessage]?: unknown }

/** Reads one message. */
class Reader {
  readonly #issues: InputIssue[] = []
  readonly #refuse = refuser([], this.#issues)
  readonly #value: unknown
  readonly #rules: MessageRules

  constructor(value: unknown, rules: MessageRules) {
    this.#value = value
    this.#rules = rules
  }

  read(): StandardResult<CheckedMessage> {
    const value = this.#value
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      return { issues: [{ message: `must be an email message, got ${kindOf(value)}`, path: [] }] }
    const issues = this.#issues
    const given = value as Given
    for (const field of Object.keys(given))
      if (!FIELDS.has(field))
        this.#refuse(
          Object.hasOwn(REFUSED, field) ? (REFUSED[field] as string) : 'is not a field of an email message',
          field,
        )
    if (given.to === undefined) this.#refuse('is required; it may be [] where cc or bcc name somebody', 'to')
    const listUnsubscribe = checkListUnsubscribe(given.listUnsubscribe, ['listUnsubscribe'], issues)
    const checked: CheckedMessage = {
      source: value as EmailMessage,
      to: this.#addresses('to'),
      cc: this.#addresses('cc'),
      bcc: this.#addresses('bcc'),
      from: this.#address('from'),
      replyTo: this.#addresses('replyTo'),
      sender: this.#address('sender'),
      subject: this.#subject(),
      text: this.#body('text'),
      html: this.#body('html'),
      alternatives: checkAlternatives(given.alternatives, ['alternatives'], issues),
      attachments: checkAttachments(given.attachments, ['attachments'], issues, this.#rules.attachments),
      headers:
        given.headers === undefined ? [] : checkHeaders(given.headers, ['headers'], issues, 'message', this.#taken()),
      inReplyTo: checkMessageIds(given.inReplyTo, ['inReplyTo'], issues),
      references: checkMessageIds(given.references, ['references'], issues),
      priority: this.#priority(),
      date: this.#date(),
      listUnsubscribe,
      envelope: this.#envelope(),
    }
    if (given.text === undefined && given.html === undefined) this.#refuse('text or html is required', 'text')
    // Said only where nothing else is wrong: a refused recipient is no missing one.
    if (issues.length === 0) this.#measure(checked)
    return issues.length > 0 ? { issues } : { value: checked }
  }

  get #given(): Given {
    return this.#value as Given
  }

  #measure(message: CheckedMessage): void {
    const { recipients, size } = this.#rules.limits
    const named = recipientsOf(message).length
    if (named === 0) this.#refuse('must name at least one recipient', 'to')
    if (named > recipients) this.#refuse(`must name at most ${recipients} recipients, got ${named}`, 'to')
    const bytes = sizeInside(message)
    if (bytes > size) this.#refuse(`must be at most ${size} bytes, got ${bytes}`)
  }

  #addresses(field: 'to' | 'cc' | 'bcc' | 'replyTo'): Mailbox[] {
    const value = this.#given[field]
    return value === undefined ? [] : parseAddresses(value, [field], this.#issues, this.#rules.limits.recipients)
  }

  #address(field: 'from' | 'sender'): Mailbox | undefined {
    const value = this.#given[field]
    return value === undefined ? undefined : parseAddress(value, [field], this.#issues)
  }

  #subject(): string {
    const { subject } = this.#given
    if (typeof subject !== 'string') this.#refuse(`must be a string, got ${show(subject)}`, 'subject')
    else if (!isOneLine(subject)) this.#refuse(oneLineExpected, 'subject')
    else if (subject.length > MAX_VALUE) this.#refuse(`must be at most ${MAX_VALUE} characters long`, 'subject')
    return subject as string
  }

  #body(field: 'text' | 'html'): string | undefined {
    const text = this.#given[field]
    if (text === undefined) return undefined
    if (typeof text !== 'string') return this.#refuse(`must be a string, got ${show(text)}`, field)
    return isWhole(text) ? text : this.#refuse(wholeExpected, field)
  }

  /** Headers that fields of this message set. */
  #taken(): ReadonlyMap<string, string> {
    const { listUnsubscribe, priority } = this.#given
    const by = (field: string, given: unknown, names: readonly string[]): [string, string][] =>
      given === undefined ? [] : names.map((name) => [name, field])
    return new Map([
      ...by('listUnsubscribe', listUnsubscribe, ['list-unsubscribe', 'list-unsubscribe-post']),
      ...by('priority', priority, ['x-priority', 'x-msmail-priority', 'importance']),
    ])
  }

  #priority(): 'high' | 'normal' | 'low' | undefined {
    const { priority } = this.#given
    if (priority === undefined || priority === 'high' || priority === 'normal' || priority === 'low') return priority
    return this.#refuse(`must be 'high', 'normal' or 'low', got ${show(priority)}`, 'priority')
  }

  #date(): Date | undefined {
    const { date } = this.#given
    if (date === undefined) return undefined
    const ms = typeof date === 'string' ? parseInstant(date) : date
    if (Number.isInteger(ms) && (ms as number) >= 0 && (ms as number) <= LAST) return new Date(ms as number)
    return this.#refuse(
      `must be epoch ms or ISO 8601 with a time zone, such as '2026-11-26T10:00:00Z', got ${show(date)}`,
      'date',
    )
  }

  #envelope(): CheckedMessage['envelope'] {
    const { envelope } = this.#given
    if (envelope === undefined) return { from: undefined, to: undefined }
    const refuse = refuser(['envelope'], this.#issues)
    if (typeof envelope !== 'object' || envelope === null || Array.isArray(envelope)) {
      refuse(`must be an object such as { from, to }, got ${show(envelope)}`)
      return { from: undefined, to: undefined }
    }
    for (const field of Object.keys(envelope))
      if (!ENVELOPE_FIELDS.has(field)) refuse('is not a field of an envelope', field)
    const { from, to } = envelope as { readonly from?: unknown; readonly to?: unknown }
    const sender =
      from === undefined || from === '' ? undefined : parseAddress(from, ['envelope', 'from'], this.#issues)
    if (sender !== undefined && (typeof from !== 'string' || sender.name !== ''))
      refuse("must be one address without a name, or '' for none", 'from')
    const { recipients } = this.#rules.limits
    const list = to === undefined ? undefined : parseAddresses(to, ['envelope', 'to'], this.#issues, recipients)
    return { from: from === '' ? '' : sender?.key, to: list }
  }
}

/** Bytes of a message without what is still to be fetched. */
export function sizeInside({ text = '', html = '', alternatives, attachments }: CheckedMessage): number {
  const inside = attachments.flatMap(({ source }) => (source.from === 'content' ? source : []))
  return [...alternatives, ...inside].reduce(
    (sum, each) => sum + sizeOf(each),
    Buffer.byteLength(text) + Buffer.byteLength(html),
  )
}

/** The last instant with a year of four digits, RFC 5322 3.3. */
const LAST = Date.UTC(9999, 11, 31, 23, 59, 59)
const INSTANT = /^(\d{4})-(\d\d)-(\d\d)T\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:\d\d)$/

function parseInstant(text: string): number | undefined {
  const [, year, month, day] = INSTANT.exec(text) ?? []
  if (year === undefined) return undefined
  // Date.parse takes February 30th for March 2nd.
  if (new Date(Date.UTC(Number(year), Number(month) - 1, Number(day))).getUTCDate() !== Number(day)) return undefined
  const ms = Date.parse(text)
  return Number.isNaN(ms) ? undefined : ms
}
