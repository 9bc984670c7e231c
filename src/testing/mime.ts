/**
 * A message as its receiver reads it: headers, addresses, texts and attachments, decoded from the bytes that went out.
 *
 * It reads what mail libraries write (RFC 2045 to 2047, 2231, 5322) and forgives the rest: what cannot be read stays as
 * it is. Until it is decoded, a text has one character for each byte.
 */

/** A file that goes with a message, or an image that its HTML shows. */
export interface SentAttachment {
  /** Undefined where it has none. */
  readonly filename: string | undefined
  /** In lower case, without parameters: `'application/pdf'`. */
  readonly contentType: string
  /** `'logo'` for what HTML calls `cid:logo`. */
  readonly contentId: string | undefined
  readonly content: Buffer
}

/** What can be read in a message. */
export interface ReadMessage {
  /** By name in lower case, decoded; one that occurs several times has a line for each. */
  readonly headers: { readonly [name: string]: string }
  readonly from: string
  readonly to: readonly string[]
  readonly cc: readonly string[]
  readonly replyTo: readonly string[]
  readonly subject: string
  /** With `\n` for line breaks, and without the one that ends every text. */
  readonly text: string | undefined
  readonly html: string | undefined
  readonly attachments: readonly SentAttachment[]
  /** With its angle brackets. */
  readonly messageId: string
}

/** @param bytes with CRLF for line breaks */
export function readMessage(bytes: Buffer): ReadMessage {
  const message = new Part(bytes.toString('latin1').replace(/\r\n$/, ''))
  const leaves = message.leaves()
  const text = leaves.find((leaf) => leaf.isBody('text/plain'))
  const html = leaves.find((leaf) => leaf.isBody('text/html'))
  const headers = [...message.headers].map(([name, values]) => [name, values.map(decodeWords).join('\n')])
  const mailboxes = (name: string): string[] => message.all(name).flatMap(readAddresses)
  return {
    headers: Object.fromEntries(headers),
    from: mailboxes('from')[0] ?? '',
    to: mailboxes('to'),
    cc: mailboxes('cc'),
    replyTo: mailboxes('reply-to'),
    subject: decodeWords(message.first('subject')),
    text: text?.text(),
    html: html?.text(),
    attachments: leaves.filter((leaf) => leaf !== text && leaf !== html).map((leaf) => leaf.attachment()),
    messageId: message.first('message-id'),
  }
}

/** A message, or one part of it: headers and a body. */
class Part {
  readonly headers: ReadonlyMap<string, readonly string[]>
  readonly #body: string
  readonly #type: Parameterised
  readonly #disposition: Parameterised

  constructor(source: string) {
    const blank = source.startsWith('\r\n') ? 0 : source.indexOf('\r\n\r\n')
    this.headers = readHeaders(blank < 0 ? source : source.slice(0, blank))
    this.#body = blank < 0 ? '' : source.slice(blank === 0 ? 2 : blank + 4)
    this.#type = readParameterised(this.first('content-type') || 'text/plain')
    this.#disposition = readParameterised(this.first('content-disposition'))
  }

  all(name: string): readonly string[] {
    return this.headers.get(name) ?? []
  }

  first(name: string): string {
    return this.all(name)[0] ?? ''
  }

  /** The parts that hold something, not other parts. */
  leaves(): Part[] {
    const boundary = this.#type.parameters.get('boundary')
    if (!this.#type.value.startsWith('multipart/') || boundary === undefined) return [this]
    const delimiter = new RegExp(`\\r\\n--${escaped(boundary)}(?:--)?[ \\t]*(?=\\r\\n|$)`)
    // Before the first and after the last delimiter nothing is meant for a reader.
    const parts = `\r\n${this.#body}`.split(delimiter).slice(1, -1)
    return parts.flatMap((part) => new Part(part.slice(2)).leaves())
  }

  isBody(type: string): boolean {
    return this.#type.value === type && this.#disposition.value !== 'attachment'
  }

  text(): string {
    return decodeText(this.#content(), this.#type.parameters.get('charset')).replaceAll('\r\n', '\n')
  }

  attachment(): SentAttachment {
    return {
      filename: this.#disposition.parameters.get('filename') ?? this.#type.parameters.get('name'),
      contentType: this.#type.value,
      contentId: this.first('content-id').replace(/^<(.*)>$/, '$1') || undefined,
      content: this.#content(),
    }
  }

  #content(): Buffer {
    const encoding = this.first('content-transfer-encoding').toLowerCase()
    if (encoding === 'base64') return Buffer.from(this.#body, 'base64')
    if (encoding !== 'quoted-printable') return Buffer.from(this.#body, 'latin1')
    return Buffer.from(unescaped(this.#body.replace(/[ \t]*(?=\r\n|$)/g, '').replaceAll('=\r\n', ''), '='), 'latin1')
  }
}

function readHeaders(source: string): Map<string, string[]> {
  const headers = new Map<string, string[]>()
  for (const line of source.replace(/\r\n(?=[ \t])/g, '').split('\r\n')) {
    const colon = line.indexOf(':')
    if (colon < 1) continue
    const name = line.slice(0, colon).trim().toLowerCase()
    // Unfolded, and as the UTF-8 that it is where a server takes such headers.
    const value = decodeText(Buffer.from(line.slice(colon + 1).trim(), 'latin1'))
    headers.set(name, [...(headers.get(name) ?? []), value])
  }
  return headers
}

/** `text/plain; charset=utf-8` */
interface Parameterised {
  readonly value: string
  readonly parameters: ReadonlyMap<string, string>
}

/** A parameter: `name=value`, `name="value"`, or a piece of one, `name*0*=utf-8''value` (RFC 2231). */
const PARAMETER = /;\s*([^\s=;*]+)(?:\*(\d+))?(\*)?\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;]*))/g

function readParameterised(source: string): Parameterised {
  const pieces = new Map<string, string[]>()
  const charsets = new Map<string, string>()
  for (const [, name = '', index, isEncoded, quoted, plain = ''] of source.matchAll(PARAMETER)) {
    const key = name.toLowerCase()
    let piece = quoted?.replace(/\\(.)/g, '$1') ?? plain
    if (isEncoded !== undefined) {
      const [, charset, rest = piece] = /^([^']*)'[^']*'(.*)$/s.exec(piece) ?? []
      if (charset !== undefined) charsets.set(key, charset)
      piece = unescaped(rest, '%')
    }
    pieces.set(key, index === undefined ? [piece] : Object.assign(pieces.get(key) ?? [], { [index]: piece }))
  }
  const parameters = [...pieces].map(([key, all]): [string, string] => {
    const charset = charsets.get(key)
    const joined = all.join('')
    return [key, charset === undefined ? decodeWords(joined) : decodeText(Buffer.from(joined, 'latin1'), charset)]
  })
  return { value: source.split(';', 1)[0]?.trim().toLowerCase() ?? '', parameters: new Map(parameters) }
}

const ADDRESS_TOKEN = /"(?:[^"\\]|\\.)*"|<[^>]*>|[,;:]|[^",;:<]+/g
/** A name with one of these must be quoted. */
const SPECIAL = /[<>()[\]:;@\\,"]/

/** The addresses of a header, each as it may be submitted: `ada@example.com`, `Ada <ada@example.com>`. */
function readAddresses(header: string): string[] {
  const found: string[] = []
  let name = ''
  let address: string | undefined
  const flush = (): void => {
    const bare = name.trim()
    const shown = SPECIAL.test(bare) ? `"${bare.replace(/["\\]/g, '\\$&')}"` : bare
    if (address !== undefined) found.push(bare === '' ? address : `${shown} <${address}>`)
    else if (bare !== '') found.push(bare)
    name = ''
    address = undefined
  }
  for (const [token] of header.matchAll(ADDRESS_TOKEN)) {
    if (token === ',' || token === ';') flush()
    else if (token === ':')
      name = '' // it was the name of a group
    else if (token.startsWith('<')) address = token.slice(1, -1).trim()
    else if (token.startsWith('"')) name += token.slice(1, -1).replace(/\\(.)/g, '$1')
    else name += decodeWords(token)
  }
  flush()
  return found
}

const WORD = /=\?([^?\s]+)\?([bq])\?([^?\s]*)\?=/gi
/** Between two encoded words a space is no text. */
const BETWEEN_WORDS = /(?<=\?=)\s+(?==\?[^?\s]+\?[bq]\?)/gi

/** Decodes the encoded words of RFC 2047. */
function decodeWords(text: string): string {
  return text.replace(BETWEEN_WORDS, '').replace(WORD, (_, charset: string, encoding: string, word: string) => {
    if (encoding.toLowerCase() === 'b') return decodeText(Buffer.from(word, 'base64'), charset)
    return decodeText(Buffer.from(unescaped(word.replaceAll('_', ' '), '='), 'latin1'), charset)
  })
}

function decodeText(bytes: Buffer, charset: string = 'utf-8'): string {
  try {
    return new TextDecoder(charset, { ignoreBOM: true }).decode(bytes)
  } catch {
    return bytes.toString('latin1') // a charset that nobody knows
  }
}

/** `=C3` or `%C3` as the byte that it stands for. */
function unescaped(text: string, mark: '=' | '%'): string {
  return text.replace(new RegExp(`${mark}([0-9a-f]{2})`, 'gi'), (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  )
}

function escaped(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&')
}
