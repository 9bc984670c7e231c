/**
 * Email addresses: exactly one address in each entry, or a reason why not.
 *
 * Mail libraries read a string as a list, a group or a header (`a@x,b@x`, `friends: a@x;`, `a@x\r\nBcc: b@x`) and so mail
 * people whom nobody meant. Here a string is `local@domain` or `Name <local@domain>` and nothing else. What RFC 5321
 * allows and nobody owns is left out: quoted local parts, comments, domain literals.
 */
import { domainToASCII } from 'node:url'
import { type InputIssue, show } from '../errors.js'
import {
  hasEncodedWord,
  isOneLine,
  noEncodedWordExpected,
  oneLineExpected,
  type Path,
  type Refuse,
  refuser,
} from './text.js'

/** One address: `'ada@example.com'`, `'Ada <ada@example.com>'`, or its parts. */
export type EmailAddress = string | { readonly name?: string; readonly address: string }

/** An address that was checked. */
export interface Mailbox {
  /** The display name, unquoted; empty if there is none. */
  readonly name: string
  /** As it was written. */
  readonly address: string
  /** With its domain in lower case and ASCII: the same mailbox, the same key. */
  readonly key: string
}

/** Dot-atom of RFC 5322 3.2.3, with the letters and digits that RFC 6531 adds; no quoted string. */
const ATEXT = "[A-Za-z0-9!#$%&'*+/=?^_`{|}~\\-]|(?!\\p{ASCII})[\\p{L}\\p{M}\\p{Nd}]"
const LOCAL = new RegExp(`^(?:${ATEXT})+(?:\\.(?:${ATEXT})+)*$`, 'u')
/** Checked before it is converted: the conversion would take `x/ü` for `x`. */
const DOMAIN = /^(?:[A-Za-z0-9.-]|(?!\p{ASCII})[\p{L}\p{M}\p{N}\p{So}])+$/u
const ASCII_DOMAIN = /^(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/

/** RFC 5321 4.5.3.1, in octets. */
const MAX_LOCAL = 64
const MAX_ADDRESS = 254
/** Quoted, with every character escaped, it still fits into a line (RFC 5322 2.1.1). */
const MAX_NAME = 440
/** Name, quotes and escapes, address. */
const MAX_ENTRY = 2 * MAX_NAME + MAX_ADDRESS + 8

/** `Name <address>`; a name with specials must be quoted. */
const ANGLED = /^(?:(?<plain>[^<>()[\]:;@\\,"]*?) *|"(?<quoted>(?:[^"\\]|\\.)*)" *)<(?<address>[^<>]*)>$/su

/** Parses one address; pushes what is wrong with it into `issues`. */
export function parseAddress(value: unknown, path: Path, issues: InputIssue[]): Mailbox | undefined {
  const refuse: Refuse = refuser(path, issues)
  if (typeof value === 'string') {
    if (value.length > MAX_ENTRY) return refuse(`must be at most ${MAX_ENTRY} characters long`)
    if (!isOneLine(value)) return refuse(oneLineExpected)
    const { plain = '', quoted, address = value } = (value.includes('<') && ANGLED.exec(value)?.groups) || {}
    const name = quoted?.replace(/\\(.)/gsu, '$1') ?? plain
    return toMailbox(name, address) ?? refuse(`${addressExpected}, got ${show(value)}`)
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return refuse(`${addressExpected}, got ${show(value)}`)
  const { name = '', address, ...unknown } = value as Record<string, unknown>
  for (const field of Object.keys(unknown)) refuse('is not a field of an address', field)
  if (typeof name !== 'string') refuse(`must be a string, got ${show(name)}`, 'name')
  else if (!isOneLine(name)) refuse(oneLineExpected, 'name')
  else if (name.length > MAX_NAME) refuse(`must be at most ${MAX_NAME} characters long`, 'name')
  else if (hasEncodedWord(name)) refuse(noEncodedWordExpected, 'name')
  else {
    const mailbox = typeof address === 'string' ? toMailbox(name, address) : undefined
    if (mailbox !== undefined && Object.keys(unknown).length === 0) return mailbox
  }
  if (typeof address !== 'string' || toMailbox('', address) === undefined)
    refuse(`must be one address such as 'ada@example.com', got ${show(address)}`, 'address')
  return undefined
}

/** Parses one address or a list of at most `max`. */
export function parseAddresses(value: unknown, path: Path, issues: InputIssue[], max: number): Mailbox[] {
  const list = Array.isArray(value) ? value : [value]
  if (list.length > max) {
    issues.push({ message: `must be at most ${max} addresses, got ${list.length}`, path })
    return []
  }
  return list.flatMap((each, i) => parseAddress(each, Array.isArray(value) ? [...path, i] : path, issues) ?? [])
}

/** The same for every way to write one mailbox: servers and Nodemailer hand back domains converted. */
export function addressKey(address: string): string {
  const at = address.lastIndexOf('@')
  return `${address.slice(0, at)}@${asciiDomain(address.slice(at + 1))}`
}

/** Each mailbox once, as it was written first. */
export function distinct(mailboxes: readonly Mailbox[]): readonly Mailbox[] {
  if (mailboxes.length === 1) return mailboxes
  const seen = new Map<string, Mailbox>()
  for (const each of mailboxes) if (!seen.has(each.key)) seen.set(each.key, each)
  return [...seen.values()]
}

/** The domain as it goes over the wire, for what must be ASCII. */
export function domainOf({ key }: Mailbox): string {
  return key.slice(key.lastIndexOf('@') + 1)
}

const addressExpected = "must be one address such as 'ada@example.com' or 'Ada <ada@example.com>'"

function toMailbox(name: string, address: string): Mailbox | undefined {
  const at = address.lastIndexOf('@')
  if (at < 0 || name.length > MAX_NAME || address.length > MAX_LOCAL + 1 + MAX_ADDRESS) return undefined
  // In an address too: `=?utf-8?q?a=40evil=2Eexample?=@example.com` is read as a mailbox at evil.example by some servers.
  if (hasEncodedWord(name) || hasEncodedWord(address)) return undefined
  const local = address.slice(0, at)
  const domain = address.slice(at + 1)
  if (Buffer.byteLength(local) > MAX_LOCAL || !LOCAL.test(local) || domain.length > MAX_ADDRESS || !DOMAIN.test(domain))
    return undefined
  const ascii = asciiDomain(domain)
  // An all-numeric last label is an IP address without its brackets.
  if (!ASCII_DOMAIN.test(ascii) || /(?:^|\.)\d+$/.test(ascii)) return undefined
  const key = `${local}@${ascii}`
  return Buffer.byteLength(key) <= MAX_ADDRESS ? { name, address, key } : undefined
}

function asciiDomain(domain: string): string {
  // Only what is not ASCII is converted: domainToASCII takes '0x7f.1' for 127.0.0.1.
  return /^\p{ASCII}*$/u.test(domain) ? domain.toLowerCase() : domainToASCII(domain)
}
