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
/** Options of `auth` that are not. */
const PUBLIC = /^(?:type|method|service|expires|timeout|accessUrl|scope)$/

/** A scrubber of what is secret in a transport's options. */
export function scrubberOf(options: unknown): Scrub {
  const secrets = new Secrets()
  secrets.collect(options)
  const patterns = secrets.patterns()
  const mask: Scrub = (text) => patterns.reduce((masked, pattern) => masked.replace(pattern, MASK), text)
  return (text) =>
    mask(text).replace(/[A-Za-z0-9+/_-]{4,}={0,2}/g, (token) => {
      const decoded = Buffer.from(token, 'base64').toString()
      return mask(decoded) === decoded ? token : MASK
    })
}

class Secrets {
  /** Masked wherever they occur. */
  readonly #anywhere: Set<string> = new Set()
  /** Masked as whole words: the name of a user may be part of a plain word. */
  readonly #words: Set<string> = new Set()

  collect(options: unknown, inAuth: boolean = false, depth: number = 0): void {
    if (typeof options !== 'object' || options === null || Buffer.isBuffer(options) || depth > 3) return
    for (const field of Object.keys(options)) {
      const value = read(options, field)
      if (typeof value === 'object') this.collect(value, inAuth || field === 'auth', depth + 1)
      if (typeof value !== 'string' || value === '') continue
      if (SECRET.test(field)) this.#add(value)
      else if (inAuth && field === 'user') this.#addUser(value)
      else if (inAuth && !PUBLIC.test(field)) this.#add(value)
      else if (field === 'url' || field === 'proxy') this.#addUrl(value)
    }
    const user = read(options, 'user')
    const pass = read(options, 'pass')
    if (typeof user === 'string' && typeof pass === 'string') this.#anywhere.add(base64(`\0${user}\0${pass}`))
  }

  #add(secret: string): void {
    ;(secret.length < SHORT ? this.#words : this.#anywhere).add(secret)
    for (const form of [base64(secret), percentEncoded(secret)])
      if (form !== secret) (form.length < SHORT ? this.#words : this.#anywhere).add(form)
  }

  #addUser(user: string): void {
    this.#words.add(user)
    this.#words.add(percentEncoded(user))
    this.#words.add(base64(user))
  }

  #addUrl(text: string): void {
    if (!URL.canParse(text)) return
    const { username, password } = new URL(text)
    for (const [part, add] of [
      [username, (each: string) => this.#addUser(each)],
      [password, (each: string) => this.#add(each)],
    ] as const) {
      if (part === '') continue
      add(part)
      add(percentDecoded(part))
    }
  }

  patterns(): RegExp[] {
    return [
      ...[...this.#anywhere].map((each) => new RegExp(escaped(each), 'giu')),
      ...[...this.#words].map((each) => new RegExp(`(?<![\\p{L}\\p{N}])${escaped(each)}(?![\\p{L}\\p{N}])`, 'giu')),
      /(?<=\bBearer )\S+/gi,
    ]
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
