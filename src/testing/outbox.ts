/**
 * The outbox of a test: the mails that went out through `testTransport()`, what a test asserts of them, and whom its
 * server refuses.
 */
import { type InputIssue, InvalidInputError } from '../index.js'
import {
  addressKey,
  bare,
  candidate,
  type EmailMatcher,
  prepared,
  type SentEmail,
  sameAddress,
} from './email-matcher.js'
import { failure, listMismatches, matches, show } from './match.js'
import type { ReadMessage } from './mime.js'

/** What went out, and who is refused. Nothing here waits for anything. */
export interface Outbox {
  /** The mails that the server took, in this order. */
  readonly messages: readonly SentEmail[]
  /**
   * Some mail went out that matches; `count`: exactly so many. Gives those that match.
   *
   * @throws {AssertionError} telling which mails there were, and what is different
   *
   * @example transport.outbox.assertEmailSent({ to: 'ada@example.com', subject: /welcome/i })
   */
  assertEmailSent(matcher?: EmailMatcher, options?: { readonly count?: number }): readonly SentEmail[]
  /** No mail went out that matches. @throws {AssertionError} */
  refuteEmailSent(matcher?: EmailMatcher): void
  /**
   * From now on this recipient is refused, as a mail server would: at RCPT, the others are not. `'*'`: all of them.
   *
   * @param reply the reply: `451`, or in full, `'451 4.7.1 greylisted'`; with a 421 the server closes the connection, and
   * nobody gets the mail
   * @param options.times how often, before it is accepted. @default always
   * @throws {InvalidInputError}
   *
   * @example transport.outbox.refuse('ada@example.com', 451, { times: 1 })
   */
  refuse(address: string, reply: number | string, options?: { readonly times?: number }): void
  /** As new: forgets mails and refusals. */
  clear(): void
}

interface Refusal {
  readonly reply: string
  times: number
}

const EVERYBODY = '*'
/** Refusals in the message of a failure. */
const MOST_TOLD = 10

export class MailOutbox implements Outbox {
  readonly messages: SentEmail[] = []
  readonly #refusals: Map<string, Refusal> = new Map()
  /** What a test that misses a mail should know. */
  #refused: string[] = []

  /** The reply to a recipient whom the server refuses. */
  refusal(address: string): string | undefined {
    const key = [addressKey(address), EVERYBODY].find((each) => this.#refusals.has(each))
    const refusal = this.#refusals.get(key ?? '')
    if (key === undefined || refusal === undefined) return undefined
    refusal.times -= 1
    if (refusal.times <= 0) this.#refusals.delete(key)
    this.#refused.push(`${address} (${refusal.reply})`)
    return refusal.reply
  }

  take(message: ReadMessage, envelope: SentEmail['envelope'], rejected: readonly string[], raw: Buffer): void {
    const named = [...message.to, ...message.cc].map(bare)
    const bcc = [...envelope.to, ...rejected].filter((each) => !named.some((name) => sameAddress(name, each)))
    this.messages.push({ ...message, bcc, envelope, rejected, raw })
  }

  assertEmailSent(matcher?: EmailMatcher, options: { readonly count?: number } = {}): readonly SentEmail[] {
    const { count } = options
    const found = this.#find(matcher)
    if (count === undefined ? found.length > 0 : found.length === count) return found
    const wanted = count === undefined ? 'a mail' : `${count} ${count === 1 ? 'mail' : 'mails'}`
    const got = count === undefined || matcher === undefined ? '' : `; ${found.length} did`
    throw failure(`expected ${wanted}${like(matcher, count)}${got}; ${this.#tell(this.messages, matcher)}`, {
      ...forDiff(this.messages, matcher),
      caller: this.assertEmailSent,
    })
  }

  refuteEmailSent(matcher?: EmailMatcher): void {
    const found = this.#find(matcher)
    if (found.length === 0) return
    throw failure(`expected no mail${like(matcher)}; ${this.#tell(found, matcher)}`, {
      actual: found.map(({ envelope, subject }) => ({ to: envelope.to, subject })),
      expected: [],
      caller: this.refuteEmailSent,
    })
  }

  refuse(address: string, reply: number | string, options: { readonly times?: number } = {}): void {
    const { times = Number.POSITIVE_INFINITY } = options
    const full = typeof reply === 'number' ? `${reply} ${Math.floor(reply / 100)}.0.0 refused by the test` : reply
    const issues: InputIssue[] = []
    const refuse = (message: string, field: string): void => void issues.push({ message, path: [field] })
    if (address !== EVERYBODY && !/^[^\s@<>]+@[^\s@<>]+$/.test(address))
      refuse(`must be an address without a name, or '*', got ${show(address)}`, 'address')
    if (!/^[45]\d\d[ -]\S/.test(full)) refuse(`must be a reply from 400 to 599, got ${show(reply)}`, 'reply')
    if (times !== Number.POSITIVE_INFINITY && !(Number.isSafeInteger(times) && times >= 1))
      refuse(`must be an integer of at least 1, got ${show(times)}`, 'times')
    if (issues.length > 0) throw new InvalidInputError('bad refusal', issues)
    this.#refusals.set(addressKey(address), { reply: full, times })
  }

  clear(): void {
    this.messages.length = 0
    this.#refusals.clear()
    this.#refused = []
  }

  #find(matcher: EmailMatcher | undefined): SentEmail[] {
    const wanted = prepared(matcher)
    return this.messages.filter((email) => matches(candidate(email), wanted))
  }

  #tell(messages: readonly SentEmail[], matcher: EmailMatcher | undefined): string {
    const candidates = messages.map(candidate)
    const sent =
      messages.length === 0
        ? 'none was sent'
        : `${messages.length} ${messages.length === 1 ? 'was' : 'were'} sent:${listMismatches(candidates, prepared(matcher))}`
    return this.#refused.length === 0 ? sent : `${sent}\nrefused: ${this.#refused.slice(-MOST_TOLD).join(', ')}`
  }
}

function like(matcher: EmailMatcher | undefined, count: number = 1): string {
  return matcher === undefined ? '' : ` that ${count === 1 ? 'matches' : 'match'} ${show(matcher)}`
}

/** For the diff of a test framework: of each mail what was asked for, and nothing else. */
function forDiff(
  messages: readonly SentEmail[],
  matcher: EmailMatcher | undefined,
): { actual: object[]; expected: unknown[] } {
  const fields = typeof matcher === 'object' ? Object.keys(matcher) : []
  const asked = (email: SentEmail): object =>
    Object.fromEntries(Object.entries(email).filter(([field]) => fields.includes(field)))
  return { actual: messages.map(asked), expected: [matcher] }
}
