/**
 * From a message that was checked to what Nodemailer takes: headers that stay those of the whole message, contents that
 * are opened for this attempt, and nothing that Nodemailer would open, parse or sign by itself.
 */
import type { SendMailOptions } from 'nodemailer'
import type { Mailbox } from './address.js'
import type { CheckedAttachment } from './attachments.js'
import type { Content } from './content.js'
import { type Opened, openSource } from './contents.js'
import { coveringOneClick, type DkimOptions } from './dkim.js'
import { writeHeaders, writeText } from './headers.js'
import { type CheckedMessage, type MessageRules, sizeInside } from './message.js'
import { collapsed } from './text.js'

/** What a message is composed with. */
export interface Composition {
  /** With its angle brackets. */
  readonly messageId: string
  /** What parts of it are told apart by; never in them. */
  readonly boundary: string
  /** Decides who gets it. */
  readonly envelope: { readonly from: string; readonly to: string[] }
  readonly rules: MessageRules
  readonly dkim?: DkimOptions | undefined
  /** Ends the opening of attachments. */
  readonly signal: AbortSignal
}

type NodemailerAttachment = NonNullable<SendMailOptions['attachments']>[number]

/**
 * As Nodemailer takes it. Nothing in it is open: files are read while they are sent.
 *
 * @throws what `openSource` throws
 */
export async function compose(
  message: CheckedMessage & { readonly from: Mailbox },
  { messageId, boundary, envelope, rules, dkim, signal }: Composition,
): Promise<SendMailOptions> {
  const { from, to, cc, replyTo, sender, subject, text, html, inReplyTo, references, priority, date } = message
  const isOneClick = message.listUnsubscribe.length > 1
  const attachments = message.attachments.length === 0 ? [] : await openAll(message, rules, signal)
  const alternatives = message.alternatives.map(({ contentType, ...content }) => ({
    contentType: inUtf8(contentType, content),
    content: decode(content),
  }))
  return {
    messageId,
    from: toHeader(from),
    ...(sender !== undefined && { sender: toHeader(sender) }),
    ...(to.length > 0 && { to: to.map(toHeader) }),
    ...(cc.length > 0 && { cc: cc.map(toHeader) }),
    ...(replyTo.length > 0 && { replyTo: replyTo.map(toHeader) }),
    ...(inReplyTo.length > 0 && { inReplyTo: inReplyTo.join(' ') }),
    ...(references.length > 0 && { references: [...references] }),
    ...(priority !== undefined && { priority }),
    ...(date !== undefined && { date }),
    subject: writeText(subject),
    ...(text !== undefined && { text }),
    ...(html !== undefined && { html }),
    ...(alternatives.length > 0 && { alternatives }),
    ...(attachments.length > 0 && { attachments }),
    // New for each send: Nodemailer adds a transporter's defaults to it.
    headers: writeHeaders([...message.headers, ...message.listUnsubscribe]),
    ...(dkim !== undefined && { dkim: isOneClick ? coveringOneClick(dkim) : dkim }),
    disableFileAccess: true,
    disableUrlAccess: true,
    baseBoundary: boundary,
    envelope,
  }
}

/** One after the other: each may have what those before it have left. */
async function openAll(
  message: CheckedMessage,
  { attachments: rules, limits }: MessageRules,
  signal: AbortSignal,
): Promise<NodemailerAttachment[]> {
  const opened: NodemailerAttachment[] = []
  let room = limits.size - sizeInside(message)
  for (const [i, attachment] of message.attachments.entries()) {
    const { source } = attachment
    if (source.from === 'content') {
      const content = decode(source)
      opened.push(toNodemailer(attachment, { content, size: 0, contentType: inUtf8(attachment.contentType, source) }))
      continue
    }
    const each = await openSource(source, { rules, room, signal, where: `attachments[${i}]` })
    room -= each.size
    const contentType = attachment.contentType ?? each.contentType
    const encoding = typeof each.content === 'string' ? 'utf8' : 'base64'
    opened.push(toNodemailer(attachment, { ...each, contentType: inUtf8(contentType, { encoding }) }))
  }
  return opened
}

function toNodemailer(
  attachment: CheckedAttachment,
  { content, contentType, ...opened }: Opened,
): NodemailerAttachment {
  const { cid, headers } = attachment
  // Nodemailer would show a message that is attached inline, as a part of the one that it is attached to.
  const mayBeImage = contentType === undefined || /^image\//i.test(contentType)
  const contentDisposition = attachment.contentDisposition ?? (cid && mayBeImage ? undefined : 'attachment')
  const filename = attachment.filename ?? opened.filename
  return {
    content,
    ...(filename !== undefined && { filename: collapsed(filename) }),
    ...(contentType !== undefined && { contentType }),
    ...(cid !== undefined && { cid }),
    ...(contentDisposition !== undefined && { contentDisposition }),
    ...(headers.length > 0 && { headers: writeHeaders(headers) }),
  }
}

function decode({ content, encoding }: Content): string | Buffer {
  return encoding === 'base64' ? Buffer.from(content, 'base64') : content
}

/** A text that is written in UTF-8 says so; what was base64 is in whatever charset its sender says. */
function inUtf8<Type extends string | undefined>(
  contentType: Type,
  { encoding }: Pick<Content, 'encoding'>,
): Type | string {
  if (contentType === undefined || encoding === 'base64') return contentType
  return /^text\//i.test(contentType) && !/;\s*charset=/i.test(contentType)
    ? `${contentType}; charset=utf-8`
    : contentType
}

function toHeader({ name, key }: Mailbox): { name: string; address: string } {
  return { name: collapsed(name), address: key }
}
