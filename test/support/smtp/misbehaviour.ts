/** What servers do to those who mail: answers and hooks for the test server, by name. */
import type { Answer, Hook, Step } from './hooks.js'

type Told = string | Answer

/** Misbehaves so many times, then no more. */
export function times(n: number, told: Told | Hook): Hook {
  let left = n
  return (step) => {
    if (left <= 0) return undefined
    const answer = typeof told === 'function' ? told(step) : told
    if (answer !== undefined) left -= 1
    return answer
  }
}

export const once = (told: Told | Hook): Hook => times(1, told)

/** At `rcpt`: only to these. */
export function to(addresses: readonly string[], told: Told): Hook {
  return ({ address }) => (addresses.includes(address) ? told : undefined)
}

/** At `body`: in the middle of the message, when so much of it has come. */
export function afterBytes(bytes: number, told: Told): Hook {
  return ({ received }) => (received >= bytes ? told : undefined)
}

/** At `rcpt`, RFC 6647: the first try of each pair of sender and recipient is put off. */
export function greylisting(reply: string = '451 4.7.1 greylisted, come back later'): Hook {
  const seen = new Set<string>()
  return ({ from, address }) => {
    const triple = `${from} ${address}`
    if (seen.has(triple)) return undefined
    seen.add(triple)
    return reply
  }
}

/** At `rcpt`, RFC 5321 4.5.3.1.10: so many recipients a message and no more. */
export function atMost(recipients: number, reply: string = '452 4.5.3 too many recipients'): Hook {
  return ({ to: taken }: Step) => (taken.length >= recipients ? reply : undefined)
}

/** The same in so many lines. */
export function inLines(reply: string, lines: number): string {
  const code = reply.slice(0, 3)
  const before = Array.from({ length: lines - 1 }, (_, i) => `${code}-${'and more '.repeat(6)}${i}\r\n`)
  return `${before.join('')}${reply}`
}

/** What is no reply at all; each ends a line. */
export const GARBAGE: Readonly<Record<string, Answer>> = {
  'words without a code': { raw: 'hello there, how are you?\r\n' },
  'a code of no class': { raw: '999 who knows\r\n' },
  'half a code': { raw: '4\r\n' },
  bytes: { raw: '\x00\x16\x03\x01\xff\xfe\x80 \x07\r\n' },
  'a line that never ends': { flood: 'x'.repeat(65_536) },
  'a reply that never ends': { flood: '250-and so on\r\n'.repeat(4_096) },
}
