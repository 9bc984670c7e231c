/**
 * Servers as they are met: slow, wordy, babbling, greylisting, full, throttling, badly certified, down, and up again. No
 * mail is lost to them, none is sent twice, and the record is the truth.
 */
import { describe, expect, it, vi } from 'vitest'
import { HELLO, smtpServer } from '../support/email.js'
import { EXPIRED, GOOD, OTHER_HOST } from '../support/smtp/certificates.js'
import { afterBytes, atMost, GARBAGE, greylisting, inLines, once, times, to } from '../support/smtp/misbehaviour.js'
import type { Answer, Stage } from '../support/smtp-server.js'
import {
  ADA,
  ATTEMPTS,
  BOB,
  countHeld,
  EVE,
  everybody,
  expectTruth,
  LARGE,
  MESSAGE,
  PATIENCE,
  statuses,
  told,
  trial,
  trialRunner,
} from './trial.js'

// A server that freezes, and messages that are too large for any buffer, take their time on a busy machine.
vi.setConfig({ testTimeout: 30_000 })

const SENT = { state: 'succeeded', attempt: 1, uncounted: 0, code: undefined }
const SENT_AGAIN = { ...SENT, attempt: 2 }

const REPLIES: readonly (readonly [Stage, string])[] = [
  ['greeting', '220 test.example ESMTP'],
  ['ehlo', '250-test.example\r\n250 8BITMIME'],
  ['mail', '250 2.1.0 ok'],
  ['rcpt', '250 2.1.5 ok'],
  ['data', '354 go on'],
  ['end', '250 2.0.0 queued'],
]

describe('a server that speaks oddly, but speaks', () => {
  const WAYS: readonly (readonly [string, (reply: string) => Answer])[] = [
    ['byte by byte', (reply) => ({ reply, pieces: 1 })],
    ['in two pieces', (reply) => ({ reply, pieces: 5 })],
    ['in a thousand lines', (reply) => ({ reply: inLines(reply, 1_000), pieces: 10_000 })],
    ['with bare line feeds', (reply) => ({ raw: `${reply}\n` })],
    ['after empty lines', (reply) => ({ raw: `\r\n\r\n${reply}\r\n` })],
  ]
  it.each(WAYS)('%s is understood at every stage', async (_, way) => {
    const hooks = REPLIES.map(([stage, reply]) => [stage, () => ({ ...way(reply), accept: true })])
    const { last } = await trial({ server: Object.fromEntries(hooks), client: PATIENCE })
    expect(told(last)).toEqual(SENT)
    expect(statuses(last)).toEqual(everybody('sent'))
  })
})

describe('a server that babbles', () => {
  const rows = (stages: readonly Stage[]): (readonly [string, Stage, Answer])[] =>
    stages.flatMap((stage) => Object.entries(GARBAGE).map(([what, answer]) => [what, stage, answer] as const))

  it.each(rows(['greeting', 'mail', 'rcpt', 'data']))('%s at %s: the mail is tried again', async (_, stage, answer) => {
    const { first, last } = await trial({ server: { [stage]: once(answer) }, client: PATIENCE })
    expect(first.state).toBe('scheduled')
    expect(Object.values(statuses(first))).not.toContain('unknown')
    expect(told(last)).toEqual(SENT_AGAIN)
  })

  it.each(rows(['end']))('%s at %s: whether the mail was taken is unknown', async (_, stage, answer) => {
    for (const store of [true, false]) {
      const { last } = await trial({
        server: { [stage]: once({ ...answer, store }) },
        client: PATIENCE,
        retry: { attempts: 1 },
      })
      expect(last.state).toBe('failed')
      expect(statuses(last)).toEqual(everybody('unknown'))
    }
  })

  it.each([
    ['two at the greeting', 'greeting', '220 hello\r\n220 hello again\r\n'],
    ['two at MAIL', 'mail', '250 ok\r\n250 ok\r\n'],
    ['two at the final dot', 'end', '250 queued\r\n451 or not\r\n'],
  ] as const)('replies twice, %s: nothing is recorded that is not so', async (_, stage, raw) => {
    // Whatever comes of it, `trial` holds the record to the mailboxes.
    const { last, server } = await trial({ server: { [stage]: once({ raw }) }, client: PATIENCE })
    expect(['succeeded', 'failed']).toContain(last.state)
    // A session that is out of step is left: nobody gets a third copy out of it.
    for (const address of [ADA, BOB, EVE]) expect(server.mailbox(address).length).toBeLessThan(3)
  })

  it('says yes in the middle of the message, and reads no further: nobody has it yet', async () => {
    const early = once(afterBytes(50_000, { reply: '250 2.0.0 queued', hang: true }))
    const { first, last } = await trial({
      server: { body: early },
      client: { socketTimeout: 3_000 },
      message: LARGE,
    })
    expect(Object.values(statuses(first))).not.toContain('sent')
    expect(statuses(last)).toEqual(everybody('sent'))
  })

  it.each([
    ['25', true],
    ['250', true],
    ['250 2.0.0 que', true],
    ['250-2.0.0 queued\r\n', true],
    ['45', false],
    ['550 5.7.1 no such', false],
  ])('leaves in the middle of its last reply, %j: the record is the truth', async (raw, store) => {
    for (const onUnknown of ['retry', 'fail'] as const) {
      const { last } = await trial({ server: { end: once({ raw, drop: true, store }) }, client: PATIENCE, onUnknown })
      expect(['succeeded', 'failed']).toContain(last.state)
    }
  })

  it('says no in the middle of the message, and reads on: no mail gets into another', async () => {
    const server = await smtpServer({
      body: once(afterBytes(50_000, '451 4.3.1 disk full')),
      end: once('451 4.3.1 disk full'),
    })
    const runner = trialRunner({ url: server.url, socketTimeout: 5_000 }, { concurrency: 1 })
    const handles = await runner.submitMany('email', [LARGE, { ...HELLO, to: EVE, text: 'of the second mail' }])
    const records = await Promise.all(handles.map((handle) => handle.wait()))
    await runner.close()
    expectTruth(server, records)
    expect(records.map(({ state }) => state)).toEqual(['succeeded', 'succeeded'])
    for (const { raw, to: got } of server.deliveries) expect(raw.includes('of the second mail')).toBe(got.length === 1)
  })
})

describe('a server with rules of its own', () => {
  it('that greylists gets the mail at the second try', async () => {
    const { first, last } = await trial({ server: { rcpt: greylisting() } })
    expect(statuses(first)).toEqual(everybody('failed'))
    expect(told(last)).toEqual(SENT_AGAIN)
  })

  it.each(['452 4.2.2 mailbox full', '552 5.2.2 mailbox full'])(
    'with one mailbox that is full (%s) gets the others at once, and that one when there is room',
    async (reply) => {
      const { first, last, server } = await trial({ server: { rcpt: times(2, to([BOB], reply)) } })
      expect(statuses(first)).toEqual({ ...everybody('sent'), [BOB]: 'failed' })
      expect(told(last)).toEqual({ ...SENT, attempt: 3 })
      expect(server.deliveries.map(({ to }) => to)).toEqual([[ADA, EVE], [BOB]])
    },
  )

  it.each(['452 4.5.3 too many recipients', '552 too many recipients'])(
    'that takes two recipients at a time (%s) gets five in three attempts',
    async (reply) => {
      const five = ['a', 'b', 'c', 'd', 'e'].map((name) => `${name}@example.com`)
      const { last, server } = await trial({
        server: { rcpt: atMost(2, reply), extensions: ['PIPELINING'] },
        message: { ...HELLO, to: five },
      })
      expect(told(last)).toEqual({ ...SENT, attempt: 3 })
      expect(server.deliveries.map(({ to }) => to)).toEqual([five.slice(0, 2), five.slice(2, 4), five.slice(4)])
    },
  )

  it('where one is refused for good and one for now: the latter gets it, the former is not asked again', async () => {
    const asked: string[] = []
    const { first, last } = await trial({
      server: {
        rcpt: ({ address }) => {
          asked.push(address)
          if (address === ADA) return '550 5.1.1 no such user'
          return address === BOB && asked.length < 4 ? '450 4.2.1 later' : undefined
        },
      },
    })
    expect(told(first)).toMatchObject({ state: 'scheduled', attempt: 1 })
    expect(statuses(first)).toEqual({ [ADA]: 'rejected', [BOB]: 'failed', [EVE]: 'sent' })
    expect(told(last)).toEqual({ state: 'failed', attempt: 2, uncounted: 0, code: 'PARTIALLY_SENT' })
    expect(statuses(last)).toEqual({ [ADA]: 'rejected', [BOB]: 'sent', [EVE]: 'sent' })
    expect(asked).toEqual([ADA, BOB, EVE, BOB])
  })

  it('where a mail is unknown first and refused then: it stays unknown', async () => {
    for (const store of [true, false]) {
      let tries = 0
      const { last } = await trial({
        server: { end: () => (++tries === 1 ? { drop: true, store } : '550 5.7.1 looks like spam') },
      })
      expect(told(last)).toMatchObject({ state: 'failed', attempt: 2 })
      expect(statuses(last)).toEqual(everybody('unknown'))
    }
  })

  it('that throttles with 454 is tried again', async () => {
    const { last } = await trial({
      server: { mail: once('454 4.7.0 throttling failure: maximum sending rate exceeded') },
    })
    expect(told(last)).toEqual(SENT_AGAIN)
  })

  it('that throttles with 550 refuses for good, unless the app knows its provider', async () => {
    const reply = '550 5.7.0 too many emails per second'
    const { last } = await trial({ server: { mail: once(reply) } })
    expect(told(last)).toMatchObject({ state: 'failed', attempt: 1, code: '550' })
    const known = await trial({
      server: { mail: once(reply) },
      verdict: ({ response }, standard) => (response?.includes('too many emails') ? 'retry' : standard),
    })
    expect(told(known.last)).toEqual(SENT_AGAIN)
    expect(statuses(known.first)).toEqual(everybody('failed'))
  })

  it('that has too many connections and says so in its greeting is tried again', async () => {
    const { last } = await trial({
      server: { greeting: once({ reply: '421 4.7.0 too many connections', drop: true }) },
    })
    expect(told(last)).toEqual(SENT_AGAIN)
  })

  it('that wants another login for the sender has all mail held', async () => {
    for (const reply of ['530 5.7.0 log in first', '535 5.7.8 no', '534 5.7.9 too weak', '538 5.7.11 encrypt first']) {
      const { first, last, held } = await trial({ server: { mail: once(reply) } })
      expect(told(first)).toMatchObject({ attempt: 1, uncounted: 1 })
      expect([told(last), held]).toEqual([{ ...SENT_AGAIN, uncounted: 1 }, 1])
    }
  })

  it('that has lost the thread (503) is tried again', async () => {
    for (const stage of ['mail', 'rcpt', 'data', 'end'] as const) {
      const { last } = await trial({ server: { [stage]: once('503 5.5.1 bad sequence of commands') } })
      expect([stage, told(last)]).toEqual([stage, expect.objectContaining({ state: 'succeeded' })])
    }
  })
})

describe('a bad certificate has all mail held until there is a better one', () => {
  const BAD = [
    ['one that nobody vouches for', OTHER_HOST, [GOOD]],
    ['one that has expired', EXPIRED, [GOOD, EXPIRED]],
    ['one of another host', OTHER_HOST, [GOOD, OTHER_HOST]],
  ] as const
  const rows = (['implicit', 'starttls'] as const).flatMap((tls) => BAD.map((bad) => [...bad, tls] as const))

  it.each(rows)('%s', async (_, certificate, trusted, tls) => {
    const server = await smtpServer({ tls, certificate })
    const runner = trialRunner({ url: server.url, tls: { ca: trusted.map(({ cert }) => cert) } })
    const held = countHeld(runner)
    const handle = await runner.submit('email', MESSAGE)
    await new Promise((resolve) => runner.once('retrying', resolve))
    expect(told(await handle.status())).toMatchObject({ attempt: 1, uncounted: 1 })
    await server.down()
    await server.up(GOOD)
    const record = await handle.wait()
    await runner.close()
    expectTruth(server, [record])
    expect(told(record)).toMatchObject({ state: 'succeeded', code: undefined })
    expect(record.maxAttempts - record.attempt).toBe(ATTEMPTS - 1)
    expect(held()).toBeGreaterThan(0)
  })

  it('and with a good one mail goes out under TLS', async () => {
    for (const tls of ['implicit', 'starttls'] as const) {
      const { last } = await trial({ server: { tls, certificate: GOOD }, client: { tls: { ca: GOOD.cert } } })
      expect(told(last)).toEqual(SENT)
    }
  })
})

describe('a server that is down', () => {
  const HOLDING = { retry: { attempts: ATTEMPTS, backoff: { type: 'fixed', delay: 1 } } } as const

  it('costs two attempts, then holds all mail; when it is up again they go out', async () => {
    const server = await smtpServer()
    await server.down()
    const runner = trialRunner({ url: server.url }, HOLDING)
    const held = countHeld(runner)
    const handle = await runner.submit('email', MESSAGE)
    await new Promise((resolve) => runner.once('held', resolve))
    expect(told(await handle.status())).toMatchObject({ state: 'scheduled', attempt: 3, uncounted: 1 })
    await server.up()
    const others = await runner.submitMany('email', [MESSAGE, MESSAGE])
    const records = await Promise.all([handle, ...others].map((each) => each.wait()))
    await runner.close()
    expectTruth(server, records)
    expect(records.map(({ state }) => state)).toEqual(['succeeded', 'succeeded', 'succeeded'])
    expect(records.slice(1).map(({ attempt }) => attempt)).toEqual([1, 1])
    expect(held()).toBeGreaterThan(0)
  })

  it.each([
    ['refuses in its greeting', '554 5.3.2 no service here'],
    ['is too busy to greet', '421 4.3.2 busy'],
    ['leaves before it greets', { drop: true }],
    ['never greets', { hang: true }],
  ])('or %s: the third time in a row holds all mail', async (_, answer) => {
    const { last, held } = await trial({ server: { greeting: times(3, answer) }, client: PATIENCE })
    expect(told(last)).toEqual({ ...SENT, attempt: 4, uncounted: 1 })
    expect(held).toBe(1)
  })

  it('or has no name in the DNS: the same', async () => {
    const runner = trialRunner({ url: 'smtp://mail.invalid', dnsTimeout: 1_000 })
    const handle = await runner.submit('email', MESSAGE)
    await new Promise((resolve) => runner.once('held', resolve))
    expect(told(await handle.status())).toMatchObject({ attempt: 3, uncounted: 1 })
  })

  it('now and then, with mail that goes through between, holds nothing', async () => {
    const server = await smtpServer()
    let greetings = 0
    server.hooks.greeting = () => (++greetings % 3 === 0 ? undefined : '421 4.3.2 busy')
    // Every session ends with its message, so that each mail needs a greeting.
    const runner = trialRunner({ url: server.url, maxMessages: 1 }, { concurrency: 1 })
    const held = countHeld(runner)
    for (let i = 0; i < 4; i++) {
      const record = await (await runner.submit('email', MESSAGE)).wait()
      expect(told(record)).toEqual({ ...SENT, attempt: 3 })
    }
    expect(held()).toBe(0)
  })

  it('is asked by one mail at a time while all are held', async () => {
    let logins = 0
    let waiting = 0
    let most = 0
    const first = 5
    const server = await smtpServer({
      login: { user: 'app', pass: 'secret' },
      auth: async () => {
        logins += 1
        if (logins <= first) return '535 5.7.8 no'
        waiting += 1
        most = Math.max(most, waiting)
        await new Promise((resolve) => setTimeout(resolve, 20))
        waiting -= 1
        return logins <= first + 2 ? '535 5.7.8 no' : undefined
      },
    })
    const runner = trialRunner({ url: server.url }, { concurrency: first })
    const handles = await runner.submitMany(
      'email',
      Array.from({ length: first }, () => MESSAGE),
    )
    await server.until(() => logins === first + 3)
    expect(most).toBe(1)
    const records = await Promise.all(handles.map((each) => each.wait()))
    await runner.close()
    expectTruth(server, records)
    expect(records.map((record) => told(record))).toEqual(
      records.map(() => expect.objectContaining({ state: 'succeeded' })),
    )
    // What was held has used no attempt.
    for (const { attempt, maxAttempts } of records) expect(maxAttempts - attempt).toBe(ATTEMPTS - 1)
  })
})

describe('a server that is started again', () => {
  it('between two mails costs nothing or an attempt, and nobody gets a mail twice', async () => {
    const server = await smtpServer()
    const runner = trialRunner({ url: server.url }, { concurrency: 2 })
    const records = []
    for (let i = 0; i < 5; i++) {
      const handles = await runner.submitMany('email', [MESSAGE, MESSAGE])
      records.push(...(await Promise.all(handles.map((each) => each.wait()))))
      await server.down()
      await server.up()
    }
    await runner.close()
    expectTruth(server, records)
    expect(records.map(({ state }) => state)).toEqual(records.map(() => 'succeeded'))
    expect(server.deliveries.length).toBe(records.length)
  })

  it.each(['mail', 'rcpt', 'data', 'end'] as const)('at %s of a mail has it tried again', async (stage) => {
    const server = await smtpServer()
    let restarts = 0
    server.hooks[stage] = async () => {
      if (restarts > 0) return undefined
      restarts += 1
      await server.down()
      await server.up()
      return undefined
    }
    const runner = trialRunner({ url: server.url })
    const record = await (await runner.submit('email', MESSAGE)).wait()
    await runner.close()
    expectTruth(server, [record])
    expect(told(record)).toEqual(SENT_AGAIN)
  })
})
