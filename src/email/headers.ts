/**
 * Headers: what a message or an attachment may add to those that it is made of, and how each is written so that its
 * receiver reads what was submitted.
 *
 * Nodemailer reads values that are objects as instructions (`{ prepared: true, value }` goes out raw), takes the names
 * `key` and `value` for one header `{ key: 'Bcc', value: '…' }`, and encodes whatever holds a quote. So values are
 * checked to be strings, names are given in the case in which they go out, and plain values are marked as prepared.
 */
import type { SendMailOptions } from 'nodemailer'
import { type InputIssue, show } from '../errors.js'
import { parseAddress } from './address.js'
import {
  hasLongWord,
  isOneLine,
  isPlain,
  isPrintableAscii,
  MAX_WORD,
  oneLineExpected,
  type Path,
  refuser,
  toEncodedWords,
} from './text.js'

/** Headers in their order; one with several values occurs several times. */
export type HeaderLines = readonly (readonly [name: string, values: readonly string[]])[]

/** How to leave a mailing list, RFC 8058 and RFC 2369. At least one of `url` and `mailto`. */
export interface ListUnsubscribe {
  /** `https://…`; `http://…` only without `oneClick`. */
  readonly url?: string
  /** The page unsubscribes on a POST, without another question (RFC 8058): mail clients show a button. @default false */
  readonly oneClick?: boolean
  /** An address, or a `mailto:` URI. */
  readonly mailto?: string
}

/** A token of RFC 9110, stricter than RFC 5322 3.6.8. */
const HEADER_NAME = /^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,76}$/

/** Headers that decide who gets the message, from whom, and how it is read: they come from the message's own fields. */
const STRUCTURAL =
  /^(?:bcc|cc|to|from|sender|reply-to|return-path|subject|date|message-id|in-reply-to|references|mime-version|received|dkim-signature|resent-.*|__proto__)$/i
const CONTENT = /^content-/i
/** What an attachment may say of itself beside its fields: RFC 2045 8, 3282, 2557. */
const OF_ATTACHMENT = /^(?:content-(?:description|language|location)|x-.*)$/i

const MAX_LINES = 100
/** Characters of one value, and of all together: Postfix cuts the headers off at 100 kB. */
export const MAX_VALUE = 10_000
const MAX_TOTAL = 50_000

/** Headers that a field of the message sets, and the field. */
export type Taken = ReadonlyMap<string, string>

/** Checks the headers that a message adds (`of: 'message'`) or an attachment. */
export function checkHeaders(
  value: unknown,
  path: Path,
  issues: InputIssue[],
  of: 'message' | 'attachment',
  taken: Taken = new Map(),
): HeaderLines {
  if (value === undefined) return []
  const refuse = refuser(path, issues)
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return refuse(`must be an object of names and values, got ${show(value)}`) ?? []
  const names = new Set<string>()
  const lines: [string, string[]][] = []
  for (const [name, given] of Object.entries(value)) {
    const key = name.toLowerCase()
    const field = taken.get(key)
    if (!HEADER_NAME.test(name)) refuse('is not the name of a header', name)
    else if (STRUCTURAL.test(name)) refuse("is made from the message's own fields", name)
    else if (of === 'message' && CONTENT.test(name)) refuse("is made from the message's own fields", name)
    else if (of === 'attachment' && !OF_ATTACHMENT.test(name)) refuse('is no header for an attachment to set', name)
    else if (field !== undefined) refuse(`is set by ${field}`, name)
    else if (names.has(key)) refuse('is given twice: a list of values repeats a header', name)
    else lines.push([name, checkValues(given, [...path, name], issues)])
    names.add(key)
  }
  const values = lines.flatMap(([, each]) => each)
  if (values.length > MAX_LINES) refuse(`must be at most ${MAX_LINES} lines, got ${values.length}`)
  if (values.reduce((sum, { length }) => sum + length, 0) > MAX_TOTAL)
    refuse(`must be at most ${MAX_TOTAL} characters together`)
  return lines
}

function checkValues(value: unknown, path: Path, issues: InputIssue[]): string[] {
  const list: readonly unknown[] = Array.isArray(value) ? value : [value]
  if (list.length === 0 || list.length > MAX_LINES)
    return refuser(path, issues)(`must be a string, or a list of 1 to ${MAX_LINES}`) ?? []
  return list.flatMap((text, i) => {
    const refuse = refuser(Array.isArray(value) ? [...path, i] : path, issues)
    if (typeof text !== 'string') refuse(`must be a string, got ${show(text)}`)
    else if (!isOneLine(text)) refuse(oneLineExpected)
    else if (text.trim() === '') refuse('must not be empty: a header without a value is not sent')
    else if (text.length > MAX_VALUE) refuse(`must be at most ${MAX_VALUE} characters long`)
    else if (isPrintableAscii(text) && hasLongWord(text))
      refuse(`must not hold a word of more than ${MAX_WORD} characters`)
    else return [text]
    return []
  })
}

/** As Nodemailer takes them: it sends what is prepared as it is, folded at spaces. */
export function writeHeaders(lines: HeaderLines): NonNullable<SendMailOptions['headers']> {
  return Object.fromEntries(
    lines.map(([name, values]) => [
      name[0]?.toUpperCase() + name.slice(1), // `key` and `value` are Nodemailer's own
      values.map((value) =>
        // What is not ASCII Nodemailer encodes as a whole, spaces and all.
        isPrintableAscii(value) ? { prepared: true, foldLines: true, value: writeText(value) } : value,
      ),
    ]),
  )
}

/** A subject, or the value of a header, as Nodemailer takes it: what is neither plain nor encoded by it is encoded here. */
export function writeText(text: string): string {
  return isPlain(text) || !isPrintableAscii(text) ? text : toEncodedWords(text)
}

/** RFC 5322 3.6.4, without the quoted and obsolete forms that its generators never used. */
const MESSAGE_ID = /^<[!-;=?A-~]+@[!-;=?A-~]+>$/
const MAX_IDS = 100

/** Checks message ids: a list, or a string of them with spaces between. */
export function checkMessageIds(value: unknown, path: Path, issues: InputIssue[]): readonly string[] {
  if (value === undefined) return []
  const refuse = refuser(path, issues)
  const expected = "must be message ids such as '<left@right>'"
  const list: readonly unknown[] = typeof value === 'string' ? value.split(' ').filter(Boolean) : ids(value)
  if (list.length === 0 || list.length > MAX_IDS)
    return refuse(`${expected}, at most ${MAX_IDS} of them, got ${show(value)}`) ?? []
  const isId = (id: unknown): id is string => typeof id === 'string' && id.length <= MAX_WORD && MESSAGE_ID.test(id)
  if (list.every(isId)) return list.join(' ').length <= MAX_VALUE ? list : (refuse(`${expected}, not so many`) ?? [])
  if (typeof value === 'string') return refuse(`${expected}, got ${show(value)}`) ?? []
  for (const [i, id] of list.entries()) if (!isId(id)) refuse(`must be one message id, got ${show(id)}`, i)
  return []
}

function ids(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}

const FIELDS: ReadonlySet<string> = new Set(['url', 'oneClick', 'mailto'] satisfies (keyof ListUnsubscribe)[])
/** No space, bracket, quote or backslash: `URL` would forgive them, the header would not. */
const WEB = /^https?:\/\/[^\s<>"\\^`{|}]+$/i
const MAILTO = /^mailto:[^\s<>"\\^`{|},]+@[^\s<>"\\^`{|},]+$/i

/** The headers of `listUnsubscribe`. */
export function checkListUnsubscribe(value: unknown, path: Path, issues: InputIssue[]): HeaderLines {
  if (value === undefined) return []
  const refuse = refuser(path, issues)
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return refuse(`must be an object such as { url, oneClick }, got ${show(value)}`) ?? []
  for (const field of Object.keys(value)) if (!FIELDS.has(field)) refuse('is not a field of listUnsubscribe', field)
  const { url, oneClick, mailto } = value as { readonly [Field in keyof ListUnsubscribe]?: unknown }
  const isOneClick = oneClick === true
  if (oneClick !== undefined && typeof oneClick !== 'boolean')
    refuse(`must be true or false, got ${show(oneClick)}`, 'oneClick')
  // The URL is told to nobody: it may hold the token that unsubscribes.
  const web = url === undefined ? undefined : webUrl(url, isOneClick)
  if (url !== undefined && web === undefined)
    refuse(`must be an ${isOneClick ? 'https' : 'http or https'} URL without credentials`, 'url')
  if (url === undefined && isOneClick) refuse('is required: one click is a POST to it (RFC 8058)', 'url')
  if (url === undefined && mailto === undefined) refuse('must have a url or a mailto')
  const mail = mailto === undefined ? undefined : mailtoUri(mailto)
  if (mailto !== undefined && mail === undefined) refuse('must be one address, or a mailto: URI', 'mailto')
  const targets = [web, mail].filter((each) => each !== undefined).map((each) => `<${each}>`)
  const unsubscribe: HeaderLines = [['List-Unsubscribe', [targets.join(', ')]]]
  return isOneClick ? [...unsubscribe, ['List-Unsubscribe-Post', ['List-Unsubscribe=One-Click']]] : unsubscribe
}

function webUrl(value: unknown, secure: boolean): string | undefined {
  if (typeof value !== 'string' || !isOneLine(value) || !WEB.test(value) || !URL.canParse(value)) return undefined
  const { protocol, username, password, href } = new URL(value)
  if (username !== '' || password !== '' || (secure && protocol !== 'https:')) return undefined
  const written = isPrintableAscii(value) ? value : href
  return written.length <= MAX_WORD ? written : undefined
}

function mailtoUri(value: unknown): string | undefined {
  if (typeof value !== 'string' || value.length > MAX_WORD) return undefined
  if (/^mailto:/i.test(value)) return isPrintableAscii(value) && MAILTO.test(value) ? value : undefined
  const mailbox = parseAddress(value, [], [])
  if (mailbox === undefined || mailbox.name !== '' || !isPrintableAscii(mailbox.key)) return undefined
  return `mailto:${mailbox.key.replace(/[%?&#]/g, (character) => encodeURIComponent(character))}`
}
