/** What a hook of the test server is told, and what it may answer. */

export type Stage =
  | 'greeting'
  | 'ehlo'
  /** What a client says whose EHLO was refused. */
  | 'helo'
  | 'starttls'
  | 'auth'
  | 'mail'
  | 'rcpt'
  | 'data'
  /** Each time that more of a message has come. */
  | 'body'
  /** The final dot. */
  | 'end'
  | 'rset'
  | 'quit'

/** What a hook may answer beside a reply. */
export interface Answer {
  /** Several lines: `'250-a\r\n250 b'`. */
  readonly reply?: string
  /** Said as it is instead of a reply: one character a byte, no end of line added. */
  readonly raw?: string
  /** Characters of each write, which are a turn of the event loop apart. @default all at once */
  readonly pieces?: number
  /** Said again and again until the client leaves. */
  readonly flood?: string
  /** End the connection, after the reply if there is one. */
  readonly drop?: boolean
  /** Answer nothing, and nothing from now on, in this connection. */
  readonly hang?: boolean
  /** Whether the server means yes, whatever it says. @default if the reply is a good one */
  readonly accept?: boolean
  /** At `end` only: whether the message counts as delivered. @default what `accept` is */
  readonly store?: boolean
}

export const DROP: Answer = { drop: true }
export const HANG: Answer = { hang: true }
/** At `end`: the message was taken, but its sender never hears of it. */
export const DROP_AFTER_STORING: Answer = { drop: true, store: true }

/** What a hook is told. */
export interface Step {
  /** The line as it came; the greeting has none. */
  readonly line: string
  /** The address of `mail` and `rcpt`. */
  readonly address: string
  /** 1 for the first connection. */
  readonly connection: number
  /** What the client calls itself. */
  readonly client: string
  /** Recipients taken so far, and the sender. */
  readonly to: readonly string[]
  readonly from: string
  /** At `body`: bytes of the message so far. */
  readonly received: number
  /** At `end`: the message. */
  readonly raw: string
  /** At `auth`: what was given. */
  readonly user: string
  readonly pass: string
}

type Told = string | Answer | undefined
export type Hook = (step: Step) => Told | Promise<Told>
export type Hooks = Partial<Record<Stage, Hook>>

export interface Delivery {
  readonly from: string
  readonly to: readonly string[]
  /** The message, dots unstuffed, one character a byte. */
  readonly raw: string
  /** Of its header, with the brackets. */
  readonly messageId: string
  readonly connection: number
  /** Its reply went out. The client may have left by then, or not have waited for it. */
  readonly answered: boolean
}
