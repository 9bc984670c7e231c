/**
 * Opens what a message only names, once for each attempt: a file below the root, a URL at an allowed host, or whatever
 * the app's `resolve` gives.
 *
 * What is fetched is read to its end before the server is spoken to, never more than the message may still have: a host
 * that stalls or lies about a size costs no SMTP session. A file is looked at now and read while it is sent, so that what
 * is never sent is never open.
 */
import { constants } from 'node:fs'
import { type FileHandle, open, realpath, stat } from 'node:fs/promises'
import { basename } from 'node:path'
import { Readable } from 'node:stream'
import { BackgroundRunnerError, kindOf, NonRetryableError } from '../errors.js'
import {
  type AttachmentRules,
  below,
  filenameFault,
  isAllowed,
  type ResolvedAttachment,
  type Source,
} from './attachments.js'
import { contentTypeFault } from './content.js'

/** The content of an attachment could not be had this time; the next attempt may have it. */
class AttachmentError extends BackgroundRunnerError {
  override readonly name: string = 'AttachmentError'

  constructor(message: string) {
    super('ATTACHMENT_UNAVAILABLE', message)
  }
}

/** A content that can be sent, and what is known of it. */
export interface Opened {
  readonly content: string | Buffer | Readable
  /** Bytes. */
  readonly size: number
  readonly filename?: string | undefined
  readonly contentType?: string | undefined
}

/** What an attachment is opened with. */
export interface Given {
  readonly rules: AttachmentRules
  /** Bytes that it may have. */
  readonly room: number
  readonly signal: AbortSignal
  /** `attachments[0]`: messages name neither files nor URLs. */
  readonly where: string
}

/**
 * @throws {NonRetryableError} `ATTACHMENT_MISSING`, `ATTACHMENT_REFUSED` or `MESSAGE_TOO_LARGE`
 * @throws {AttachmentError} `ATTACHMENT_UNAVAILABLE`: it cannot be read or fetched now
 * @throws what `fetch` or `resolve` threw, or the reason of the signal
 */
export async function openSource(source: Exclude<Source, { from: 'content' }>, given: Given): Promise<Opened> {
  given.signal.throwIfAborted()
  switch (source.from) {
    case 'path':
      return openPath(source.path, given)
    case 'href':
      return openHref(source.href, given)
    case 'reference':
      return openReference(source.reference, given)
  }
}

function missing(where: string): NonRetryableError {
  return new NonRetryableError(`${where}: there is nothing there`, { code: 'ATTACHMENT_MISSING' })
}

function refused(where: string, why: string): NonRetryableError {
  return new NonRetryableError(`${where}: ${why}`, { code: 'ATTACHMENT_REFUSED' })
}

function tooLarge(where: string): NonRetryableError {
  return new NonRetryableError(`${where}: with it the message is larger than it may be`, { code: 'MESSAGE_TOO_LARGE' })
}

async function openPath(path: string, given: Given): Promise<Opened> {
  const { where, room, signal } = given
  const handle = await openBelow(path, given)
  let size: number
  try {
    size = (await handle.stat()).size
  } finally {
    await handle.close()
  }
  if (size > room) throw tooLarge(where)
  signal.throwIfAborted()
  return {
    content: Readable.from(readBelow(path, given), { objectMode: false }),
    size,
    filename: nameOf(basename(path)),
  }
}

/** Nothing is opened until something is read; whoever stops reading closes it. */
async function* readBelow(path: string, given: Given): AsyncGenerator<Buffer> {
  const { where, room, signal } = given
  const handle = await openBelow(path, given)
  try {
    let size = 0
    for (;;) {
      signal.throwIfAborted()
      const { bytesRead, buffer } = await handle.read(Buffer.allocUnsafe(65_536))
      if (bytesRead === 0) return
      size += bytesRead
      if (size > room) throw tooLarge(where) // it has grown
      yield buffer.subarray(0, bytesRead)
    }
  } finally {
    await handle.close()
  }
}

/** A named pipe without a writer would hold the open; no flag of that name exists on Windows. */
const FLAGS = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0)

/** Opens a file only if it lies below the root, where every symbolic link ends. */
async function openBelow(path: string, { rules, where }: Given): Promise<FileHandle> {
  const root = await realpath(rules.root ?? '').catch((error) => {
    throw new AttachmentError(`${where}: the root of attachments cannot be read (${codeOf(error)})`)
  })
  const named = below(root, path)
  if (named === undefined) throw refused(where, 'it is not below the root')
  let handle: FileHandle | undefined
  try {
    const real = await realpath(named)
    if (below(root, real) === undefined) throw refused(where, 'a symbolic link leads out of the root')
    handle = await open(real, FLAGS)
    const [opened, found] = await Promise.all([handle.stat(), stat(await realpath(real))])
    if (!opened.isFile()) throw refused(where, 'it is not a file')
    // A link that was put in its place in between.
    if (opened.ino !== found.ino || opened.dev !== found.dev || (await realpath(real)) !== real)
      throw new AttachmentError(`${where}: it changed while it was opened`)
    return handle
  } catch (error) {
    await handle?.close()
    throw fileError(error, where)
  }
}

function fileError(error: unknown, where: string): unknown {
  if (error instanceof BackgroundRunnerError) return error
  const code = codeOf(error)
  if (['ENOENT', 'ENOTDIR', 'ENAMETOOLONG'].includes(code)) return missing(where)
  if (['ELOOP', 'EISDIR', 'ENXIO'].includes(code)) return refused(where, 'it is not a file')
  return new AttachmentError(`${where}: it cannot be read (${code})`) // the original names the file
}

function codeOf(error: unknown): string {
  return String((error as { readonly code?: unknown } | null)?.code ?? 'unknown error')
}

const MAX_REDIRECTS = 5

async function openHref(href: string, given: Given): Promise<Opened> {
  const { rules, where, room, signal } = given
  let url = new URL(href)
  for (let redirects = 0; ; redirects++) {
    if (!isAllowed(url, rules)) throw refused(where, 'its host is not allowed')
    const response = await fetch(url.href, { redirect: 'manual', signal })
    const location = response.headers.get('location')
    if (response.ok) {
      if (Number(response.headers.get('content-length')) > room) {
        await dismiss(response)
        throw tooLarge(where)
      }
      const content = await readAll(response.body ?? [], given)
      return { content, size: content.length, filename: nameInUrl(new URL(href)), contentType: typeOf(response) }
    }
    await dismiss(response)
    if (response.status === 404 || response.status === 410) throw missing(where)
    if (response.status < 300 || response.status > 399 || location === null)
      throw new AttachmentError(`${where}: the host answered ${response.status}`)
    if (redirects === MAX_REDIRECTS) throw refused(where, `its host redirects more than ${MAX_REDIRECTS} times`)
    if (!URL.canParse(location, url.href)) throw refused(where, 'its host redirects to no URL')
    const next = new URL(location, url)
    if (url.protocol === 'https:' && next.protocol !== 'https:')
      throw refused(where, 'its host redirects to plain http')
    url = next
  }
}

/** Its connection is not held for a body that nobody reads. */
async function dismiss(response: Response): Promise<void> {
  await response.body?.cancel()
}

function nameOf(name: string): string | undefined {
  return filenameFault(name) === undefined ? name : undefined
}

/** The last part of a URL's path, if it can be the name of a file. */
function nameInUrl({ pathname }: URL): string | undefined {
  try {
    return nameOf(decodeURIComponent(pathname.slice(pathname.lastIndexOf('/') + 1)))
  } catch {
    return undefined // a % that encodes nothing
  }
}

function typeOf(response: Response): string | undefined {
  const type = response.headers.get('content-type') ?? undefined
  return contentTypeFault(type) === undefined && !/^message\//i.test(type as string) ? type : undefined
}

async function openReference(
  reference: Extract<Source, { from: 'reference' }>['reference'],
  given: Given,
): Promise<Opened> {
  const { rules, where, room, signal } = given
  if (rules.resolve === undefined) throw refused(where, "the task has no 'attachments.resolve'")
  const resolved = await untilAborted(Promise.resolve(rules.resolve(reference, { signal })), signal)
  if (resolved === null || resolved === undefined) throw missing(where)
  const described = isContent(resolved) ? { content: resolved } : resolved
  const { content, filename, contentType } = described as Exclude<ResolvedAttachment, string | Uint8Array | Readable>
  const fault =
    (filename === undefined ? undefined : filenameFault(filename)) ??
    (contentType === undefined ? undefined : contentTypeFault(contentType))
  if (!isContent(content) || fault !== undefined) {
    if (isStream(content)) destroy(content)
    throw refused(where, `'resolve' gave ${fault === undefined ? kindOf(content) : `a name or type that ${fault}`}`)
  }
  if (isStream(content)) {
    const read = await readAll(content, given)
    return { content: read, size: read.length, filename, contentType }
  }
  const size = typeof content === 'string' ? Buffer.byteLength(content) : content.byteLength
  if (size > room) throw tooLarge(where)
  // A copy: the app may use its buffer again while this is sent.
  return { content: typeof content === 'string' ? content : Buffer.from(content), size, filename, contentType }
}

type Chunks = AsyncIterable<unknown>

function isStream(value: unknown): value is Chunks {
  return typeof value === 'object' && value !== null && Symbol.asyncIterator in value
}

function isContent(value: unknown): value is string | Uint8Array | Chunks {
  return typeof value === 'string' || value instanceof Uint8Array || isStream(value)
}

function destroy(stream: unknown): void {
  if (stream instanceof Readable) stream.on('error', () => {}).destroy()
}

/** Reads to the end, or as far as there is room; the stream is destroyed whatever happens. */
async function readAll(chunks: Chunks | Iterable<never>, { where, room, signal }: Given): Promise<Buffer> {
  const read: Buffer[] = []
  let size = 0
  const onAbort = (): void => destroy(chunks)
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    signal.throwIfAborted()
    for await (const chunk of chunks) {
      signal.throwIfAborted()
      if (typeof chunk !== 'string' && !(chunk instanceof Uint8Array))
        throw refused(where, `its stream gave ${kindOf(chunk)}`)
      const bytes = Buffer.from(chunk as string)
      size += bytes.length
      if (size > room) throw tooLarge(where)
      read.push(bytes)
    }
    signal.throwIfAborted()
    return Buffer.concat(read, size)
  } catch (error) {
    destroy(chunks)
    throw signal.aborted ? signal.reason : error
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}

/** Whoever waits learns of an abort at once; what comes too late is let go. */
async function untilAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  let onAbort = (): void => {}
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => {
      reject(signal.reason)
      promise.then((late) => destroy((late as { readonly content?: unknown } | null)?.content ?? late)).catch(() => {})
    }
    if (signal.aborted) onAbort()
    else signal.addEventListener('abort', onAbort, { once: true })
  })
  try {
    return await Promise.race([promise, aborted])
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}
