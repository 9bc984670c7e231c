import { type EmailFailure, relay, type SmtpStage, submission } from 'background-runner/email'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { gotNoGreeting, mayHaveBeenTaken, VERDICTS, verdictOn } from '../../src/email/verdict.js'
import { FROM, HELLO, mailRunner, mailTask, smtpServer, told } from '../support/email.js'

const STAGES: readonly SmtpStage[] = [
  'connect',
  'greeting',
  'hello',
  'tls',
  'auth',
  'mail',
  'rcpt',
  'data',
  'body',
  'end',
]
const CODES =
  `ECONNECTION ETIMEDOUT ESOCKET EDNS ETLS EREQUIRETLS EPROTOCOL EENVELOPE EMESSAGE EOTP ESTREAM EABORT EAUTH
  ENOAUTH EOAUTH2 EMAXLIMIT EMAXRECIPIENTS ESENDMAIL ESES ECONFIG EPROXY EFILEACCESS EURLACCESS EFETCH`.split(/\s+/)

function failure(known: Partial<EmailFailure>): EmailFailure {
  return {
    stage: undefined,
    reply: undefined,
    enhancedCode: undefined,
    response: known.reply === undefined ? undefined : `${known.reply} said the server`,
    code: undefined,
    recipient: undefined,
    ...known,
  }
}

describe('the verdict', () => {
  it.each([
    ['greylisting', { stage: 'rcpt', reply: 451, enhancedCode: '4.7.1' }, 'retry'],
    ['a full mailbox', { stage: 'rcpt', reply: 452, enhancedCode: '4.2.2' }, 'retry'],
    ['too many recipients', { stage: 'rcpt', reply: 452, enhancedCode: '4.5.3' }, 'retry'],
    ['too many recipients, as RFC 821 had it', { stage: 'rcpt', reply: 552 }, 'retry'],
    ['throttling by SES', { stage: 'end', reply: 454, enhancedCode: '4.7.0' }, 'retry'],
    ['throttling by Mailtrap', { stage: 'mail', reply: 550, enhancedCode: '5.7.0' }, 'fail'],
    ['no such mailbox', { stage: 'rcpt', reply: 550, enhancedCode: '5.1.1' }, 'fail'],
    ['a message that is too large', { stage: 'end', reply: 552, enhancedCode: '5.3.4' }, 'fail'],
    ['spam', { stage: 'end', reply: 554, enhancedCode: '5.7.1' }, 'fail'],
    ['a server that goes down at MAIL', { stage: 'mail', reply: 421 }, 'retry'],
    ['a server that goes down after the dot', { stage: 'end', reply: 421 }, 'retry'],
    ['a greeting of 554', { stage: 'greeting', reply: 554 }, 'retry'],
    ['a bad sequence', { stage: 'mail', reply: 503 }, 'retry'],
    ['a wrong password', { stage: 'auth', reply: 535, code: 'EAUTH' }, 'hold'],
    ['a login server that is down', { stage: 'auth', reply: 454, code: 'EAUTH' }, 'hold'],
    ['a login that is wanted', { stage: 'mail', reply: 530 }, 'hold'],
    ['credentials refused late', { stage: 'mail', reply: 550, enhancedCode: '5.7.8' }, 'hold'],
    ['a client whose name is refused', { stage: 'hello', reply: 550 }, 'hold'],
    ['a server that has no time for a hello', { stage: 'hello', reply: 451 }, 'retry'],
    ['a cut at the login', { stage: 'auth', code: 'ECONNECTION' }, 'retry'],
    ['a cut at STARTTLS', { stage: 'tls', code: 'ECONNECTION' }, 'retry'],
    ['STARTTLS refused', { stage: 'tls', reply: 454, code: 'ETLS' }, 'hold'],
    ['a self-signed certificate', { stage: 'connect', code: 'DEPTH_ZERO_SELF_SIGNED_CERT' }, 'hold'],
    ['an expired certificate', { stage: 'tls', code: 'CERT_HAS_EXPIRED' }, 'hold'],
    ['another host’s certificate', { stage: 'connect', code: 'ERR_TLS_CERT_ALTNAME_INVALID' }, 'hold'],
    ['a name that does not resolve', { stage: 'connect', code: 'EDNS' }, 'retry'],
    ['a closed port', { stage: 'connect', code: 'ESOCKET' }, 'retry'],
    ['a cut before MAIL', { stage: 'mail', code: 'ECONNECTION' }, 'retry'],
    ['a cut in the message', { stage: 'body', code: 'ECONNECTION' }, 'retry'],
    ['a cut after the dot', { stage: 'end', code: 'ECONNECTION' }, 'unknown'],
    ['silence after the dot', { stage: 'end', code: 'ETIMEDOUT' }, 'unknown'],
    ['nonsense after the dot', { stage: 'end', response: 'pardon?' }, 'unknown'],
    ['nonsense at RCPT', { stage: 'rcpt', response: 'pardon?', code: 'EENVELOPE' }, 'retry'],
    ['a cut that nobody watched', { code: 'ECONNECTION' }, 'unknown'],
    ['a message that Nodemailer refuses', { code: 'EMESSAGE' }, 'fail'],
    ['an attachment that breaks off', { stage: 'body', code: 'ESTREAM' }, 'retry'],
    ['what nobody knows', { code: 'ESES' }, 'retry'],
  ] as const)('on %s', (_, known, verdict) => {
    expect(verdictOn(failure(known))).toBe(verdict)
  })

  it('is there for every reply, code and stage', () => {
    for (const stage of [undefined, ...STAGES]) {
      for (let reply = 400; reply < 600; reply++)
        expect(verdictOn(failure({ stage, reply }))).toBe(
          verdictOn(failure({ stage, reply, code: 'EENVELOPE' })), // the reply counts, not how Nodemailer names it
        )
      for (const code of CODES)
        expect(['retry', 'fail', 'hold', 'unknown']).toContain(verdictOn(failure({ stage, code })))
    }
  })

  it('never fails for good what was never refused, and never hides that the message may be there', () => {
    const any = fc.record({
      stage: fc.constantFrom(undefined, ...STAGES),
      reply: fc.option(fc.integer({ min: 400, max: 599 }), { nil: undefined }),
      enhancedCode: fc.option(fc.stringMatching(/^[45]\.\d{1,3}\.\d{1,3}$/), { nil: undefined }),
      response: fc.option(fc.string(), { nil: undefined }),
      code: fc.constantFrom(undefined, ...CODES),
      recipient: fc.constant(undefined),
    })
    fc.assert(
      fc.property(any, (known) => {
        const verdict = verdictOn(known)
        const transient = known.reply === 421 || (known.reply !== undefined && known.reply < 500)
        if (transient) expect(['retry', 'hold']).toContain(verdict)
        if (known.stage === 'end' && known.reply === undefined) expect(mayHaveBeenTaken(known)).toBe(true)
        if (known.stage !== 'end' && known.stage !== undefined) expect(mayHaveBeenTaken(known)).toBe(false)
        if (known.reply !== undefined) expect(verdict).not.toBe('unknown')
      }),
    )
  })

  it('has a source in each row, and a last row that takes everything', () => {
    for (const { source } of VERDICTS) expect(source).toMatch(/RFC \d+|Nodemailer|operator|transport/)
    const { source, ...last } = VERDICTS.at(-1) as (typeof VERDICTS)[number]
    expect(source).toContain('RFC 5321')
    expect(last).toEqual({ verdict: 'retry' })
  })

  it('counts a server as down only where it did not greet', () => {
    expect(STAGES.filter((stage) => gotNoGreeting(failure({ stage })))).toEqual(['connect', 'greeting'])
  })
})

describe('the verdict option', () => {
  it('is asked about each failure, told the standard, and decides', async () => {
    const server = await smtpServer({
      rcpt: ({ address }) => (address.startsWith('bob') ? '550 5.7.0 slow down' : undefined),
    })
    const asked: unknown[] = []
    const runner = mailRunner({
      transport: server.url,
      verdict: (failure, standard) => {
        asked.push([failure, standard])
        delete server.hooks.rcpt
        return failure.enhancedCode === '5.7.0' ? 'retry' : standard
      },
    })
    const record = await (await runner.submit('email', { ...HELLO, cc: 'bob@example.com' })).wait()
    expect(told(record)).toEqual({ state: 'succeeded', attempt: 2, code: undefined })
    const response = '550 5.7.0 slow down'
    expect(asked).toEqual([
      [
        { stage: 'rcpt', reply: 550, enhancedCode: '5.7.0', response, code: 'EENVELOPE', recipient: 'bob@example.com' },
        'fail',
      ],
    ])
  })

  it('may give a temporary refusal up', async () => {
    const server = await smtpServer({ mail: () => '451 4.3.0 not today' })
    const runner = mailRunner({ transport: server.url, verdict: () => 'fail' })
    const record = await (await runner.submit('email', HELLO)).wait()
    expect(told(record)).toEqual({ state: 'failed', attempt: 1, code: '451' })
    expect(record.error?.details).toMatchObject({ recipients: { 'ada@example.com': { status: 'rejected' } } })
  })

  it('cannot make known what is not: a message that may be there stays unknown', async () => {
    const server = await smtpServer({ end: () => ({ drop: true, store: true }) })
    const runner = mailRunner({ transport: server.url, verdict: () => 'fail' })
    const record = await (await runner.submit('email', HELLO)).wait()
    expect(told(record)).toEqual({ state: 'failed', attempt: 1, code: 'UNKNOWN_OUTCOME' })
    expect(record.error?.details).toMatchObject({ recipients: { 'ada@example.com': { status: 'unknown' } } })
  })

  it.each([
    [
      'throws',
      () => {
        throw new Error('a bug')
      },
    ],
    ['answers nonsense', () => 'perhaps' as never],
    ['is asynchronous', () => Promise.reject(new Error('a bug')) as never],
  ])('that %s leaves the standard', async (_, verdict) => {
    const server = await smtpServer({ mail: () => '550 5.1.0 no' })
    const runner = mailRunner({ transport: server.url, verdict })
    expect(told(await (await runner.submit('email', HELLO)).wait())).toEqual({
      state: 'failed',
      attempt: 1,
      code: '550',
    })
  })
})

describe('the policies', () => {
  it('submission gives up after a day, and is what a task has', () => {
    const { email } = mailTask()
    expect(submission.maxAge).toBe('1d')
    expect(email.retry).toMatchObject({ attempts: 100, maxAge: 86_400_000, backoff: { delay: 60_000, jitter: true } })
  })

  it('relay never waits less than 30 minutes, and gives up after 5 days (RFC 5321 4.5.4.1)', () => {
    const { email } = mailTask({ retry: relay, from: FROM })
    expect(email.retry).toMatchObject({ maxAge: 432_000_000, backoff: { delay: 1_800_000, jitter: false } })
  })
})
