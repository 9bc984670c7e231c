/**
 * The body of `POST /send_email`: a form or JSON with `recipient`, `subject` and `content`.
 *
 * It is read here and not by the frameworks' own parsers, since those differ in what they let through: the same request
 * gets the same answer from both examples.
 */
import type { EmailMessage } from 'background-runner/email'
import { RequestError } from './answers.js'

/** Bytes. */
const BODY_LIMIT = 100 * 1024

/** A request, as far as its body goes. */
export interface BodySource {
  readonly stream: AsyncIterable<Uint8Array> | null
  readonly contentType: string | undefined
  readonly contentEncoding: string | undefined
}

/** Reads a mail; the task checks it when it is submitted. @throws {RequestError} it cannot be read */
export async function readMail(source: BodySource): Promise<EmailMessage> {
  const { recipient, subject, content } = await readFields(source)
  return { to: oneAddress(given(recipient)), subject: given(subject), text: given(content) } as EmailMessage
}

/** The task would take a list too, or an address with its name apart: this form takes one string. */
function oneAddress(recipient: unknown): unknown {
  return typeof recipient === 'object' ? [[recipient]] : recipient
}

/** A field that is left empty, as a browser sends it, is not given; the task tells that it is required. */
function given(value: unknown): unknown {
  const blank = value === null || (typeof value === 'string' && value.trim() === '')
  return blank ? undefined : value
}

async function readFields({ stream, contentType = '', contentEncoding }: BodySource): Promise<Record<string, unknown>> {
  const body = await readBody(stream)
  if (body.length === 0) return {}
  if (contentEncoding !== undefined && contentEncoding !== 'identity')
    throw new RequestError(415, 'the body must not be compressed')
  const mediaType = contentType.split(';', 1)[0]?.trim().toLowerCase()
  try {
    switch (mediaType) {
      case 'application/json':
        return object(JSON.parse(text(body)))
      case 'application/x-www-form-urlencoded':
        return fields(new URLSearchParams(wellEncoded(text(body))))
      case 'multipart/form-data':
        return fields(await new Response(body, { headers: { 'content-type': contentType } }).formData())
    }
  } catch {
    throw new RequestError(400, `the body is not valid ${mediaType}`)
  }
  throw new RequestError(415, 'the body must be a form or application/json')
}

/** Reads on where a body is too large, without keeping it: a client that still sends would miss the answer. */
async function readBody(stream: BodySource['stream']): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of stream ?? []) {
    size += chunk.length
    if (size <= BODY_LIMIT) chunks.push(chunk)
  }
  if (size > BODY_LIMIT) throw new RequestError(413, `the body is larger than ${BODY_LIMIT} bytes`)
  return Buffer.concat(chunks)
}

/** Strict: a byte that is not UTF-8 would otherwise be replaced without a word, and so would a bad %-sequence. */
function text(body: Uint8Array): string {
  return new TextDecoder('utf-8', { fatal: true }).decode(body)
}

function wellEncoded(form: string): string {
  decodeURIComponent(form)
  return form
}

function object(value: unknown): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new TypeError('not an object')
  return value as Record<string, unknown>
}

/** A field that stands twice becomes a list, which is refused, rather than that one of the two is chosen. */
function fields(form: URLSearchParams | FormData): Record<string, unknown> {
  const names = [...new Set(form.keys())]
  return Object.fromEntries(
    names.map((name) => {
      const values = form.getAll(name)
      return [name, values.length === 1 ? values[0] : values]
    }),
  )
}
