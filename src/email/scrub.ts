/**
 * Credentials go to the mail server and nowhere else: they are taken out of every text that a server or Nodemailer gives
 * back. A server may echo them as they are, percent-encoded, or in the base64 of an AUTH command.
 */

/** Takes the credentials out of a text. */
export type Scrub = (text: string) => string

const MASK = '***'
/** A shorter secret is masked only where it stands alone: elsewhere the masks themselves would tell it. */
const SHORT = 4
/** Options that are secret wherever they stand, in `dkim` and `tls` too. */
const SECRET = /^(?:pass|password|passphrase|secret|clientSecret|privateKey|accessToken|refreshToken|apiKey|key|pfx)$/
/** A token is secret whoever it belongs to. */
const BEARER = /(?<=\bBearer )\S+/gi
/** Options of `auth` that are not. */
const PUBLIC = /^(?:type|method|service|expires|timeout|accessUrl|scope)$/

/** A scrubber of what is secret in a transport's options. */
export function scrubberOf(options: unknown): Scrub {
  const secrets = new Secrets()
  secrets.collect(options)
  const mask = masker([...secrets.patterns(0), BEARER])
  // Any word decodes to something: a short secret would be found in most of them by chance.
  const maskDecoded = masker([...secrets.patterns(SHORT), BEARER])
  if (secrets.none) return mask
  return (text) =>
    mask(text).replace(/[A-Za-z0-9+/_-]{4,}={0,2}/g, (token) => {
      const decoded = Buffer.from(token, 'base64').toString()
      return maskDecoded(decoded) === decoded ? token : MASK
    })
}

function masker(patterns: readonly RegExp[]): Scrub {
  return (text) => patterns.reduce((masked, pattern) => masked.replace(pattern, MASK), text)
}

class Secrets {
  /** Secret → whether it is masked only as a word of its own, as a user's name is: it may be part of a plain word. */
  readonly #found: Map<string, boolean> = new Map()

  get none(): boolean {
    return this.#found.size === 0
  }

  collect(options: unknown, inAuth: boolean = false, depth: number = 0): void {
    if (typeof options !== 'object' || options === null || Buffer.isBuffer(options) || depth > 3) return
    for (const field of Object.keys(options)) {
      const value = read(options, field)
      if (typeof value === 'object') this.collect(value, inAuth || field === 'auth', depth + 1)
      if (typeof value !== 'string') continue
      if (inAuth && field === 'user') this.#addUser(value)
      else if (SECRET.test(field) || (inAuth && !PUBLIC.test(field))) this.#addSecret(value)
      else if (field === 'url' || field === 'proxy') this.#addUrl(value)
    }
    const user = read(options, 'user')
    const pass = read(options, 'pass')
    if (typeof user === 'string' && typeof pass === 'string') this.#add(base64(`\0${user}\0${pass}`), false)
  }

  #add(text: string, asWord: boolean): void {
    if (text !== '') this.#found.set(text, asWord || text.length < SHORT)
  }

  #addSecret(secret: string): void {
    for (const form of [percentEncoded(secret), base64(secret), secret]) this.#add(form, false)
  }

  #addUser(user: string): void {
    for (const form of [percentEncoded(user), base64(user), user]) this.#add(form, true)
  }

  #addUrl(text: string): void {
    if (!URL.canParse(text)) return
    const { username, password } = new URL(text)
    for (const user of [username, percentDecoded(username)]) this.#addUser(user)
    for (const pass of [password, percentDecoded(password)]) this.#addSecret(pass)
  }

  /** The longest first: what is left of a secret after a part of it was masked would not be found. */
  patterns(shortest: number): RegExp[] {
    const found = [...this.#found].filter(([text]) => text.length >= shortest)
    found.sort(([a], [b]) => b.length - a.length)
    return found.map(([text, asWord]) =>
      asWord
        ? new RegExp(`(?<![\\p{L}\\p{N}])${escaped(text)}(?![\\p{L}\\p{N}])`, 'giu')
        : new RegExp(escaped(text), 'giu'),
    )
  }
}

/** `text` as it was before it was percent-encoded; what is no encoding stays, as Nodemailer reads it. */
export function percentDecoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

function read(from: object, field: string): unknown {
  try {
    return (from as Record<string, unknown>)[field]
  } catch {
    return undefined
  }
}

function percentEncoded(text: string): string {
  try {
    return encodeURIComponent(text)
  } catch {
    return text // half a character
  }
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64')
}

function escaped(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&')
}
