/** What the tests of attachments share: a folder and an HTTP server that end with their test, and what arrives of a mail. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { AttachmentOptions, EmailAttachment } from 'background-runner/email'
import { type Attachment, simpleParser } from 'mailparser'
import { expect, onTestFinished } from 'vitest'
import { HELLO } from './email.js'
import { post } from './message.js'

/** Never aborted. */
export const never: AbortSignal = new AbortController().signal

export async function folder(files: Record<string, string> = {}): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'attachments-'))
  onTestFinished(() => rm(path, { recursive: true, force: true }))
  for (const [name, content] of Object.entries(files)) await writeFile(join(path, name), content)
  return path
}

export interface FileServer {
  readonly host: string
  readonly url: string
  readonly requests: string[]
  readonly server: Server
}

export async function fileServer(answer: RequestListener): Promise<FileServer> {
  const requests: string[] = []
  const server = createServer((request, response) => {
    requests.push(request.url ?? '')
    answer(request, response)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`
  return { host, url: `http://${host}`, requests, server }
}

/** What arrives of these attachments. */
export async function arrive(
  attachments: readonly EmailAttachment[],
  options: AttachmentOptions,
  limits?: { size: number },
  signal: AbortSignal = never,
): Promise<Attachment[]> {
  const { send, server } = await post({ attachments: options, ...(limits && { limits }), signal })
  try {
    const { raw } = await send({ ...HELLO, attachments })
    return (await simpleParser(Buffer.from(raw, 'latin1'))).attachments
  } catch (error) {
    expect(server.deliveries).toEqual([])
    throw error
  }
}
