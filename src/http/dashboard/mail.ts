/** What a mail's task says of its recipients, and whether a task is a mail at all. No DOM: tested in Node. */
import type { Json, SerializedError, TaskRecord } from '../../index.js'

export interface Recipient {
  readonly address: string
  readonly status: string
  readonly code: string
  readonly response: string
}

/** A message as far as it is shown. */
export interface Mail {
  readonly headers: readonly (readonly [name: string, value: string])[]
  readonly text: string | undefined
  readonly html: boolean
}

type Fields = Readonly<Record<string, Json>>

/** The outcome for each recipient: of the output where it was sent, else of the latest error that tells. */
export function recipientsOf({ output, error, attempts }: TaskRecord): readonly Recipient[] | undefined {
  const told = [output, ...causes(error), ...attempts.toReversed().flatMap((attempt) => causes(attempt.error))]
  for (const each of told) {
    const recipients = fieldsOf(fieldsOf(each)?.['recipients'])
    if (recipients === undefined) continue
    return Object.entries(recipients).map(([address, result]) => {
      const { status, code, enhancedCode, response } = fieldsOf(result) ?? {}
      return {
        address,
        status: text(status) || 'unknown',
        code: [text(code), text(enhancedCode)].filter((part) => part !== '').join(' '),
        response: text(response),
      }
    })
  }
  return undefined
}

/** The details of an error and of what caused it. */
function causes(error: SerializedError | undefined): (Json | undefined)[] {
  const all: (Json | undefined)[] = []
  for (let each = error; each !== undefined && all.length < 10; each = each.cause) all.push(each.details)
  return all
}

/** The mail that an input is, where it looks like one. */
export function mailOf(input: Json | undefined): Mail | undefined {
  const fields = fieldsOf(input)
  if (fields === undefined || typeof fields['subject'] !== 'string') return undefined
  if (['to', 'cc', 'bcc', 'envelope'].every((key) => fields[key] === undefined)) return undefined
  const { text: body, html, attachments } = fields
  const headers: (readonly [string, string])[] = []
  for (const name of ['from', 'to', 'cc', 'bcc', 'replyTo']) {
    const value = addresses(fields[name])
    if (value !== '')
      headers.push([name === 'replyTo' ? 'Reply to' : `${name[0]?.toUpperCase()}${name.slice(1)}`, value])
  }
  headers.push(['Subject', fields['subject']])
  if (Array.isArray(attachments) && attachments.length > 0) {
    const names = attachments.map((each: Json) => text(fieldsOf(each)?.['filename']) || 'unnamed')
    headers.push(['Attachments', names.join(', ')])
  }
  return {
    headers,
    text: typeof body === 'string' ? body : undefined,
    html: typeof html === 'string',
  }
}

function addresses(value: Json | undefined): string {
  if (value === undefined || value === null) return ''
  if (typeof value === 'string') return value
  if (Array.isArray(value)) return value.map((each: Json) => addresses(each)).join(', ')
  const { name, address } = fieldsOf(value) ?? {}
  return text(name) === '' ? text(address) : `${text(name)} <${text(address)}>`
}

function fieldsOf(value: Json | undefined): Fields | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : undefined
}

function text(value: Json | undefined): string {
  return typeof value === 'string' ? value : typeof value === 'number' ? String(value) : ''
}
