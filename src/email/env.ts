/**
 * The mail server from the environment: `SMTP_URL`, or the variables of Flask-Mail, so that a deployment that has them
 * need not change. Faults are told by the variable's name, never by its value.
 */
import { isIP } from 'node:net'
import type { SMTPPoolOptions } from 'nodemailer'
import { type InputIssue, InvalidInputError } from '../errors.js'
import { type EmailAddress, parseAddress } from './address.js'
import type { EmailTransporter } from './lanes.js'
import { isPrintableAscii, refuser } from './text.js'

/** Options for `emailTask`. */
export interface SmtpFromEnv {
  readonly transport: SMTPPoolOptions | EmailTransporter
  /** Only if MAIL_DEFAULT_SENDER is set. */
  readonly from?: EmailAddress
}

const TRUE = /^(?:1|true|t|yes|y|on)$/i
const FALSE = /^(?:0|false|f|no|n|off|none|)$/i

/**
 * Reads where mail goes from environment variables, for `emailTask({ ...smtpFromEnv(), … })`.
 *
 * | variable | meaning |
 * |---|---|
 * | `SMTP_URL` | `smtps://user:password@host:465`; wins over the next six |
 * | `MAIL_SERVER` | the host; required without `SMTP_URL` |
 * | `MAIL_PORT` | default 25, also with TLS, as in Flask-Mail; submission servers listen on 587 (STARTTLS) or 465 (SSL) |
 * | `MAIL_USE_TLS` | STARTTLS is required; without it it is used where the server offers it |
 * | `MAIL_USE_SSL` | TLS from the first byte |
 * | `MAIL_USERNAME`, `MAIL_PASSWORD` | the login; both or neither |
 * | `MAIL_DEFAULT_SENDER` | `from`, `'App <app@example.com>'` |
 * | `MAIL_MAX_EMAILS` | messages a connection carries before it is replaced; default 100 |
 * | `MAIL_SUPPRESS_SEND` | nothing is sent: every message counts as taken, and its response says so |
 *
 * A variable that is empty counts as not set; flags are `1`, `true`, `yes`, `on` or `0`, `false`, `no`, `off` in any case.
 * Certificates are verified. `MAIL_DEBUG` and `MAIL_ASCII_ATTACHMENTS` have no counterpart: log lines carry no mail, and
 * names of attachments are encoded.
 *
 * @param env @default process.env
 * @throws {InvalidInputError} naming each variable that is missing or malformed
 */
export function smtpFromEnv(env: Readonly<Record<string, string | undefined>> = process.env): SmtpFromEnv {
  const issues: InputIssue[] = []
  const refuse = refuser([], issues)
  const given = (name: string): string | undefined => (env[name] === '' ? undefined : env[name])
  const flag = (name: string): boolean => {
    const text = env[name]?.trim() ?? ''
    if (!TRUE.test(text) && !FALSE.test(text)) refuse('must be true or false (1, 0, yes, no, on, off)', name)
    return TRUE.test(text)
  }
  const whole = (name: string, most: number): number | undefined => {
    const text = given(name)?.trim()
    if (text === undefined) return undefined
    const number = /^\d{1,9}$/.test(text) ? Number(text) : 0
    return number >= 1 && number <= most ? number : refuse(`must be a whole number from 1 to ${most}`, name)
  }

  const isSuppressed = flag('MAIL_SUPPRESS_SEND')
  const maxMessages = whole('MAIL_MAX_EMAILS', 1_000_000)
  const sender = given('MAIL_DEFAULT_SENDER')
  if (sender !== undefined && parseAddress(sender, [], []) === undefined)
    refuse("must be one address such as 'app@example.com' or 'App <app@example.com>'", 'MAIL_DEFAULT_SENDER')
  const url = given('SMTP_URL')
  const server = url === undefined && !isSuppressed ? flaskMail() : undefined
  if (url !== undefined && !(/^smtps?:\/\/[^/?#]/i.test(url) && URL.canParse(url)))
    refuse(
      "must be an SMTP URL such as 'smtps://user:password@smtp.example.com', its special characters encoded",
      'SMTP_URL',
    )
  if (issues.length > 0) throw new InvalidInputError('bad environment', issues)
  const connection = url === undefined ? server : { url }
  const transport = isSuppressed ? suppressed : { ...connection, ...(maxMessages !== undefined && { maxMessages }) }
  return { transport, ...(sender !== undefined && { from: sender }) }

  function flaskMail(): SMTPPoolOptions {
    const host = given('MAIL_SERVER')
      ?.trim()
      .replace(/^\[(.*)\]$/, '$1')
    if (host === undefined) refuse('is required, or SMTP_URL', 'MAIL_SERVER')
    else if (!isPrintableAscii(host) || !(isIP(host) || /^[^\s/@:,;]+$/.test(host)))
      refuse('must be the name of a host, without its port: that is MAIL_PORT', 'MAIL_SERVER')
    const port = whole('MAIL_PORT', 65_535) ?? 25
    const requireTLS = flag('MAIL_USE_TLS')
    const secure = flag('MAIL_USE_SSL')
    if (requireTLS && secure)
      refuse('must not be set with MAIL_USE_TLS: a connection begins with TLS or turns to it', 'MAIL_USE_SSL')
    const user = given('MAIL_USERNAME')
    const pass = given('MAIL_PASSWORD')
    if (user === undefined && pass !== undefined) refuse('is required with MAIL_PASSWORD', 'MAIL_USERNAME')
    if (user !== undefined && pass === undefined) refuse('is required with MAIL_USERNAME', 'MAIL_PASSWORD')
    return {
      ...(host !== undefined && { host }),
      port,
      secure,
      ...(requireTLS && { requireTLS }),
      ...(user !== undefined && pass !== undefined && { auth: { user, pass } }),
    }
  }
}

/** What a message meets where sending is suppressed. */
const suppressed: EmailTransporter = {
  sendMail: async () => ({ rejected: [], response: '250 2.0.0 not sent: MAIL_SUPPRESS_SEND is set' }),
}
