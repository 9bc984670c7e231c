/**
 * The verdict table as a matrix: each stage of an SMTP session × what a server can do there × with and without
 * PIPELINING. A row says what the server does to the first attempt, and what must become of the message.
 */
import type { EmailMessage } from 'background-runner/email'
import type { Status } from '../support/compare-mailboxes.js'
import { GOOD } from '../support/smtp/certificates.js'
import { afterBytes, once, to } from '../support/smtp/misbehaviour.js'
import { type Answer, DROP, HANG, type Hooks, type SmtpServerOptions, type Stage } from '../support/smtp-server.js'
import { ADA, BOB, EVE, everybody, LARGE, PATIENCE } from './trial.js'

/** What becomes of the message: `partial`: failed at once, having reached some. */
export type Verdict = 'sent' | 'retry' | 'fail' | 'partial' | 'hold' | 'unknown'

export interface Row {
  /** Of the test: where, what, how. */
  readonly name: string
  readonly server: () => SmtpServerOptions
  readonly client: object
  readonly message?: EmailMessage
  readonly verdict: Verdict
  /** Of the first attempt; any of them. */
  readonly codes: readonly string[]
  /** What the first attempt has done for each recipient. */
  readonly first: Readonly<Record<string, Status>>
}

/** A misbehaviour, and how Nodemailer's error or the server's reply is recorded. */
interface Deed {
  readonly name: string
  readonly told: string | Answer
  readonly code: string
}

const DEEDS: readonly Deed[] = [
  { name: '4yz', told: '451 4.3.0 try again later', code: '451' },
  { name: '5yz', told: '550 5.1.1 no', code: '550' },
  { name: '421', told: { reply: '421 4.3.2 shutting down', drop: true }, code: '421' },
  { name: 'drop', told: DROP, code: 'ECONNECTION' },
  { name: 'freeze', told: HANG, code: 'ETIMEDOUT' },
]

interface Place {
  readonly name: string
  readonly hooks: (told: string | Answer) => Hooks
  /** A row of the verdict table, in the order of DEEDS. */
  readonly verdicts: readonly (Verdict | undefined)[]
  /** What the first attempt has done where the verdict is `fail`, `partial` or `retry`; by default all are refused alike. */
  readonly partly?: Readonly<Record<string, Status>>
  readonly server?: SmtpServerOptions
  readonly client?: object
  readonly message?: EmailMessage
}

const RETRY: Place['verdicts'] = ['retry', 'retry', 'retry', 'retry', 'retry']
const BY_CLASS: Place['verdicts'] = ['retry', 'fail', 'retry', 'retry', 'retry']
/** A large message keeps this process busy for as long as a server may be silent otherwise. */
const MUCH_PATIENCE = { socketTimeout: 3_000 }
const LOGIN = { login: { user: 'app', pass: 'secret' } } as const
const TLS = { tls: 'starttls', certificate: GOOD } as const

const at = (stage: Stage) => (told: string | Answer) => ({ [stage]: once(told) })
const rcpt = (address: string) => (told: string | Answer) => ({ rcpt: once(to([address], told)) })

const PLACES: readonly Place[] = [
  { name: 'the greeting', hooks: at('greeting'), verdicts: RETRY },
  // Whose EHLO is refused says HELO.
  { name: 'EHLO', hooks: at('ehlo'), verdicts: ['sent', 'sent', 'retry', 'retry', 'retry'] },
  {
    name: 'EHLO and HELO',
    hooks: (told) => ({ ehlo: once(told), helo: once(told) }),
    // The server knows this client by its name, and does not want it.
    verdicts: ['retry', 'hold', undefined, undefined, undefined],
  },
  {
    name: 'STARTTLS',
    hooks: at('starttls'),
    verdicts: ['hold', 'hold', 'retry', 'retry', 'retry'],
    server: TLS,
    client: { tls: { ca: GOOD.cert } },
  },
  {
    name: 'the login',
    hooks: at('auth'),
    verdicts: ['hold', 'hold', 'retry', 'retry', 'retry'],
    server: LOGIN,
  },
  { name: 'MAIL', hooks: at('mail'), verdicts: BY_CLASS },
  ...[ADA, BOB, EVE].map((address) => ({
    name: `RCPT of ${address}`,
    hooks: rcpt(address),
    verdicts: ['retry', 'partial', 'retry', 'retry', 'retry'] as const,
    partly: { ...everybody('sent'), [address]: 'failed' } as const,
  })),
  {
    name: 'RCPT of everybody',
    hooks: (told) => {
      const refused = new Set<string>()
      return { rcpt: ({ address }) => (refused.has(address) ? undefined : refused.add(address) && told) }
    },
    verdicts: ['retry', 'fail', undefined, undefined, undefined],
  },
  { name: 'DATA', hooks: at('data'), verdicts: BY_CLASS },
  {
    name: 'the middle of the message',
    // It says so, and reads no further.
    hooks: (told) => ({
      body: once(afterBytes(50_000, typeof told === 'string' ? { reply: told, hang: true } : { ...told, hang: true })),
    }),
    verdicts: [undefined, undefined, undefined, 'retry', 'retry'],
    message: LARGE,
  },
  {
    name: 'the final dot, the message not taken',
    hooks: at('end'),
    verdicts: ['retry', 'fail', 'retry', 'unknown', 'unknown'],
  },
  {
    name: 'the final dot, the message taken',
    hooks: (told) => ({ end: once({ ...(told as Answer), store: true }) }),
    verdicts: [undefined, undefined, undefined, 'unknown', 'unknown'],
  },
]

export const MATRIX: readonly Row[] = PLACES.flatMap((place) =>
  DEEDS.flatMap((deed, i) => {
    const verdict = place.verdicts[i]
    if (verdict === undefined) return []
    return [false, true].map((pipelined) => ({
      name: `${deed.name} at ${place.name}${pipelined ? ', pipelined' : ''}`,
      server: () => ({
        ...place.server,
        extensions: pipelined ? ['8BITMIME', 'PIPELINING'] : ['8BITMIME'],
        ...place.hooks(deed.told),
      }),
      client: { ...(deed.told === HANG && (place.message === undefined ? PATIENCE : MUCH_PATIENCE)), ...place.client },
      ...(place.message && { message: place.message }),
      verdict,
      codes: codesOf(deed, place, pipelined),
      first: first(verdict, deed, place),
    }))
  }),
)

function codesOf({ name, code }: Deed, { partly, message }: Place, pipelined: boolean): Row['codes'] {
  // Nodemailer takes one reply a turn: of several that came together the last may be lost to the end of the session.
  if (name === '421' && pipelined) return [code, 'ECONNECTION']
  if (partly !== undefined) return [code, 'PARTIALLY_SENT']
  // Who is writing may be told of the end by its write.
  return message !== undefined && name === 'drop' ? [code, 'ESOCKET'] : [code]
}

function first(verdict: Verdict, { name }: Deed, { partly }: Place): Row['first'] {
  if (verdict === 'sent') return everybody('sent')
  if (verdict === 'unknown') return everybody('unknown')
  if (verdict === 'fail') return everybody('rejected')
  if (verdict === 'partial')
    return Object.fromEntries(
      Object.entries(partly ?? {}).map(([address, status]) => [address, status === 'failed' ? 'rejected' : status]),
    )
  // A session that ends has mailed nobody; a reply to one recipient leaves the others alone.
  return name === '4yz' && partly !== undefined ? partly : everybody('failed')
}
