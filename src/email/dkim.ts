/**
 * How messages are signed: Nodemailer's options, checked when the task is defined. With a key that cannot sign Nodemailer
 * sends the message unsigned, and nobody learns of it but its receivers' filters.
 */
import { createPrivateKey, KeyObject } from 'node:crypto'
import type { SendMailOptions } from 'nodemailer'
import { type InputIssue, kindOf, show } from '../errors.js'
import { type Path, refuser } from './text.js'

/** How messages are signed, as Nodemailer takes it: `{ domainName, keySelector, privateKey }`, or several `keys`. */
export type DkimOptions = NonNullable<SendMailOptions['dkim']>

const FIELDS: ReadonlySet<string> = new Set([
  'domainName',
  'keySelector',
  'privateKey',
  'keys',
  'headerFieldNames',
  'skipFields',
  'cacheDir',
  'cacheTreshold',
  'hashAlgo',
] satisfies (keyof DkimOptions)[])

/** What a tag of the signature can carry; a domain may be in Unicode. */
const DOMAIN = /^[\p{L}\p{M}\p{N}.-]{1,253}$/u
const SELECTOR = /^[A-Za-z0-9_.-]{1,128}$/
const NAMES = /^[A-Za-z0-9-]+(?::[A-Za-z0-9-]+)*$/

/** Reads the option `dkim` of a task. No value of it is told. */
export function dkimOptions(value: unknown, path: Path, issues: InputIssue[]): DkimOptions | undefined {
  if (value === undefined) return undefined
  const refuse = refuser(path, issues)
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return refuse(`must be an object such as { domainName, keySelector, privateKey }, got ${kindOf(value)}`)
  for (const field of Object.keys(value)) if (!FIELDS.has(field)) refuse('is not an option of DKIM', field)
  const { keys, headerFieldNames, skipFields, hashAlgo } = value as { readonly [Field in keyof DkimOptions]?: unknown }
  if (Array.isArray(keys)) for (const [i, key] of keys.entries()) checkKey(key, [...path, 'keys', i], issues)
  else if (keys !== undefined) checkKey(keys, [...path, 'keys'], issues)
  else checkKey(value, path, issues)
  if (Array.isArray(keys) && keys.length === 0) refuse('must hold a key', 'keys')
  for (const [field, names] of Object.entries({ headerFieldNames, skipFields }))
    if (names !== undefined && !(typeof names === 'string' && NAMES.test(names)))
      refuse(`must be names of headers with colons between, got ${show(names)}`, field)
  if (hashAlgo !== undefined && hashAlgo !== 'sha256')
    refuse(`must be 'sha256', the only one that receivers take (RFC 8301), got ${show(hashAlgo)}`, 'hashAlgo')
  return value as DkimOptions
}

function checkKey(value: unknown, path: Path, issues: InputIssue[]): void {
  const refuse = refuser(path, issues)
  if (typeof value !== 'object' || value === null) {
    refuse(`must be an object such as { domainName, keySelector, privateKey }, got ${kindOf(value)}`)
    return
  }
  const { domainName, keySelector, privateKey } = value as Readonly<Record<string, unknown>>
  if (typeof domainName !== 'string' || !DOMAIN.test(domainName))
    refuse(`must be a domain, got ${show(domainName)}`, 'domainName')
  if (typeof keySelector !== 'string' || !SELECTOR.test(keySelector))
    refuse(`must be the name of a key in the DNS, got ${show(keySelector)}`, 'keySelector')
  if (!isRsaKey(privateKey)) refuse('must be a private RSA key that can be read, such as its PEM text', 'privateKey')
}

/** Nodemailer signs with RSA only. */
function isRsaKey(key: unknown): boolean {
  try {
    const given = key instanceof KeyObject ? key : createPrivateKey(key as string)
    return given.type === 'private' && given.asymmetricKeyType === 'rsa'
  } catch {
    return false
  }
}

/** RFC 6376 5.4.1, as Nodemailer has it by default. */
const SIGNED =
  'From:Sender:Reply-To:Subject:Date:Message-ID:To:Cc:MIME-Version:Content-Type:Content-Transfer-Encoding:Content-ID:' +
  'Content-Description:In-Reply-To:References:List-Id:List-Help:List-Unsubscribe:List-Subscribe:List-Post:List-Owner:' +
  'List-Archive'

/** RFC 8058 4: a signature must cover `List-Unsubscribe-Post` as well, or mail clients show no button. */
export function coveringOneClick(dkim: DkimOptions): DkimOptions {
  return { ...dkim, headerFieldNames: dkim.headerFieldNames ?? `${SIGNED}:List-Unsubscribe-Post` }
}
