/**
 * Contents that are in the message itself: how they are written, what type they may say they are, and the alternatives,
 * which are nothing but that.
 */
import { type InputIssue, kindOf, show } from '../errors.js'
import { isWhole, type Path, refuser, wholeExpected } from './text.js'

/** The same message in another form, such as `text/calendar` or `text/x-amp-html`: mail clients show one of them. */
export interface EmailAlternative {
  readonly contentType: string
  readonly content: string
  /** How `content` is written. @default 'utf8' */
  readonly encoding?: 'utf8' | 'base64'
}

export type CheckedAlternative = Required<EmailAlternative>

const ALTERNATIVE_FIELDS: ReadonlySet<string> = new Set([
  'contentType',
  'content',
  'encoding',
] satisfies (keyof EmailAlternative)[])

const MAX_ALTERNATIVES = 10

/** RFC 2045 5.1, without comments and extended parameters. */
const TYPE = '[A-Za-z0-9!#$&^_.+-]{1,64}'
const CONTENT_TYPE = new RegExp(`^${TYPE}/${TYPE}(?:; ?(?!name=)[A-Za-z0-9-]+=(?:${TYPE}|"[ !#-\\[\\]-~]*"))*$`, 'i')
const MAX_CONTENT_TYPE = 255
const contentTypeExpected = "must be a content type such as 'application/pdf' or 'text/csv; charset=utf-8'"

/** What is wrong with the content type of an attachment, if anything is. */
export function contentTypeFault(value: unknown): string | undefined {
  if (typeof value !== 'string' || value.length > MAX_CONTENT_TYPE || !CONTENT_TYPE.test(value))
    return `${contentTypeExpected}, got ${show(value)}`
  return /^multipart\//i.test(value) ? 'must not be multipart: its parts are what a message is made of' : undefined
}

/** A content as it is written. */
export interface Content {
  readonly content: string
  readonly encoding: 'utf8' | 'base64'
}

/** A content and its encoding; undefined, with issues, if they do not fit. */
export function checkContent(
  given: { readonly content?: unknown; readonly encoding?: unknown; readonly contentType?: unknown },
  path: Path,
  issues: InputIssue[],
): Content | undefined {
  const refuse = refuser(path, issues)
  const { content, encoding = 'utf8' } = given
  if (encoding !== 'utf8' && encoding !== 'base64')
    return refuse(`must be 'utf8' or 'base64', got ${show(encoding)}`, 'encoding')
  if (typeof content !== 'string') return refuse(`must be a string, got ${kindOf(content)}`, 'content')
  if (encoding === 'utf8') {
    const charset = /;\s*charset="?([^";]*)/i.exec(String(given.contentType ?? ''))?.[1]
    if (charset !== undefined && !/^(?:utf-?8|us-ascii)$/i.test(charset))
      return refuse('must not name another charset than utf-8: in any other, give the content as base64', 'contentType')
    return isWhole(content) ? { content, encoding } : refuse(wholeExpected, 'content')
  }
  // Node's decoder skips what is no base64: a file would arrive with holes.
  const dense = content.replace(/[\r\n\t ]+/g, '')
  if (dense.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(dense)) return refuse('must be base64', 'content')
  return { content: dense, encoding }
}

/** The bytes of a content once it is decoded. */
export function sizeOf({ content, encoding }: Content): number {
  return Buffer.byteLength(content, encoding === 'base64' ? 'base64' : 'utf8')
}

/** A list of objects, each as `check` reads it. */
export function checkList<T>(
  value: unknown,
  path: Path,
  issues: InputIssue[],
  max: number,
  check: (value: object, path: Path) => T | undefined,
): T[] {
  if (value === undefined) return []
  const refuse = refuser(path, issues)
  if (!Array.isArray(value) || value.length > max)
    return refuse(`must be a list of at most ${max}, got ${Array.isArray(value) ? value.length : kindOf(value)}`) ?? []
  return value.flatMap((each: unknown, i) => {
    if (typeof each === 'object' && each !== null && !Array.isArray(each)) return check(each, [...path, i]) ?? []
    return refuse(`must be an object, got ${kindOf(each)}`, i) ?? []
  })
}

export function checkAlternatives(value: unknown, path: Path, issues: InputIssue[]): CheckedAlternative[] {
  return checkList(value, path, issues, MAX_ALTERNATIVES, (each, at) => {
    const refuse = refuser(at, issues)
    for (const field of Object.keys(each))
      if (!ALTERNATIVE_FIELDS.has(field)) refuse('is not a field of an alternative', field)
    const given = each as { readonly [Field in keyof EmailAlternative]?: unknown }
    const { contentType } = given
    const fault = contentTypeFault(contentType)
    if (fault !== undefined) return refuse(fault, 'contentType')
    if (/^(?:message\/|text\/(?:plain|html)(?:;|$))/i.test(contentType as string))
      return refuse('must be another form than text and html, and no message', 'contentType')
    const checked = checkContent(given, at, issues)
    return checked && { contentType: contentType as string, ...checked }
  })
}
