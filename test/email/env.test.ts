import { InvalidInputError } from 'background-runner'
import { emailTask, smtpFromEnv } from 'background-runner/email'
import { runTask } from 'background-runner/testing'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { FROM, HELLO, smtpServer } from '../support/email.js'

type Env = Record<string, string | undefined>

function faults(env: Env): unknown[] {
  try {
    smtpFromEnv(env)
    return []
  } catch (error) {
    expect(error).toBeInstanceOf(InvalidInputError)
    for (const value of Object.values(env))
      if (value !== undefined && value.length > 5) expect((error as Error).message).not.toContain(value)
    return (error as InvalidInputError).issues.map(({ path }) => path.join('.'))
  }
}

const SERVER = { MAIL_SERVER: 'smtp.example.com' }
const PLAIN = { host: 'smtp.example.com', port: 25, secure: false }

describe('smtpFromEnv', () => {
  it.each<[string, Env, object]>([
    ['a server alone', SERVER, { transport: PLAIN }],
    ['a port', { ...SERVER, MAIL_PORT: '587' }, { transport: { ...PLAIN, port: 587 } }],
    ['STARTTLS', { ...SERVER, MAIL_USE_TLS: 'True' }, { transport: { ...PLAIN, requireTLS: true } }],
    ['SSL', { ...SERVER, MAIL_USE_SSL: '1', MAIL_PORT: '465' }, { transport: { ...PLAIN, port: 465, secure: true } }],
    [
      'a login',
      { ...SERVER, MAIL_USERNAME: 'ada', MAIL_PASSWORD: ' s3:cr@t ' },
      { transport: { ...PLAIN, auth: { user: 'ada', pass: ' s3:cr@t ' } } },
    ],
    ['a sender', { ...SERVER, MAIL_DEFAULT_SENDER: FROM }, { transport: PLAIN, from: FROM }],
    ['messages a connection', { ...SERVER, MAIL_MAX_EMAILS: '20' }, { transport: { ...PLAIN, maxMessages: 20 } }],
    [
      'what is empty',
      {
        ...SERVER,
        SMTP_URL: '',
        MAIL_PORT: '',
        MAIL_USE_TLS: '',
        MAIL_USERNAME: '',
        MAIL_PASSWORD: '',
        MAIL_DEFAULT_SENDER: '',
      },
      { transport: PLAIN },
    ],
    ['a URL', { SMTP_URL: 'smtps://u:p@h:465' }, { transport: { url: 'smtps://u:p@h:465' } }],
    [
      'a URL, which wins',
      { SMTP_URL: 'smtp://h', ...SERVER, MAIL_PORT: 'x', MAIL_USE_TLS: '1', MAIL_USE_SSL: '1', MAIL_USERNAME: 'u' },
      { transport: { url: 'smtp://h' } },
    ],
    [
      'a URL with what it cannot say',
      { SMTP_URL: 'smtp://h', MAIL_DEFAULT_SENDER: 'a@x', MAIL_MAX_EMAILS: '5', MAIL_DEBUG: 'True' },
      { transport: { url: 'smtp://h', maxMessages: 5 }, from: 'a@x' },
    ],
  ])('reads %s', (_, env, expected) => {
    expect(smtpFromEnv(env)).toEqual(expected)
    emailTask({ from: FROM, ...smtpFromEnv(env) }) // which takes it
  })

  it.each([
    ...['1', 'true', 'True', 'TRUE', 't', 'yes', 'Y', 'on', ' true '].map((text): [string, boolean] => [text, true]),
    ...['0', 'false', 'False', 'f', 'no', 'N', 'off', 'None', '', ' '].map((text): [string, boolean] => [text, false]),
  ])('takes %j for %s', (text, expected) => {
    const { transport } = smtpFromEnv({ ...SERVER, MAIL_USE_SSL: text })
    expect(transport).toMatchObject({ secure: expected })
  })

  it.each<[string, Env, string[]]>([
    ['nothing', {}, ['MAIL_SERVER']],
    ['a login without a server', { MAIL_USERNAME: 'u', MAIL_PASSWORD: 'p' }, ['MAIL_SERVER']],
    ['a server that is none', { MAIL_SERVER: 'https://smtp.example.com' }, ['MAIL_SERVER']],
    ['a server with its port', { MAIL_SERVER: 'smtp.example.com:587' }, ['MAIL_SERVER']],
    ['several servers', { MAIL_SERVER: 'a.example.com,b.example.com' }, ['MAIL_SERVER']],
    ['a server with a line break', { MAIL_SERVER: 'smtp.example.com\nx' }, ['MAIL_SERVER']],
    ...['0', '65536', '-1', '25.5', '0x19', 'smtp-port', '１２３'].map((text): [string, Env, string[]] => [
      `the port ${text}`,
      { ...SERVER, MAIL_PORT: text },
      ['MAIL_PORT'],
    ]),
    [
      'flags that are none',
      { ...SERVER, MAIL_USE_TLS: 'starttls', MAIL_USE_SSL: '2' },
      ['MAIL_USE_TLS', 'MAIL_USE_SSL'],
    ],
    ['both kinds of TLS', { ...SERVER, MAIL_USE_TLS: '1', MAIL_USE_SSL: '1' }, ['MAIL_USE_SSL']],
    ['a user without a password', { ...SERVER, MAIL_USERNAME: 'someone' }, ['MAIL_PASSWORD']],
    ['a password without a user', { ...SERVER, MAIL_PASSWORD: 's3cr3t!!' }, ['MAIL_USERNAME']],
    ['a sender that is two', { ...SERVER, MAIL_DEFAULT_SENDER: 'a@x.example, b@x' }, ['MAIL_DEFAULT_SENDER']],
    ['a sender with a header', { ...SERVER, MAIL_DEFAULT_SENDER: 'a@x\r\nBcc: evil@x' }, ['MAIL_DEFAULT_SENDER']],
    ['no messages', { ...SERVER, MAIL_MAX_EMAILS: '0' }, ['MAIL_MAX_EMAILS']],
    ['some messages', { ...SERVER, MAIL_MAX_EMAILS: 'twenty' }, ['MAIL_MAX_EMAILS']],
    ['a URL of another kind', { SMTP_URL: 'https://user:s3cr3t@h' }, ['SMTP_URL']],
    ['a URL without a host', { SMTP_URL: 'smtp://' }, ['SMTP_URL']],
    ['a URL that is none', { SMTP_URL: 'smtp.example.com:25' }, ['SMTP_URL']],
    [
      'much that is wrong',
      { SMTP_URL: 'x', MAIL_SUPPRESS_SEND: 'x', MAIL_MAX_EMAILS: 'x' },
      ['MAIL_SUPPRESS_SEND', 'MAIL_MAX_EMAILS', 'SMTP_URL'],
    ],
  ])('refuses %s by the name of the variable', (_, env, expected) => {
    expect(faults(env)).toEqual(expected)
  })

  it('reads the environment of the process by default', () => {
    onTestFinished(() => void vi.unstubAllEnvs())
    for (const name of ['SMTP_URL', 'MAIL_SUPPRESS_SEND', 'MAIL_MAX_EMAILS', 'MAIL_DEFAULT_SENDER'])
      vi.stubEnv(name, undefined)
    vi.stubEnv('MAIL_SERVER', 'smtp.example.com')
    expect(smtpFromEnv().transport).toMatchObject({ host: 'smtp.example.com' })
  })

  it('mails through the server that it names', async () => {
    const server = await smtpServer({ login: { user: 'ada', pass: 's3cr3t' } })
    const env = {
      MAIL_SERVER: '127.0.0.1',
      MAIL_PORT: String(server.port),
      MAIL_USERNAME: 'ada',
      MAIL_PASSWORD: 's3cr3t',
    }
    const { outcome } = await runTask(emailTask({ from: FROM, ...smtpFromEnv(env) }), HELLO)
    expect(outcome).toMatchObject({ type: 'succeeded' })
    expect(server.deliveries).toHaveLength(1)
  })

  it('mails nothing where that is suppressed, and says so', async () => {
    const server = await smtpServer()
    const env = { SMTP_URL: server.url, MAIL_SUPPRESS_SEND: 'true', MAIL_DEFAULT_SENDER: 'a@x' }
    const { outcome } = await runTask(emailTask({ from: FROM, ...smtpFromEnv(env) }), HELLO)
    const response = '250 2.0.0 not sent: MAIL_SUPPRESS_SEND is set'
    expect(outcome).toMatchObject({ output: { recipients: { 'ada@example.com': { response } } } })
    expect(server.connections.total).toBe(0)
    expect(faults({ MAIL_SUPPRESS_SEND: '1' })).toEqual([])
  })
})
