/**
 * Attachments as they are submitted, and the task's rules for where an attachment may come from.
 *
 * Its content is in the message, or the message names it: a file below `root`, a URL at one of `hosts`, or a reference
 * that the app resolves. What the rules do not allow is refused at submit; `contents.ts` opens the rest, for each attempt
 * anew and by the same rules.
 */
import { isAbsolute, relative, resolve as resolvePath, sep, win32 } from 'node:path'
import type { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { type InputIssue, show } from '../errors.js'
import type { Json } from '../json.js'
import { callable, fields, listOf, type Rule, rule } from '../rules.js'
import { type Content, checkContent, checkList, contentTypeFault } from './content.js'
import { checkHeaders, type HeaderLines } from './headers.js'
import { hasEncodedWord, isOneLine, noEncodedWordExpected, oneLineExpected, type Path, refuser } from './text.js'

/**
 * A file that goes with a message. Exactly one of `content`, `path`, `href` and `reference`.
 *
 * @example { filename: 'invoice.pdf', reference: { invoice: 4711 } }
 */
export interface EmailAttachment {
  /** What it is called; spaces in a row become one. @default the last part of `path` or `href`, or a name made up */
  readonly filename?: string
  /** The content itself. Large files are better named: what is submitted is kept in the record, by default up to 1 MiB. */
  readonly content?: string
  /** How `content` is written. @default 'utf8' */
  readonly encoding?: 'utf8' | 'base64'
  /** @default what `filename` suggests */
  readonly contentType?: string
  /** What the HTML calls `cid:…`, without angle brackets. */
  readonly cid?: string
  /** @default 'attachment'; 'inline' for an image with a `cid` */
  readonly contentDisposition?: 'attachment' | 'inline'
  /** A file below the task's `attachments.root`. */
  readonly path?: string
  /** An http or https URL at one of the task's `attachments.hosts`. */
  readonly href?: string
  /** Anything that the task's `attachments.resolve` knows. */
  readonly reference?: Json
  /** `Content-Description`, `Content-Language`, `Content-Location`, `X-…` */
  readonly headers?: { readonly [name: string]: string | readonly string[] }
}

/** A content, or a stream of it, with what it is called if the attachment does not say. */
export type ResolvedAttachment =
  | string
  | Uint8Array
  | Readable
  | { readonly content: string | Uint8Array | Readable; readonly filename?: string; readonly contentType?: string }

/** Fetches what a reference names. What it throws is tried again; null or undefined says that there is no such thing. */
export type ResolveAttachment = (
  reference: Json,
  options: { readonly signal: AbortSignal },
) => ResolvedAttachment | null | undefined | Promise<ResolvedAttachment | null | undefined>

/** Where attachments may come from beside the message itself. Nothing is allowed by default. */
export interface AttachmentOptions {
  /** The folder below which a `path` may lie, also after symbolic links. @default none: `path` is refused */
  readonly root?: string | URL
  /** `'files.example.com'` or `'files.example.com:8443'`: where a `href` may point to. @default none: `href` is refused */
  readonly hosts?: readonly string[]
  /** Fetches what a `reference` names, for each attempt. @default none: `reference` is refused */
  readonly resolve?: ResolveAttachment
}

/** `AttachmentOptions`, checked. */
export interface AttachmentRules {
  readonly root: string | undefined
  readonly hosts: readonly AllowedHost[]
  readonly resolve: ResolveAttachment | undefined
}

interface AllowedHost {
  readonly hostname: string
  /** Undefined: the one of the protocol. */
  readonly port: string | undefined
}

const folder: Rule<string | URL> = rule(
  (value) => (typeof value === 'string' ? value !== '' : value instanceof URL && value.protocol === 'file:'),
  'must be the path of a folder, or its file: URL',
)
const hosts = listOf(
  (value) => typeof value === 'string' && readHost(value) !== undefined,
  "must be hosts such as 'files.example.com' or 'files.example.com:8443'",
)
const options = fields({ root: folder, hosts, resolve: callable<ResolveAttachment>() })

/** Reads the option `attachments` of a task. */
export function attachmentRules(value: unknown, path: Path, issues: InputIssue[]): AttachmentRules {
  const before = issues.length
  const { root, hosts = [], resolve } = value === undefined ? {} : options(value, path, issues)
  if (issues.length > before) return { root: undefined, hosts: [], resolve: undefined }
  return {
    root: root === undefined ? undefined : resolvePath(typeof root === 'string' ? root : fileURLToPath(root)),
    hosts: hosts.flatMap((host) => readHost(host) ?? []),
    resolve,
  }
}

function readHost(text: string): AllowedHost | undefined {
  const [, host = '', port] = /^([^\s/?#@\\:*]+|\[[0-9A-Fa-f:.]+\])(?::(\d{1,5}))?$/.exec(text) ?? []
  const url = `http://${host}:${port ?? 1}`
  return host !== '' && URL.canParse(url) ? { hostname: new URL(url).hostname, port } : undefined
}

/** Where an attachment comes from. */
export type Source =
  | ({ readonly from: 'content' } & Content)
  | { readonly from: 'path'; readonly path: string }
  | { readonly from: 'href'; readonly href: string }
  | { readonly from: 'reference'; readonly reference: Json }

export interface CheckedAttachment {
  readonly source: Source
  readonly filename: string | undefined
  readonly contentType: string | undefined
  readonly cid: string | undefined
  readonly contentDisposition: 'attachment' | 'inline' | undefined
  readonly headers: HeaderLines
}

const FIELDS: ReadonlySet<string> = new Set([
  'filename',
  'content',
  'encoding',
  'contentType',
  'cid',
  'contentDisposition',
  'path',
  'href',
  'reference',
  'headers',
] satisfies (keyof EmailAttachment)[])
const SOURCES = ['content', 'path', 'href', 'reference'] as const

const MAX_ATTACHMENTS = 100
const MAX_FILENAME = 255
const MAX_CID = 255
const MAX_HREF = 2_000

const CID = /^[!-;=?-~]+$/

/** What is wrong with a file name, if anything is. */
export function filenameFault(value: unknown): string | undefined {
  if (typeof value !== 'string') return `must be a string, got ${show(value)}`
  if (!isOneLine(value)) return oneLineExpected
  if (value.trim() === '' || value.length > MAX_FILENAME) return `must have 1 to ${MAX_FILENAME} characters`
  return hasEncodedWord(value) ? noEncodedWordExpected : undefined
}

/** Whether a URL is at one of the hosts; it may have no credentials and no port but that of its host. */
export function isAllowed({ protocol, hostname, port, username, password }: URL, rules: AttachmentRules): boolean {
  const standard = { 'http:': '80', 'https:': '443' }[protocol]
  if (standard === undefined || username !== '' || password !== '') return false
  const actual = port === '' ? standard : port
  return rules.hosts.some((host) => host.hostname === hostname && (host.port ?? standard) === actual)
}

/** `path` below `root`, links not followed; undefined if it is not below it. */
export function below(root: string, path: string): string | undefined {
  const full = resolvePath(root, path)
  const way = relative(root, full)
  return way === '' || way === '..' || way.startsWith(`..${sep}`) || isAbsolute(way) ? undefined : full
}

export function checkAttachments(
  value: unknown,
  path: Path,
  issues: InputIssue[],
  rules: AttachmentRules,
): CheckedAttachment[] {
  const checked = checkList(value, path, issues, MAX_ATTACHMENTS, (each, at) =>
    checkAttachment(each, at, issues, rules),
  )
  const cids = checked.flatMap(({ cid }) => cid ?? [])
  if (new Set(cids).size < cids.length) issues.push({ message: 'must each have a cid of their own', path })
  return checked
}

function checkAttachment(
  value: object,
  path: Path,
  issues: InputIssue[],
  rules: AttachmentRules,
): CheckedAttachment | undefined {
  const before = issues.length
  const refuse = refuser(path, issues)
  const given = value as { readonly [Field in keyof EmailAttachment]?: unknown }
  for (const field of Object.keys(given)) {
    if (field === 'raw') refuse('is not allowed: it would go out unchecked; use content, or headers', field)
    else if (!FIELDS.has(field)) refuse('is not a field of an attachment', field)
  }
  const { filename, contentType, cid, contentDisposition } = given
  const tell = (fault: string | undefined, field: string): void => void (fault !== undefined && refuse(fault, field))
  if (filename !== undefined) tell(filenameFault(filename), 'filename')
  if (contentType !== undefined) tell(contentTypeFault(contentType), 'contentType')
  if (cid !== undefined && !(typeof cid === 'string' && cid.length <= MAX_CID && CID.test(cid)))
    refuse(`must be 1 to ${MAX_CID} printable ASCII characters without spaces and angle brackets`, 'cid')
  if (contentDisposition !== undefined && contentDisposition !== 'attachment' && contentDisposition !== 'inline')
    refuse(`must be 'attachment' or 'inline', got ${show(contentDisposition)}`, 'contentDisposition')
  const headers = checkHeaders(given.headers, [...path, 'headers'], issues, 'attachment')
  const source = checkSource(given, path, issues, rules)
  if (source === undefined || issues.length > before) return undefined
  const { filename: name, contentType: type, cid: id, contentDisposition: disposition } = value as EmailAttachment
  return { source, filename: name, contentType: type, cid: id, contentDisposition: disposition, headers }
}

function checkSource(
  given: { readonly [Field in keyof EmailAttachment]?: unknown },
  path: Path,
  issues: InputIssue[],
  rules: AttachmentRules,
): Source | undefined {
  const refuse = refuser(path, issues)
  const [from, ...more] = SOURCES.filter((source) => given[source] !== undefined)
  if (from === undefined || more.length > 0) return refuse(`must have exactly one of ${SOURCES.join(', ')}`)
  if (from !== 'content' && given.encoding !== undefined) refuse('belongs to content only', 'encoding')
  switch (from) {
    case 'content': {
      const checked = checkContent(given, path, issues)
      return checked && { from, ...checked }
    }
    case 'path': {
      const fault = pathFault(given.path, rules)
      return fault === undefined ? { from, path: given.path as string } : refuse(fault, from)
    }
    case 'href': {
      const fault = hrefFault(given.href, rules)
      return fault === undefined ? { from, href: given.href as string } : refuse(fault, from)
    }
    case 'reference':
      if (rules.resolve === undefined) return refuse("is not allowed: the task has no 'attachments.resolve'", from)
      return { from, reference: given.reference as Json }
  }
}

// No file and no URL is shown: messages may be logged, and a URL may hold a token.

function pathFault(value: unknown, { root }: AttachmentRules): string | undefined {
  if (root === undefined) return "is not allowed: the task has no 'attachments.root'"
  if (typeof value !== 'string' || value === '') return `must be the path of a file, got ${show(value)}`
  if (!isOneLine(value)) return oneLineExpected
  if (/^(?:[a-z][a-z0-9+.-]*:\/\/|data:|file:)/i.test(value)) return 'must be a path, not a URL'
  const hasDrive = /^[a-z]:/i.test(value)
  const stays = !isAbsolute(value) && !win32.isAbsolute(value) && !hasDrive && below(root, value) !== undefined
  return stays ? undefined : "must be relative, and below the task's 'attachments.root'"
}

function hrefFault(value: unknown, rules: AttachmentRules): string | undefined {
  if (rules.hosts.length === 0) return "is not allowed: the task has no 'attachments.hosts'"
  if (
    typeof value !== 'string' ||
    value.length > MAX_HREF ||
    !/^https?:\/\/[^\s\\]+$/i.test(value) ||
    !isOneLine(value)
  )
    return `must be an http or https URL of at most ${MAX_HREF} characters`
  if (!URL.canParse(value)) return 'must be an http or https URL'
  return isAllowed(new URL(value), rules)
    ? undefined
    : "must be at one of the task's 'attachments.hosts', without credentials"
}
