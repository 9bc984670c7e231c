import type { TaskRecord } from 'background-runner'
import { emailTask } from 'background-runner/email'
import fc from 'fast-check'
import nodemailer from 'nodemailer'
import { describe, expect, it } from 'vitest'
import { scrubberOf } from '../../src/email/scrub.js'
import { FROM, HELLO, type MailRunner, mailRunner, smtpServer, told } from '../support/email.js'

const login = { user: 'mailer-7', pass: 'p@ss/w#rd?:%+ "7"' }
const base64 = (text: string): string => Buffer.from(text).toString('base64')
const SECRETS = [
  login.user,
  login.pass,
  encodeURIComponent(login.pass),
  base64(login.user),
  base64(login.pass),
  base64(`\0${login.user}\0${login.pass}`),
]

/** All that is said: records, events, log lines. */
function listen(runner: MailRunner, lines: unknown[]): string[] {
  const heard: string[] = []
  for (const event of ['submitted', 'started', 'retrying', 'succeeded', 'failed', 'cancelled'] as const)
    runner.on(event, (record: TaskRecord) => void heard.push(JSON.stringify(record)))
  runner.on('error', (error: unknown) => void heard.push(String((error as Error).stack)))
  lines.push = (...more) => heard.push(...more.map((each) => JSON.stringify(each)))
  return heard
}

function loggerTo(lines: unknown[]) {
  const log = (...line: unknown[]): void => void lines.push(line)
  return { trace: log, debug: log, info: log, warn: log, error: log, fatal: log }
}

describe('credentials', () => {
  it('let the right user in', async () => {
    const server = await smtpServer({ login })
    const byUrl = mailRunner({ transport: server.url })
    await (await byUrl.submit('email', HELLO)).result()
    const byOptions = mailRunner({ transport: { host: '127.0.0.1', port: server.port, auth: login } })
    await (await byOptions.submit('email', HELLO)).result()
    expect(server.deliveries).toHaveLength(2)
  })

  it.each(['PLAIN', 'LOGIN'])('that a server echoes after AUTH %s show nowhere', async (method) => {
    const server = await smtpServer({
      login,
      auth: ({ line, user, pass }) =>
        ['535-5.7.8 bad login', line, `${user}:${pass}`, base64(user), base64(pass), encodeURIComponent(pass)]
          .join('\r\n535-')
          .concat(`\r\n535 ${base64(`${user} ${pass}`)} ${user.toUpperCase()}`),
    })
    const lines: unknown[] = []
    const transport = { host: '127.0.0.1', port: server.port, auth: { ...login, method } }
    // A login that fails holds the mail; here it may not wait.
    const runner = mailRunner({ transport, retry: { maxAge: 1 } }, { logger: loggerTo(lines) })
    const heard = listen(runner, lines)
    const handle = await runner.submit('email', HELLO)
    const record = await handle.wait()
    expect(told(record)).toEqual({ state: 'failed', attempt: 1, code: '535' })
    expect(record.error?.message).toContain('5.7.8 bad login')
    const failure: unknown = await handle.result().catch((error: unknown) => error)
    const all = [...heard, JSON.stringify(record), String((failure as Error).stack)].join('\n')
    expect(all).toContain('***')
    for (const secret of SECRETS) expect(all.toLowerCase()).not.toContain(secret.toLowerCase())
    for (const [token] of all.matchAll(/[A-Za-z0-9+/]{4,}={0,2}/g))
      expect(Buffer.from(token, 'base64').toString()).not.toContain(login.pass)
  })

  it.each(['mail', 'rcpt', 'data', 'end'] as const)('that a server echoes at %s show nowhere', async (stage) => {
    const server = await smtpServer({ login, [stage]: () => `550 ${login.user} ${login.pass} may not` })
    const runner = mailRunner({ transport: server.url })
    const record = await (await runner.submit('email', HELLO)).wait()
    expect(told(record)).toEqual({ state: 'failed', attempt: 1, code: '550' })
    for (const secret of SECRETS) expect(JSON.stringify(record)).not.toContain(secret)
  })

  it('that a server echoes when it takes a message show nowhere', async () => {
    const server = await smtpServer({ login, end: () => `250 queued for ${login.user}:${login.pass}` })
    const runner = mailRunner({ transport: server.url })
    const result = await (await runner.submit('email', HELLO)).result()
    expect(result.recipients['ada@example.com']?.response).toBe('250 queued for ***:***')
  })

  it('of a transporter of the app show nowhere', async () => {
    const server = await smtpServer({ login, auth: ({ user, pass }) => `535 ${user} ${pass}` })
    const transport = nodemailer.createTransport(server.url)
    const runner = mailRunner({ transport, retry: { maxAge: 1 } })
    const record = await (await runner.submit('email', HELLO)).wait()
    expect(record.error?.message).toContain('535 *** ***')
    for (const secret of SECRETS) expect(JSON.stringify(record)).not.toContain(secret)
  })

  it.each([
    'smtp://mailer-7:hunter2#1@localhost',
    'smtp://mailer-7:1234#hunter2@localhost',
    'smtp://mailer-7:1234/hunter2@localhost',
    'smtp://mailer-7:1234?hunter2@localhost',
    'smtp://mailer-7:hunter2@',
    'smtp://mailer-7:hunter2@local host',
    'smtp:mailer-7:hunter2@localhost',
    'mailer-7:hunter2@localhost',
    'hunter2',
  ])('do not show in the error about the malformed URL %j', (transport) => {
    for (const given of [transport, { url: transport }]) {
      let error: unknown
      try {
        emailTask({ transport: given, from: FROM })
      } catch (thrown) {
        error = thrown
      }
      expect(error).toMatchObject({ code: 'INVALID_INPUT', issues: [{ path: ['transport'] }] })
      expect(`${(error as Error).stack}${JSON.stringify(error)}`.split('\n    at ')[0]).not.toMatch(/hunter2|mailer-7/)
    }
  })

  it('of any kind are masked, and other words are not', () => {
    const scrub = scrubberOf({
      url: 'smtps://first:one%40two@host',
      auth: { type: 'OAuth2', user: 'post', clientSecret: 's3cret', accessToken: 'ya29.token' },
      dkim: { domainName: 'example.com', privateKey: 'KEYKEY' },
      tls: { passphrase: 'open sesame' },
    })
    expect(scrub('first one@two one%40two s3cret ya29.token KEYKEY open sesame')).toBe('*** *** *** *** *** *** ***')
    expect(scrub('postmaster at example.com, POST!')).toBe('postmaster at example.com, ***!')
    expect(scrub(`334 ${base64('user=post\x01auth=Bearer another\x01\x01')}`)).toBe('334 ***')
  })

  it('are masked whole where one is part of another, and short ones do not mask plain words', () => {
    const scrub = scrubberOf({ auth: { user: 'root', pass: 'root-pass', extra: 'root-pass-word' } })
    expect(scrub('root root-pass root-pass-word rooted')).toBe('*** *** *** rooted')
    const said = '535 5.7.8 Username and Password not accepted, authentication rejected, mailbox unavailable'
    expect(scrubberOf({ auth: { user: 'u', pass: 'p' } })(`${said} (u:p)`)).toBe(`${said} (***:***)`)
  })

  it('are masked whatever they are made of', () => {
    const text = fc.string({ minLength: 4, maxLength: 30 })
    fc.assert(
      fc.property(text, text, text, (pass, before, after) => {
        const scrub = scrubberOf({ auth: { user: 'u', pass } })
        expect(scrub(`${before}${pass}${after}`)).not.toBe(`${before}${pass}${after}`)
        if (!'***'.includes(pass)) expect(scrub(`<${pass}>`)).not.toContain(pass)
        expect(scrub(`(${base64(pass)})`)).not.toContain(base64(pass))
      }),
    )
  })
})
