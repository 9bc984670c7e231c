/**
 * Holds what the records of mail tasks say to what is in the mailboxes of the test server, recipient by recipient.
 *
 * Who is recorded `sent` has it; who is recorded as not having got it (`failed`, `rejected`, `dropped`) has it not; nobody
 * has it twice, except whose outcome an earlier attempt could not know, under the same Message-ID, and only where
 * `onUnknown` says to try again. Call it when the server has settled and every task has ended.
 */
import type { AttemptRecord, Json, TaskRecord } from 'background-runner'
import type { Delivery, SmtpServer } from './smtp-server.js'

export type Status = 'sent' | 'rejected' | 'failed' | 'unknown' | 'dropped'

export interface Comparison {
  readonly mails: number
  /** Recipients by what is recorded of them at the end; `untold`: their task was killed too often to say. */
  readonly recipients: Readonly<Record<Status | 'untold', number>>
  /** Recipients who got it more than once, each through `unknown`. */
  readonly twice: number
  /** What must not be, in words. */
  readonly faults: {
    /** Recorded `sent`, and it is not there. */
    readonly missing: readonly string[]
    /** Recorded as not sent, and it is there. */
    readonly denied: readonly string[]
    /** There more than once, for no reason. */
    readonly wronglyTwice: readonly string[]
    /** Mail that no record asks for: to somebody else, or under another Message-ID. */
    readonly strange: readonly string[]
    /** Not at its end, or without a word about a recipient. */
    readonly unfinished: readonly string[]
  }
}

export const NO_FAULTS: Comparison['faults'] = {
  missing: [],
  denied: [],
  wronglyTwice: [],
  strange: [],
  unfinished: [],
}

type Outcomes = Readonly<Record<string, { readonly status: Status; readonly code?: string }>>

/** What an attempt, or the task, says of its recipients. */
function outcomesIn(details: Json | undefined): Outcomes | undefined {
  const { recipients } = (details ?? {}) as { readonly recipients?: Outcomes }
  return recipients
}

/** What is recorded at the end. A cancelled task says it in its history: its own error is the cancel. */
export function outcomesOf({ output, error, attempts }: TaskRecord): Outcomes | undefined {
  return outcomesIn(output) ?? outcomesIn(error?.details) ?? outcomesIn(attempts.at(-1)?.error?.details)
}

/** Recipients of a message whose addresses are bare and in lower case, as the tests write them. */
function addressesOf({ input }: TaskRecord): readonly string[] {
  const { to, cc = [], bcc = [] } = input as Readonly<Record<string, string | readonly string[]>>
  return [...new Set([to ?? [], cc, bcc].flat())]
}

/** Of the domain that the tests send from. */
function messageIdOf({ id, createdAt }: TaskRecord): string {
  return `<${id}.${createdAt.toString(36)}@example.com>`
}

export function compareMailboxes(
  server: Pick<SmtpServer, 'deliveries'>,
  records: readonly TaskRecord[],
  { onUnknown }: { readonly onUnknown: 'retry' | 'fail' },
): Comparison {
  const faults = { ...NO_FAULTS, missing: [], denied: [], wronglyTwice: [], strange: [], unfinished: [] } as {
    [Fault in keyof Comparison['faults']]: string[]
  }
  const count = { sent: 0, rejected: 0, failed: 0, unknown: 0, dropped: 0, untold: 0 }
  let twice = 0
  const mails = byMessageId(server.deliveries)

  for (const record of records) {
    const { id, state, attempts } = record
    if (!['succeeded', 'failed', 'cancelled'].includes(state)) faults.unfinished.push(`${id} is ${state}`)
    const messageId = messageIdOf(record)
    const told = (record.output as { readonly messageId?: string } | undefined)?.messageId
    if (told !== undefined && told !== messageId) faults.strange.push(`${id} says that its Message-ID is ${told}`)
    const deliveries = mails.get(messageId) ?? []
    mails.delete(messageId)
    const addresses = addressesOf(record)
    for (const address of deliveries.flatMap(({ to }) => to))
      if (!addresses.includes(address)) faults.strange.push(`${id} went to ${address}`)

    const outcomes = outcomesOf(record)
    for (const address of addresses) {
      const got = deliveries.filter(({ to }) => to.includes(address))
      const status = outcomes?.[address]?.status ?? (mayBeUntold(record) ? 'untold' : undefined)
      // What a fault is to be understood by: the attempts, what each said of this one, and how each copy came.
      const history = attempts.map(
        (each) => `${each.outcome} ${outcomesIn(each.error?.details)?.[address]?.status ?? ''}`,
      )
      const copies = got.map(({ connection, answered }) => `${connection}${answered ? '' : ' unanswered'}`)
      const who = `${id}, ${address}, ${status}; copies: ${copies.join(', ')}; attempts: ${history.join(', ')}`
      if (status === undefined) {
        faults.unfinished.push(who)
        continue
      }
      count[status] += 1
      if (status === 'sent' && got.length === 0) faults.missing.push(who)
      if (['rejected', 'failed', 'dropped'].includes(status) && got.length > 0) faults.denied.push(who)
      if (got.length < 2) continue
      const doubts = attempts.filter((attempt) => isInDoubt(attempt, address)).length
      if (onUnknown === 'retry' && got.length <= doubts + (status === 'sent' ? 1 : 0)) twice += 1
      else faults.wronglyTwice.push(who)
    }
  }
  for (const [messageId, deliveries] of mails)
    faults.strange.push(`${messageId} went to ${deliveries.flatMap(({ to }) => to)}`)
  return { mails: records.length, recipients: count, twice, faults }
}

function byMessageId(deliveries: readonly Delivery[]): Map<string, Delivery[]> {
  const mails = new Map<string, Delivery[]>()
  for (const delivery of deliveries) {
    const same = mails.get(delivery.messageId)
    if (same === undefined) mails.set(delivery.messageId, [delivery])
    else same.push(delivery)
  }
  return mails
}

/** Ended by something that has no words of its own: nobody asked the task what it had done. */
function mayBeUntold({ state, error, attempts }: TaskRecord): boolean {
  if (state === 'cancelled') return attempts.every(({ error }) => outcomesIn(error?.details) === undefined)
  return error?.code === 'CRASHED' || error?.code === 'TASK_TIMEOUT'
}

/** It ended before it could see a reply, whether there was one or not. */
function isBlind({ outcome, timedOut }: AttemptRecord): boolean {
  return outcome === 'crashed' || outcome === 'released' || timedOut === true
}

/** Whether this attempt may have mailed the recipient without knowing. */
function isInDoubt(attempt: AttemptRecord, address: string): boolean {
  return isBlind(attempt) || outcomesIn(attempt.error?.details)?.[address]?.status === 'unknown'
}
