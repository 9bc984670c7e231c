/**
 * How a test says which mail it means: a part of one, as with every matcher, and addresses as people write them.
 */
import { domainToASCII } from 'node:url'
import { inspect, types } from 'node:util'
import { type Matcher, show } from './match.js'
import type { ReadMessage } from './mime.js'

/**
 * A mail as it went out, read from its very bytes: what a plugin changed is changed, what an encoding would break is
 * broken. Addresses are written as they may be submitted, `'ada@example.com'` or `'Ada <ada@example.com>'`, with their
 * domains in ASCII.
 */
export interface SentEmail extends ReadMessage {
  /** Whom it went to although none of its headers says so. */
  readonly bcc: readonly string[]
  /** What the server was told: the sender, and the recipients that it took. */
  readonly envelope: { readonly from: string; readonly to: readonly string[] }
  /** Recipients that the server refused. */
  readonly rejected: readonly string[]
  /** The message as it goes over the wire, dots not yet stuffed. */
  readonly raw: Buffer
}

type AddressField = 'from' | 'to' | 'cc' | 'bcc' | 'replyTo' | 'rejected'

/** One of these addresses, with or without the name; or, as a list, all of them in their order. */
type AddressMatcher = string | RegExp | readonly (string | RegExp)[] | ((found: never) => boolean)

/**
 * A part of a mail, deeply, where a value may be a RegExp or a predicate; or a predicate of the whole.
 *
 * `to: 'ada@example.com'`: she is among them, and was not refused. Names of headers may be in any case.
 */
export type EmailMatcher =
  | ((email: SentEmail) => boolean)
  | ({ readonly [Field in AddressField]?: AddressMatcher | undefined } & {
      readonly [Field in Exclude<keyof SentEmail, AddressField>]?: Matcher<SentEmail[Field]> | undefined
    })

/** A mail as matchers look at it: without the recipients who did not get it, and short in the list of a failure. */
export function candidate(email: SentEmail): object {
  return new Candidate(email)
}

class Candidate {
  constructor(email: SentEmail) {
    const got = (addresses: readonly string[]): string[] =>
      addresses.filter((each) => !email.rejected.some((refused) => sameAddress(bare(each), refused)))
    Object.assign(this, email, { to: got(email.to), cc: got(email.cc), bcc: got(email.bcc) })
  }

  [inspect.custom](): string {
    const { envelope, subject } = this as unknown as SentEmail
    return `to ${envelope.to.join(', ')}: ${show(subject)}`
  }
}

const ADDRESSES: ReadonlySet<string> = new Set([
  'from',
  'to',
  'cc',
  'bcc',
  'replyTo',
  'rejected',
] satisfies AddressField[])

/** The matcher as `match.ts` understands it. */
export function prepared(matcher: EmailMatcher = {}): unknown {
  if (typeof matcher !== 'object' || isAsymmetric(matcher)) return matcher
  return Object.fromEntries(
    Object.entries(matcher).map(([field, wanted]): [string, unknown] => {
      if (ADDRESSES.has(field)) return [field, Array.isArray(wanted) ? wanted.map(oneOf) : oneOf(wanted)]
      if (field !== 'headers' || typeof wanted !== 'object' || wanted === null || isAsymmetric(wanted))
        return [field, wanted]
      return [field, Object.fromEntries(Object.entries(wanted).map(([name, each]) => [name.toLowerCase(), each]))]
    }),
  )
}

function oneOf(wanted: unknown): unknown {
  return typeof wanted === 'string' || types.isRegExp(wanted) ? new OneOf(wanted) : wanted
}

/** Matches an address, or a list that it is in. */
class OneOf {
  readonly #wanted: string | RegExp

  constructor(wanted: string | RegExp) {
    this.#wanted = wanted
  }

  asymmetricMatch(found: string | readonly string[]): boolean {
    const wanted = this.#wanted
    return [found]
      .flat()
      .some((each) =>
        typeof wanted === 'string' ? each === wanted || sameAddress(bare(each), wanted) : each.search(wanted) >= 0,
      )
  }

  [inspect.custom](): string {
    return show(this.#wanted)
  }
}

function isAsymmetric(matcher: object): boolean {
  return 'asymmetricMatch' in matcher
}

/** The address without its name. */
export function bare(mailbox: string): string {
  return /<([^<>]*)>$/.exec(mailbox)?.[1] ?? mailbox
}

export function sameAddress(one: string, other: string): boolean {
  return addressKey(one) === addressKey(other)
}

/** With its domain as it goes over the wire: the same mailbox, the same key. */
export function addressKey(address: string): string {
  const at = address.lastIndexOf('@')
  const domain = address.slice(at + 1)
  return `${address.slice(0, at + 1)}${domainToASCII(domain) || domain}`
}
