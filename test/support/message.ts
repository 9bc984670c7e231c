/**
 * Messages without their task: checked by the schema, composed, and sent by a bare Nodemailer to the SMTP server of the
 * tests; and a reader of what arrived that knows nothing but lines.
 */
import { type InputIssue, InvalidInputError } from 'background-runner'
import type { AttachmentOptions, DkimOptions, EmailMessage, MessageLimits } from 'background-runner/email'
import nodemailer from 'nodemailer'
import { onTestFinished } from 'vitest'
import { parseAddress } from '../../src/email/address.js'
import { attachmentRules } from '../../src/email/attachments.js'
import { compose } from '../../src/email/compose.js'
import {
  type CheckedMessage,
  type MessageRules,
  messageLimits,
  messageSchema,
  recipientsOf,
  senderOf,
} from '../../src/email/message.js'
import type { StandardResult } from '../../src/schema.js'
import { FROM, smtpServer } from './email.js'
import type { Delivery, SmtpServer } from './smtp-server.js'

export interface RulesGiven {
  readonly attachments?: AttachmentOptions
  readonly limits?: Partial<MessageLimits>
}

export function rulesOf({ attachments, limits = {} }: RulesGiven = {}): MessageRules {
  const issues: InputIssue[] = []
  const rules = {
    attachments: attachmentRules(attachments, ['attachments'], issues),
    limits: messageLimits(limits, ['limits'], issues),
  }
  if (issues.length > 0) throw new InvalidInputError('bad rules', issues)
  return rules
}

function check(message: unknown, rules: MessageRules): StandardResult<CheckedMessage> {
  return messageSchema(rules)['~standard'].validate(message) as StandardResult<CheckedMessage>
}

/** @throws {InvalidInputError} */
export function checked(message: unknown, given?: RulesGiven): CheckedMessage {
  const result = check(message, rulesOf(given))
  if (result.issues === undefined) return result.value
  throw new InvalidInputError('refused', result.issues as InputIssue[])
}

/** What is wrong with a message: path and words of each. */
export function faults(message: unknown, given?: RulesGiven): (readonly [path: string, message: string])[] {
  return (check(message, rulesOf(given)).issues ?? []).map(({ path = [], message: text }) => [path.join('.'), text])
}

export function paths(message: unknown, given?: RulesGiven): string[] {
  return faults(message, given).map(([path]) => path)
}

export interface Arrived extends Delivery {
  /** The commands of this message. */
  readonly commands: readonly string[]
}

/** Sends by compose and a pooled Nodemailer, one message after the other. */
export async function post(
  given: RulesGiven & { readonly dkim?: DkimOptions; readonly signal?: AbortSignal } = {},
): Promise<{
  readonly server: SmtpServer
  readonly send: (message: EmailMessage) => Promise<Arrived>
}> {
  const server = await smtpServer()
  const transport = nodemailer.createTransport({ url: server.url, pool: true, maxConnections: 1 })
  onTestFinished(() => transport.close({ force: true }))
  const rules = rulesOf(given)
  const { dkim, signal = new AbortController().signal } = given
  const send = async (message: EmailMessage): Promise<Arrived> => {
    const result = checked(message, given)
    const from = result.from ?? parseAddress(FROM, [], [])
    if (from === undefined) throw new Error('no sender')
    const envelope = { from: senderOf(result, from), to: recipientsOf(result).map(({ key }) => key) }
    const composed = await compose(
      { ...result, from },
      { messageId: '<1@example.com>', boundary: 'between', envelope, rules, dkim, signal },
    )
    const before = server.commands.length
    await transport.sendMail({ ...composed, signal })
    const commands = server.commands.slice(before).filter((line) => /^(?:MAIL|RCPT)/.test(line))
    return { ...(server.deliveries.at(-1) as Delivery), commands }
  }
  return { server, send }
}

/** The lines of the headers of a message, or of a part. */
export function headLines(raw: string): string[] {
  return (raw.split('\r\n\r\n', 1)[0] ?? '').split('\r\n')
}

/** The names of its headers, in order; any line break that is not CRLF counts as one too. */
export function headerNames(raw: string): string[] {
  return (raw.split('\r\n\r\n', 1)[0] ?? '')
    .split(/\r\n|\r|\n/)
    .filter((line) => !/^[ \t]/.test(line))
    .map((line) => line.split(':', 1)[0] ?? '')
}
