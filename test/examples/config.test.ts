/** The environment of the examples. */
import { expect, it } from 'vitest'
import { ConfigError, readConfig } from '../../examples/shared/config.js'

it('needs no variable at all, and is reachable from this machine only', () => {
  expect(readConfig({})).toEqual({
    port: 3000,
    host: '127.0.0.1',
    smtpUrl: undefined,
    mailFrom: expect.stringContaining('@'),
    concurrency: 10,
    retryDelay: undefined,
    databasePath: 'tasks.db',
    isolation: 'thread',
  })
})

it('reads every variable', () => {
  const env = {
    PORT: '0',
    HOST: '0.0.0.0',
    SMTP_URL: 'smtps://user:password@mail.example.com:465',
    MAIL_FROM: 'Ada <ada@example.com>',
    CONCURRENCY: '3',
    RETRY_DELAY: '250',
    DATABASE_PATH: '/var/lib/app/mails.db',
    ISOLATION: 'inline',
  }
  expect(readConfig(env)).toEqual({
    port: 0,
    host: '0.0.0.0',
    smtpUrl: env.SMTP_URL,
    mailFrom: env.MAIL_FROM,
    concurrency: 3,
    retryDelay: 250,
    databasePath: env.DATABASE_PATH,
    isolation: 'inline',
  })
})

it('takes a variable that is set to nothing for one that is not set', () => {
  const env = {
    PORT: '',
    HOST: ' ',
    SMTP_URL: '',
    MAIL_FROM: '',
    CONCURRENCY: '',
    RETRY_DELAY: '',
    DATABASE_PATH: '',
    ISOLATION: '',
  }
  expect(readConfig(env)).toEqual(readConfig({}))
})

it.each([
  ['PORT', 'http'],
  ['PORT', '65536'],
  ['PORT', '-1'],
  ['PORT', '1e3'],
  ['CONCURRENCY', '0'],
  ['CONCURRENCY', '2.5'],
  ['RETRY_DELAY', '5s'],
  ['SMTP_URL', 'mail.example.com'],
  ['SMTP_URL', 'http://mail.example.com'],
  ['MAIL_FROM', 'nobody'],
  ['MAIL_FROM', 'a@example.com, b@example.com'],
  ['DATABASE_PATH', ':memory:'],
  ['ISOLATION', 'worker'],
])('refuses %s=%s by name', (name, value) => {
  expect(() => readConfig({ [name]: value })).toThrow(ConfigError)
  expect(() => readConfig({ [name]: value })).toThrow(new RegExp(`^${name} `))
})

it('names all that is wrong, and shows no password', () => {
  const env = { PORT: 'x', SMTP_URL: 'http://user:geheim@mail.example.com', MAIL_FROM: '@' }
  expect(() => readConfig(env)).toThrow(/^PORT .*\nSMTP_URL .*\nMAIL_FROM .*$/)
  expect(() => readConfig(env)).not.toThrow(/geheim/)
})
