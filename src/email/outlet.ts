/**
 * The way out: the app's own transporter, or lanes of SMTP connections that are opened with the first runner that works
 * with them and closed with the last.
 *
 * The connections are ours to rule. They send nothing twice by themselves (`maxRequeues: 0`), there are as many as there
 * are handlers, and they give up on a silent server long before a task does: Nodemailer's own defaults would hold a slot
 * for 10 minutes.
 */
import type { SendMailOptions, SMTPPoolOptions, Transport } from 'nodemailer'
import { type InputIssue, kindOf, MissingDependencyError } from '../errors.js'
import type { Teardown } from '../task.js'
import type { Sending } from './failure.js'
import { type EmailTransporter, type Handing, Lane, Lanes } from './lanes.js'
import { percentDecoded, type Scrub, scrubberOf } from './scrub.js'
import { loadEncoders } from './whole.js'

/**
 * Where mail goes: an SMTP URL, Nodemailer's SMTP options, a transporter, or a Nodemailer transport plugin. An
 * environment variable that is not set is refused when the task is defined.
 */
export type EmailTransport = string | SMTPPoolOptions | EmailTransporter | Transport | undefined

const SMTP_EXPECTED =
  "must be an SMTP URL such as 'smtps://user:password@smtp.example.com' (special characters in user and password percent-encoded), " +
  "Nodemailer's SMTP options, or a transporter"

/** ms. Well below the 60 s of a task, so that its error tells what was waited for. */
const TIMEOUTS = { dnsTimeout: 5_000, connectionTimeout: 10_000, greetingTimeout: 10_000, socketTimeout: 30_000 }
/** ms that a server gets to close its side. */
const SOCKET_CLOSE_TIMEOUT = 1_000
/** ms. An open connection holds the process of an app that never closes its runner; a burst of mail has smaller gaps. */
const IDLE_TIMEOUT = 10_000

/** Options that make Nodemailer something else than an SMTP client; LMTP has a reply for each recipient after the dot. */
const NOT_SMTP = ['sendmail', 'streamTransport', 'jsonTransport', 'SES', 'lmtp']

/** Options that would hold for each connection alone, and what the task has in their place. */
const OF_THE_TASK = { maxConnections: 'concurrency', rateLimit: 'rateLimit: { max, interval }' } as const

export class Outlet {
  /** Takes the transport's credentials out of a text. */
  readonly scrub: Scrub
  readonly #open: (scrub: Scrub) => Promise<Opened>
  #opened: Promise<Opened> | undefined
  #users = 0

  private constructor(secretive: unknown, open: (scrub: Scrub) => Promise<Opened>) {
    this.scrub = scrubberOf(secretive)
    this.#open = open
  }

  /** Reads the `transport` option; pushes what is wrong with it into `issues`, never its value. */
  static of(transport: unknown, concurrency: number, issues: InputIssue[]): Outlet | undefined {
    const refuse = (message: string, ...steps: string[]): undefined => {
      issues.push({ message, path: ['transport', ...steps] })
      return undefined
    }
    if (typeof transport === 'string') return Outlet.of({ url: transport }, concurrency, issues)
    if (transport === undefined) return refuse(`${SMTP_EXPECTED}; got undefined: is the environment variable set?`)
    if (typeof transport !== 'object' || transport === null || Array.isArray(transport))
      return refuse(`${SMTP_EXPECTED}; got ${kindOf(transport)}`)
    if (hasMethod(transport, 'sendMail') || hasMethod(transport, 'send')) {
      const { options, transporter } = transport as { options?: unknown; transporter?: { options?: unknown } }
      return new Outlet([options, transporter?.options], async (scrub) => {
        const ready = hasMethod(transport, 'sendMail')
          ? (transport as EmailTransporter)
          : (await loadNodemailer()).createTransport(transport as Transport)
        return { send: (compose, handing) => new Lane(ready, scrub).send(compose, handing), close: () => {} }
      })
    }
    const { url, ...given } = transport as SMTPPoolOptions
    const located = url === undefined ? given : readUrl(url)
    if (located === undefined) return refuse(`${SMTP_EXPECTED}; got something else (not shown: it may hold a password)`)
    const all: Readonly<Record<string, unknown>> = { ...given, ...located }
    for (const option of NOT_SMTP)
      if (all[option]) return refuse('is no SMTP: pass nodemailer.createTransport(…) instead', option)
    if (url === undefined && !['host', 'service', 'getSocket'].some((option) => option in given))
      return refuse(`${SMTP_EXPECTED}; got options with neither host, service nor url`)
    for (const [option, own] of Object.entries(OF_THE_TASK))
      if (all[option]) return refuse(`is said by the task's own option: emailTask({ ${own} })`, option)
    if (given.logger === true) return refuse('must be a logger of the app, not true', 'logger')
    const options: SMTPPoolOptions = {
      ...TIMEOUTS,
      socketCloseTimeout: SOCKET_CLOSE_TIMEOUT,
      idleTimeout: IDLE_TIMEOUT,
      ...given,
      ...located,
      ...((given.tls ?? located.tls) && { tls: { ...given.tls, ...located.tls } }),
      pool: true,
      // Each lane is a pool of its own: its log is then that of one connection.
      maxConnections: 1,
      maxRequeues: 0,
      disableFileAccess: true,
      disableUrlAccess: true,
    }
    return new Outlet({ ...options, url }, async (scrub) => {
      const { createTransport } = await loadNodemailer()
      return new Lanes(
        options,
        concurrency,
        (each) => createTransport({ ...each, pool: true }),
        await loadEncoders(),
        scrub,
      )
    })
  }

  /** Opens it for one more user. @throws {MissingDependencyError} Nodemailer is not installed */
  async open(): Promise<Teardown> {
    this.#users += 1
    this.#opened ??= this.#open(this.scrub)
    const opening = this.#opened
    try {
      await opening
    } catch (error) {
      if (this.#opened === opening) this.#opened = undefined
      this.#users -= 1
      throw error
    }
    return async () => {
      this.#users -= 1
      if (this.#users > 0) return
      this.#opened = undefined
      const opened = await opening
      opened.close()
    }
  }

  /** Hands a message over, and tells what came of it. @throws what `compose` throws, or why it was called off before */
  async send(compose: () => Promise<SendMailOptions>, handing: Handing): Promise<Sending> {
    if (this.#opened === undefined) throw new Error('the task runs without its setup')
    return (await this.#opened).send(compose, handing)
  }
}

interface Opened {
  send(compose: () => Promise<SendMailOptions>, handing: Handing): Promise<Sending>
  close(): void
}

async function loadNodemailer(): Promise<typeof import('nodemailer')> {
  try {
    return await import('nodemailer')
  } catch (cause) {
    throw new MissingDependencyError('nodemailer', 'emailTask', { cause })
  }
}

/**
 * An SMTP URL as options. Nodemailer would read it itself, but takes its query over the options beside it, and reads
 * `smtp://user:123#4@host`, a password that was not encoded, as a host `user`.
 */
function readUrl(text: unknown): SMTPPoolOptions | undefined {
  if (typeof text !== 'string' || !/^smtps?:\/\/[^/?#]/i.test(text) || !URL.canParse(text)) return undefined
  const { protocol, username, password, hostname, port, pathname, search, searchParams, hash } = new URL(text)
  if (hostname === '' || hash !== '' || !['', '/'].includes(pathname) || search.includes('@')) return undefined
  const options: Record<string, unknown> = {}
  const tls: Record<string, unknown> = {}
  for (const [name, value] of searchParams) {
    if (name.startsWith('tls.')) tls[name.slice(4)] = readValue(value)
    else options[name] = readValue(value)
  }
  return {
    ...options,
    ...(Object.keys(tls).length > 0 && { tls }),
    secure: protocol === 'smtps:',
    host: percentDecoded(hostname).replace(/^\[(.*)\]$/, '$1'),
    ...(port !== '' && { port: Number(port) }),
    ...((username !== '' || password !== '') && {
      auth: { user: percentDecoded(username), pass: percentDecoded(password) },
    }),
  }
}

function readValue(text: string): string | number | boolean {
  if (text === 'true' || text === 'false') return text === 'true'
  return text !== '' && Number.isFinite(Number(text)) ? Number(text) : text
}

function hasMethod(value: object, name: string): boolean {
  return typeof (value as Record<string, unknown>)[name] === 'function'
}
